"""The devices of a run: one, several in this machine, or those of several hosts.

One device is the case of one replica: the same code trains on all of them, and R replicas walk together the
way that one device would, each with its rows of the same batch.
"""

import json
import os
from pathlib import Path

import keras
import tensorflow as tf
from keras import layers

from training.config import BadConfig, Config
from training.spectral_norm import SpectralNorm

BFLOAT16_CPU = {"avx512_bf16", "amx_bf16"}  # flags as Linux names them
CONVOLUTIONS = (layers.Conv2D, layers.Conv2DTranspose, layers.DepthwiseConv2D)


def strategy() -> tf.distribute.Strategy:
    """Choose how to train: hosts that TF_CONFIG names, else the devices of this machine.

    Call it before anything else of TensorFlow: hosts can be joined only then. Devices are the GPUs, or
    the CPU where there is none.
    """
    if hosts() > 1:
        return tf.distribute.MultiWorkerMirroredStrategy()
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    if len(devices) > 1:
        return tf.distribute.MirroredStrategy([device.name for device in devices])
    return tf.distribute.get_strategy()


def hosts() -> int:
    """Count the workers that TF_CONFIG names. Raises BadConfig if it cannot be read."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
        return sum(len(addresses) for job, addresses in cluster.items() if job in ("chief", "worker"))
    except (ValueError, AttributeError, TypeError) as error:
        raise BadConfig(
            f"The environment variable TF_CONFIG cannot be read ({error}). Write it as the README does, or "
            "unset it to train on this machine alone."
        ) from None


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Tell whether this process is the one that writes the run's files."""
    if hosts() <= 1:
        return True
    resolver = strategy.cluster_resolver
    if "chief" in resolver.cluster_spec().jobs:
        return resolver.task_type == "chief"
    return resolver.task_id == 0


def accelerated() -> bool:
    """Tell whether there is a GPU."""
    return bool(tf.config.list_logical_devices("GPU"))


def multiplies_bfloat16() -> bool:
    """Tell whether there is a GPU, or a CPU that multiplies bfloat16 as such, twice as fast as float32."""
    try:
        return accelerated() or bool(BFLOAT16_CPU & set(Path("/proc/cpuinfo").read_text().split()))
    except OSError:
        return False


def refuse_uneven(config: Config, replicas: int) -> None:
    """Raise BadConfig if several replicas cannot share the batch, and what of it is looked at, evenly."""
    whole = replicas * config.projected_every if config.projected and replicas > 1 else replicas
    if config.batch % whole:
        raise BadConfig(
            f"A batch of {config.batch} cannot be shared evenly by {replicas} devices. Choose a --batch that "
            f"is a multiple of {whole}, or hide devices from the run (CUDA_VISIBLE_DEVICES)."
        )


def normalise_together(network: keras.Model) -> None:
    """Have batch normalisation see the rows of all replicas, as one device would."""
    for layer in network.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.synchronized = True


def convolve_in(precision: str | None, network: keras.Model) -> None:
    """Let the convolutions compute in bfloat16 if that is the precision; their weights stay float32.

    What the network returns stays float32: cards would lose half of their 256 tones.
    """
    inner = [layer for layer in convolutions(network) if layer is not network.layers[-1]]
    for layer in inner if precision == "bfloat16" else []:
        layer.dtype_policy = keras.DTypePolicy("mixed_bfloat16")


def convolutions(network: keras.Model) -> list[layers.Layer]:
    """List a network's convolutions from its input on, those inside a spectral norm too."""
    bare = (layer.layer if isinstance(layer, SpectralNorm) else layer for layer in network.layers)
    return [layer for layer in bare if isinstance(layer, CONVOLUTIONS)]


class Replica:
    """The share of a batch that one of several equal devices has: an equal number of rows, in order."""

    def __init__(self, batch: int, replicas: int) -> None:
        self.batch = batch
        self.alone = replicas == 1
        self.rows = batch // replicas
        self.first = (
            0 if self.alone else self.rows * tf.distribute.get_replica_context().replica_id_in_sync_group
        )

    def own(self, everyone: tf.Tensor) -> tf.Tensor:
        """Return this replica's rows of a whole batch."""
        return everyone if self.alone else everyone[self.first : self.first + self.rows]

    def placed(self, own: tf.Tensor) -> tf.Tensor:
        """Return a whole batch with this replica's rows in their place, zeros elsewhere.

        What draws a random number for each row of a batch then draws for these rows what one device would.
        """
        if self.alone:
            return own
        rest = self.batch - self.rows - self.first
        placed = tf.pad(own, [(self.first, rest), *[(0, 0)] * (own.shape.rank - 1)])
        return tf.ensure_shape(placed, (self.batch, *own.shape[1:]))
