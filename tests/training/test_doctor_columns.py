# ruff: noqa: E501
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.doctor.columns import BadColumns, guess, parse_columns, role_of
from training.doctor.survey import survey

NAMES = {
    "d_loss": ["D loss", "Loss_D", "disc_loss", "discriminator_loss", "loss/discriminator", "dLoss", "Critic loss", "d"],
    "g_loss": ["G loss", "Loss_G", "gan_loss", "generator loss", "losses/gen", "adversarial_loss", "g", "errG error"],
    "d_loss_real": ["d1", "d_loss_real", "D loss real", "real_loss"],
    "d_loss_fake": ["d2", "loss/D/fake", "fake loss"],
    "real_accuracy": ["Disciminator Accuracy on real images", "acc_real", "real_acc", "D/real/accuracy"],
    "fake_accuracy": ["Accuracy on fake images", "fake_acc", "generated_accuracy"],
    "accuracy": ["acc.", "accuracy", "D acc", "binary_accuracy"],
    "epoch": ["Epoch", "epoch", "position"],
    "step": ["Step", "iter", "global_step", "Batch", "Iteration"],
    "images": ["images", "images seen"],
    "kimg": ["Progress/kimg/mean", "kimg"],
    "penalty": ["gradient_penalty", "gp", "Loss/r1"],
    "kid": ["kid"],
    None: [
        "loss", "val_d_loss", "lr", "D learning rate", "D(x)", "D(G(z))", "batch_size", "steps per epoch",
        "g_loss_std", "Loss/scores/real/mean", "timestamp", "D_A", "cycle loss",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("role", "name"), [(role, name) for role, names in NAMES.items() for name in names])
def test_a_name_says_what_its_column_holds(role: str | None, name: str):
    assert role_of(name) == role


def test_exact_names_go_before_guessed_ones_and_the_first_before_the_second():
    columns = guess(survey([{"critic loss": 1.0, "gan_loss": 2.0, "gen loss": 3.0, "d_loss": 4.0}]))
    assert columns.of == {"d_loss": "d_loss", "g_loss": "gan_loss"}
    assert columns.unused == ("critic loss", "gen loss")


def test_the_user_knows_better():
    rows = [{"loss_d": 1.0, "Gan Loss": 2.0, "x": 3.0}]
    columns = guess(survey(rows), parse_columns("d_loss=x, g_loss=gan loss"))
    assert columns.read(rows[0]) == {"d_loss": 3.0, "g_loss": 2.0}
    assert "d_loss from 'x'" in str(columns)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("d_loss", "ROLE=COLUMN"),
        ("d_loss=", "ROLE=COLUMN"),
        ("dloss=x", "the doctor knows no signal 'dloss'. Choose among accuracy"),
        ("d_loss=y", "no column 'y'. Choose among x"),
    ],
)
def test_a_wrong_correction_is_answered_with_what_there_is(text: str, told: str):
    with pytest.raises(BadColumns) as caught:
        guess(survey([{"x": 1.0}]), parse_columns(text))
    assert told in str(caught.value)


def test_a_log_without_losses_is_refused_with_its_columns():
    with pytest.raises(BadColumns) as caught:
        guess(survey([{"epoch": 0.0, "a": 1.0, "b": 2.0}]))
    assert "a, b" in str(caught.value)
    assert "--columns 'd_loss=a,g_loss=b'" in str(caught.value)


def test_the_example_takes_no_counter_for_a_loss():
    rows = [{"Epoche": i, "D-Verlust": (-1.0) ** i, "G-Verlust": 2.0} for i in range(3)]
    with pytest.raises(BadColumns, match=r"'d_loss=D-Verlust,g_loss=G-Verlust'"):
        guess(survey(rows))
    with pytest.raises(BadColumns, match="'d_loss=Wall time'"):
        guess(survey([{"Wall time": 1.5}, {"Wall time": 2.5}]))


def test_halves_of_a_loss_make_one_and_a_joint_accuracy_stands_for_both():
    row = {"d1": 0.2, "d2": 0.4, "g": 2.0, "acc": 90.0, "kimg": 1.5}
    read = guess(survey([row])).read(row)
    assert read["d_loss"] == pytest.approx(0.3)
    assert read["real_accuracy"] == read["fake_accuracy"] == 0.9
    assert read["images"] == 1500


@given(st.integers(2, 5), st.integers(3, 50))
def test_counters_without_names_are_told_by_their_course(epochs: int, steps: int):
    rows = [
        {"col1": float(epoch), "col2": float(step), "d": 1.0, "g": 1.0}
        for epoch in range(epochs)
        for step in range(steps)
    ]
    of = guess(survey(rows)).of
    assert (of["epoch"], of["step"]) == ("col1", "col2")
