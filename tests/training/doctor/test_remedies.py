"""The lines that the doctor says to write run, and do what they are to do."""

import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.doctor.code import examine
from training.doctor.doctor import Doctor
from training.doctor.facts import Facts

SCRIPTS = Path(__file__).parent / "scripts"
TAPED = (SCRIPTS / "tape_loop.py").read_text(encoding="utf-8")


def remedy(script: Path, id: str) -> str:
    """What a script's first finding of this id says to do."""
    return next(finding.remedy for finding in examine(script) if finding.id == id)


def code_of(remedy: str) -> str:
    """Its lines of code: those behind the sentence that it begins with."""
    return "\n".join(remedy.splitlines()[1:])


@pytest.fixture
def names() -> dict[str, Any]:
    """What a script of a DCGAN has at hand: small networks, their optimizers, uint8 pictures scaled by it."""
    layers = keras.layers
    generator = [keras.Input((4,)), layers.Dense(48), layers.BatchNormalization(), layers.Reshape((4, 4, 3))]
    discriminator = [keras.Input((4, 4, 3)), layers.Conv2D(2, 3), layers.Flatten(), layers.Dense(1)]
    stream = np.random.default_rng(0)
    return {
        "tf": tf,
        "generator": keras.Sequential(generator),
        "discriminator": keras.Sequential(discriminator),
        "g_optimizer": keras.optimizers.Adam(1e-3),
        "d_optimizer": keras.optimizers.Adam(1e-3),
        "real_images": stream.uniform(-1, 1, (8, 4, 4, 3)),
        "noise": tf.random.normal((8, 4)),
    }


def test_a_frozen_discriminator_is_given_a_step_that_moves_both_networks(names: dict[str, Any]):
    networks = [names["generator"], names["discriminator"]]
    before = [network.get_weights() for network in networks]
    exec(code_of(remedy(SCRIPTS / "posted.py", "C3")), names)
    for network, old in zip(networks, before, strict=True):
        assert all(
            (now != then).any() for now, then in list(zip(network.get_weights(), old, strict=True))[:1]
        )


def test_r1_adds_what_the_discriminators_gradient_follows(names: dict[str, Any]):
    names["d_loss"] = 0.0
    with tf.GradientTape() as tape:
        exec(code_of(remedy(SCRIPTS / "tape_loop.py", "C10")), names)
    slopes = tape.gradient(names["d_loss"], names["discriminator"].trainable_variables[:1])
    assert float(tf.linalg.global_norm(slopes)) > 0


@pytest.mark.parametrize(
    ("loaded", "images"),
    [
        ("train_images = train_images", np.array([[0], [255]], np.uint8)),
        ("train_images = tf.io.decode_png(train_images)", tf.constant([[0], [255]], tf.uint8)),
        ("train_images = train_images / 255.0", np.array([[0.0], [1.0]])),
    ],
)
@pytest.mark.parametrize(("output", "low"), [("tanh", -1.0), ("sigmoid", 0.0)])
def test_the_line_that_scales_pictures_is_for_what_they_are_and_for_the_generator(
    tmp_path, loaded: str, images: Any, output: str, low: float
):
    text = TAPED.replace("train_images = (train_images - 127.5) / 127.5", loaded)
    if "decode_png" in loaded:
        text = text.replace("tf.keras.datasets.mnist.load_data()", "read_all()")
    (tmp_path / "script.py").write_text(text.replace("'tanh'", f"'{output}'"), encoding="utf-8")
    found = [finding for finding in examine(tmp_path / "script.py") if finding.id == "C9"]
    if loaded.endswith("/ 255.0") and output == "sigmoid":
        assert found == []
        return
    scaled: dict[str, Any] = {"images": images, "tf": tf}
    exec(found[0].remedy, scaled)
    assert np.asarray(scaled["images"]).ravel().tolist() == [low, 1.0]


def test_pictures_in_the_range_of_a_tanh_are_brought_to_that_of_a_sigmoid(tmp_path):
    (tmp_path / "script.py").write_text(TAPED.replace("'tanh'", "'sigmoid'"), encoding="utf-8")
    scaled = {"images": np.array([-1.0, 1.0])}
    exec(remedy(tmp_path / "script.py", "C9"), scaled)
    assert scaled["images"].tolist() == [0.0, 1.0]


@pytest.mark.parametrize("high", [1.0, 255.0])
def test_a_log_s_range_mismatch_is_mended_by_the_line_that_is_told(high: float):
    (finding,) = Doctor(Facts()).hear({"step": 1, "real_low": 0.0, "real_high": high})
    scaled = {"cards": np.array([0, high])}
    exec(finding.remedy, scaled)
    assert scaled["cards"].tolist() == [-1.0, 1.0]


def test_smoothed_labels_of_a_sigmoid_are_measured_at_one_half():
    assert "(answers > 0.5) on reals" in remedy(SCRIPTS / "conditional.py", "C12")


KERAS, TENSORFLOW = keras.losses.BinaryCrossentropy(from_logits=True), tf.nn.sigmoid_cross_entropy_with_logits
RESHAPE = keras.layers.Reshape((1,))


@pytest.mark.parametrize(
    ("behind", "loss", "lowest"), [([], KERAS, 0.0), ([RESHAPE], KERAS, 0.503), ([], TENSORFLOW, 0.503)]
)
def test_a_sigmoid_is_seen_through_by_keras_own_loss_alone_and_only_right_before_it(behind, loss, lowest):
    """What C5 says of a discriminator that is sure and right: logits of ±100."""
    sigmoid = keras.Sequential([keras.Input((1,)), keras.layers.Activation("sigmoid"), *behind])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Keras, that these are no logits
        costs = loss(tf.constant([[1.0], [0.0]]), sigmoid(tf.constant([[100.0], [-100.0]])))
    assert float(tf.reduce_mean(costs)) == pytest.approx(lowest, abs=1e-3)
