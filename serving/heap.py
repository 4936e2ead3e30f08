"""When the garbage collector runs, and which objects it skips: while it runs nothing is answered."""

import gc

YOUNG = 5_000
"""Objects that are new before the collector looks through them.

Its default, 700, is what two requests leave: to look took up to a seventh of the event loop's time for a
card.
"""


def freeze() -> None:
    """Collect the garbage there is; have later collections run less often and skip all objects that remain.

    TensorFlow brings a million objects. To look through all of them takes a quarter of a second, and under
    load Python would do it every few seconds. Call this whenever models were loaded: those that they replace
    are freed by it, and by no collection before it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    _, *older = gc.get_threshold()
    gc.set_threshold(YOUNG, *older)
