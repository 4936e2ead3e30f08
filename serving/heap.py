"""The objects that stay for as long as the process: the garbage collector is to pass over them."""

import gc


def settle() -> None:
    """Collect what is garbage now, and have later collections pass over all that is left.

    TensorFlow brings a million objects. To look through all of them takes a quarter of a second in which
    nothing is answered, and under load Python would do it every few seconds. To be called when models
    came and again when they were replaced: the old ones would else never be freed.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
