"""TensorFlow's file errors in the same words as Python's."""

import os
import re

import tensorflow as tf

from training.trouble import ADVICE, refusal

OPERATION = re.compile(r"^\{\{.*?\}\} ?")  # as TensorFlow puts it before what its kernels say


def refusal_of(error: tf.errors.OpError | OSError, place: object) -> str:
    """Say what the disk refused and what to do, whether TensorFlow or Python met it."""
    return refusal(error if isinstance(error, OSError) else as_os_error(error), place)


def as_os_error(error: tf.errors.OpError) -> OSError:
    """Return the system's error, found by its words: TensorFlow passes those on, and not its number."""
    text = first_line(error)
    number = next((number for number in ADVICE if os.strerror(number) in text), None)
    return OSError(text) if number is None else OSError(number, os.strerror(number))


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, without the name of TensorFlow's operation."""
    return OPERATION.sub("", (str(error).splitlines() or [type(error).__name__])[0])
