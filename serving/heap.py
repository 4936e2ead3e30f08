"""When Python looks for garbage, and what it passes over: looking is time in which nothing is answered."""

import gc

YOUNG = 5_000
"""Objects that are new before the collector looks through them.

Its default, 700, is what two requests leave: to look took up to a seventh of the event loop's time for a
card.
"""


def settle() -> None:
    """Collect what is garbage now, and have later collections be fewer and pass over all that is left.

    TensorFlow brings a million objects. To look through all of them takes a quarter of a second in which
    nothing is answered, and under load Python would do it every few seconds. To be called when models
    came and again when they were replaced: the old ones would else never be freed.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _, *older = gc.get_threshold()
    gc.set_threshold(YOUNG, *older)
