"""What two runs end with, compared."""

import numpy as np
import tensorflow as tf

from training.run import Run


def state(run: Run) -> dict[str, np.ndarray]:
    """Return everything that the newest checkpoint holds, by name: weights, and what optimizers keep."""
    weights = run.checkpoints.folder / str(run.checkpoints.steps()[0]) / "weights"
    reader = tf.train.load_checkpoint(str(weights))
    names = [name for name in reader.get_variable_to_shape_map() if name.endswith("VARIABLE_VALUE")]
    return {name: reader.get_tensor(name) for name in names}


def equal(run: Run, other: Run) -> bool:
    """Tell whether they end with the same numbers, bit for bit."""
    one, another = state(run), state(other)
    assert one.keys() == another.keys()
    return all(np.array_equal(value, another[name]) for name, value in one.items())
