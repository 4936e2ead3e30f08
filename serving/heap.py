"""When the garbage collector runs, and which objects it skips: while it runs, nothing is answered."""

import gc

YOUNG = 5_000
"""New objects after which the collector looks through them.

Its default, 700, is what two requests leave behind: looking took up to a seventh of the event loop's time for
a card.
"""


def freeze() -> None:
    """Collect the garbage there is; have later collections run less often and skip all objects that remain.

    TensorFlow brings a million objects. Looking through all of them takes a quarter of a second, and under
    load Python would do so every few seconds. Call this whenever models have been loaded: it also frees those
    that they replace, which no collection before it can.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _, *older = gc.get_threshold()
    gc.set_threshold(YOUNG, *older)
