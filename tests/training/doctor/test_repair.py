"""What `--fix` writes: scripts that are healthy, run, and move both networks."""

import ast
import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from training.doctor.code import examine, repair
from training.doctor.finding import Severity
from training.doctor.scripts.edits import Edit, applied
from training.doctor.scripts.source import BadScript

SCRIPTS = Path(__file__).parent / "scripts"
COMPILED = ["posted.py", "posted_whole.py", "one_class.py"]  # trained through a stacked model
PLAY = """
import sys, numpy as np
sys.path.insert(0, ".")
import mended
mended.{cards} = mended.load_cards("cards.npz")
generator, discriminator = mended.generator_model(), mended.discriminator_model()
gan = mended.gan_model(generator, discriminator)
before = [network.get_weights() for network in (generator, discriminator)]
mended.training_gan(gan, discriminator, generator, batch_size=2, epochs=1, epoch_steps=2)
for network, old in zip((generator, discriminator), before):
    new = network.get_weights()
    assert all(np.isfinite(weight).all() for weight in new), "not finite"
    assert all((now != then).any() for now, then in zip(new, old)), "some weights stand still"
print("both moved")
"""


@pytest.mark.parametrize("name", COMPILED)
def test_nothing_above_a_note_is_left_of_a_gan_trained_through_compile(tmp_path, name):
    repair(SCRIPTS / name, tmp_path / "mended.py")
    assert [found for found in examine(tmp_path / "mended.py") if found.severity > Severity.NOTE] == []


@pytest.mark.parametrize("path", sorted(SCRIPTS.iterdir()), ids=lambda path: path.name)
def test_a_repair_adds_no_finding_and_changes_no_original(tmp_path, path):
    before = path.read_bytes()
    repair(path, tmp_path / "mended.py")
    assert path.read_bytes() == before
    assert {found.id for found in examine(tmp_path / "mended.py")} <= {found.id for found in examine(path)}


@pytest.mark.parametrize("name", ["wgan_gp.py", "healthy_r1.py"])
def test_a_healthy_script_stays_as_it_is(tmp_path, name):
    repair(SCRIPTS / name, tmp_path / "mended.py")
    mended = ast.parse((tmp_path / "mended.py").read_text(encoding="utf-8"))
    assert ast.dump(mended) == ast.dump(ast.parse((SCRIPTS / name).read_text(encoding="utf-8")))


def test_a_loss_that_is_no_cross_entropy_is_left_alone(tmp_path):
    assert repair(SCRIPTS / "wgan_clip.py", tmp_path / "mended.py").mended == []


def test_what_was_not_mended_is_told(tmp_path):
    repaired = repair(SCRIPTS / "conditional.py", tmp_path / "mended.py")
    assert {found.id for found in repaired.mended} == {"C4", "C12", "C21"}
    assert {found.id for found in repaired.left} == {"C3", "C10"}
    assert "not mended: C3" in str(repaired)


WHY = {
    "conditional.py": "For C3 and C10 the training step would .* here: the networks also take labels",
    "conditional_embedding.py": "no function of its own trains one stacked model",
    "tape_loop.py": "under a GradientTape",
    "wgan_clip.py": "For C3 .* not a binary cross-entropy",
}


@pytest.mark.parametrize("name", WHY)
def test_it_is_told_why_no_step_was_written(tmp_path, name):
    assert re.search(WHY[name], str(repair(SCRIPTS / name, tmp_path / "mended.py")))


@pytest.mark.parametrize("name", ["posted.py", "wgan_gp.py"])
def test_where_nothing_is_left_of_a_step_no_reason_is_told(tmp_path, name):
    assert "by hand" not in str(repair(SCRIPTS / name, tmp_path / "mended.py"))


HARD = """
import numpy as np, keras, mended
discriminator = mended.define_discriminator()
pictures = np.random.default_rng(0).normal(size=(8, 28, 28, 1)).astype("float32")
kinds, real = np.zeros((8, 1)), np.full((8, 1), 0.9)
answers = discriminator.predict([pictures, kinds], verbose=0)
loss, accuracy = discriminator.test_on_batch([pictures, kinds], real)
assert abs(accuracy - (answers > 0).mean()) < 1e-6, (accuracy, answers)
print("measured")
"""


def test_smoothed_labels_are_measured_as_hard_ones(tmp_path):
    repair(SCRIPTS / "conditional.py", tmp_path / "mended.py")
    text = (tmp_path / "mended.py").read_text(encoding="utf-8")
    (tmp_path / "mended.py").write_text(text.partition("\nlatent_dim = 100")[0], encoding="utf-8")
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", "-c", HARD]
    ran = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False)
    assert ran.stdout == "measured\n", ran.stderr


JUDGED_BY_NUMBERS = """
import numpy as np
from tensorflow import keras
from tensorflow.keras.layers import Dense, Flatten, Reshape
from tensorflow.keras.models import Sequential

discriminator = Sequential([keras.Input((4, 4, 1)), Flatten(), Dense(1)])
loss = keras.losses.MeanSquaredError()
discriminator.compile(loss=loss, optimizer="adam", metrics=["accuracy"])
generator = Sequential([keras.Input((4,)), Dense(16, activation="tanh"), Reshape((4, 4, 1))])
for step in range(2):
    real = np.random.uniform(-1, 1, (64, 4, 4, 1))
    fake = generator.predict(np.random.normal(size=(64, 4)), verbose=0)
    discriminator.train_on_batch(real, np.ones((64, 1)) * 0.9)
    discriminator.train_on_batch(fake, np.zeros((64, 1)))
"""


def run_mended(tmp_path, script):
    """Repair a script's text, run what was written, and return its names."""
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    repair(tmp_path / "script.py", tmp_path / "mended.py")
    return runpy.run_path(str(tmp_path / "mended.py"))


@pytest.mark.parametrize(
    ("loss", "fakes", "edge"),
    [
        ('"mse"', "np.zeros((64, 1))", 0.5),
        ("keras.losses.MeanSquaredError()", "np.zeros(64).reshape(-1, 1)", 0.5),
        ('"mean_squared_error"', "-np.ones((64, 1))", 0.0),
        ("keras.losses.MeanSquaredError()", "np.full((64, 1), -1)", 0.0),
    ],
)
def test_a_squared_error_s_accuracy_turns_halfway_between_the_labels(tmp_path, loss, fakes, edge):
    script = JUDGED_BY_NUMBERS.replace("np.zeros((64, 1))", fakes)
    mended = run_mended(tmp_path, script.replace("keras.losses.MeanSquaredError()", loss))
    discriminator, real = mended["discriminator"], mended["real"]
    _, accuracy = discriminator.test_on_batch(real, np.full((64, 1), 0.9))
    assert accuracy == pytest.approx((discriminator.predict(real, verbose=0) > edge).mean())


@pytest.mark.parametrize("last", ['1, activation="sigmoid"', '1, "sigmoid", True'])
def test_a_loss_that_takes_probabilities_by_position_is_told_of_logits_once(tmp_path, last):
    script = JUDGED_BY_NUMBERS.replace("Dense(1)", f"Dense({last})")
    mended = run_mended(tmp_path, script.replace("MeanSquaredError()", "BinaryCrossentropy(False)"))
    last = mended["discriminator"].layers[-1]
    loss = float(mended["loss"](np.ones((1, 1)), np.full((1, 1), -2.0)))
    assert loss == pytest.approx(np.log1p(np.exp(2.0)))
    assert last.activation(-2.0) == -2.0
    assert last.use_bias


MENDED = {
    "conditional_embedding.py": "C4 C6 C11 C12",
    "hinge_loop.py": "C7 C24 C25",
    "torch_port.py": "C5 C9",
    "class_sequential.py": "C3 C4 C6 C10 C15 C16 C21 C22 C26",
    "lsgan.ipynb": "C1 C6 C9 C13 C14",
}


@pytest.mark.parametrize("name", MENDED)
def test_what_can_be_mended_where_it_stands_is(tmp_path, name):
    repaired = repair(SCRIPTS / name, tmp_path / "mended.py")
    assert {found.id for found in repaired.mended} == set(MENDED[name].split())
    compile((tmp_path / "mended.py").read_text(encoding="utf-8"), name, "exec")


def test_lines_that_are_put_in_one_place_keep_their_order():
    lines = [f"line {number}\n" for number in range(20)]
    assert applied("end", [Edit(0, 0, line) for line in [*lines, *lines]]) == "".join(lines) + "end"


def test_the_user_s_names_and_numbers_stay(tmp_path):
    repair(SCRIPTS / "posted.py", tmp_path / "mended.py")
    before, after = (
        ast.parse(path.read_text(encoding="utf-8"))
        for path in (SCRIPTS / "posted.py", tmp_path / "mended.py")
    )
    kept = {node.name: ast.dump(node.args) for node in before.body if isinstance(node, ast.FunctionDef)}
    written = {node.name: ast.dump(node.args) for node in after.body if isinstance(node, ast.FunctionDef)}
    assert kept.items() <= written.items()
    assert "learning_rate=2e-4, beta_1=0.5" in (tmp_path / "mended.py").read_text(encoding="utf-8")


def test_a_file_that_is_there_is_not_written_over(tmp_path):
    out = tmp_path / "mended.py"
    out.write_text("mine")
    with pytest.raises(BadScript, match="is there already"):
        repair(SCRIPTS / "posted.py", out)
    assert out.read_text() == "mine"


@pytest.mark.parametrize(("name", "cards"), [("posted.py", "cards"), ("posted_whole.py", "dataset")])
def test_the_posted_script_runs_once_it_is_mended(tmp_path, name, cards):
    repair(SCRIPTS / name, tmp_path / "mended.py")
    smaller(tmp_path / "mended.py")
    pictures = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
    np.savez(tmp_path / "cards.npz", images=pictures)
    quiet = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, "-W", "ignore", "-c", PLAY.format(cards=cards)]
    ran = subprocess.run(command, cwd=tmp_path, env=quiet, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "[Epoch 0, Step 0] d_loss = " in ran.stdout
    assert "both moved" in ran.stdout
    made = {path.name for path in tmp_path.rglob("*.*")}
    assert {"generator_model_0000.h5", "generated_examples_epoch0001.png"} <= made


def signatures(script: Path) -> dict[str, str]:
    functions = ast.parse(script.read_text(encoding="utf-8")).body
    return {node.name: ast.dump(node.args) for node in functions if isinstance(node, ast.FunctionDef)}


def smaller(script: Path) -> None:
    """Draw 16x16 instead of 64x64, so that two steps take a moment; nothing else changes."""
    text = script.read_text(encoding="utf-8")
    for old, new in (("8*8*64", "2*2*64"), ("(8, 8, 64)", "(2, 2, 64)"), ("[64, 64, 3]", "[16, 16, 3]")):
        assert old in text
        text = text.replace(old, new)
    text = text.replace("figsize=(20, 12)", "figsize=(2, 1)")
    script.write_text(text, encoding="utf-8")
