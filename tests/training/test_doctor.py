"""The doctor hears made-up logs: what each symptom is, where it begins, and what is healthy."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.doctor.doctor import RELIEF, Doctor, Facts, key
from training.doctor.finding import Severity
from training.doctor.history import KEPT, SIGNALS
from training.doctor.runs import BadLog, facts_of, facts_of_run, metrics_of
from training.presets import PRESETS, configure

BATCH = 32
NON_SATURATING = Facts(loss="non_saturating", batch=BATCH, training_cards=2_000, held_out_cards=200)

# As our own runs log them: a DCGAN with R1 after its first hundred steps.
HEALTHY: dict[str, float] = {
    "d_loss": 0.65,
    "g_loss": 1.7,
    "penalty": 0.2,
    "real_accuracy": 0.92,
    "fake_accuracy": 0.96,
    "relativistic_accuracy": 0.99,
    "real_logit": 1.4,
    "fake_logit": -1.2,
    "d_gradient": 30.0,
    "g_gradient": 1.5,
    "d_moved": 0.04,
    "g_moved": 0.06,
    "real_low": -1.0,
    "real_high": 1.0,
    "real_spread": 0.52,
    "fake_spread": 0.3,
    "images_per_second": 100.0,
    "input_wait": 0.01,
    "r_v": 0.1,
    "held_logit": 1.3,
    "augment": 0.1,
    "variety": 0.8,
    "least_variety": 0.5,
    "similarity": 0.02,
    "nyquist": 1.1,
    "copy_rate": 0.01,
    "leak_border": 1.1,
    "kid": 50.0,
    "coverage": 0.4,
}


def hear(facts: Facts, *changes: dict[str, float], every: int = 10, first: int = 2_000) -> list[Any]:
    """Have a doctor hear healthy lines with these changes; return (index of the line, finding)."""
    doctor = Doctor(facts)
    return [
        (index, finding)
        for index, change in enumerate(changes)
        for finding in doctor.hear({"step": first + every * index} | HEALTHY | change)
    ]


CASES: list[tuple[str, Severity, dict[str, float], Facts]] = [
    ("D0 range mismatch", Severity.CRITICAL, {"real_low": 0.0}, NON_SATURATING),
    ("D0 range mismatch", Severity.CRITICAL, {"real_low": 0.0, "real_high": 255.0}, NON_SATURATING),
    ("D0 flat pictures", Severity.CRITICAL, {"fake_spread": 0.01}, NON_SATURATING),
    ("D1 network stands still", Severity.CRITICAL, {"d_moved": 0.0}, NON_SATURATING),
    ("D1 network stands still", Severity.CRITICAL, {"g_moved": 0.0}, NON_SATURATING),
    (
        "D2 domination",
        Severity.CRITICAL,
        {"d_loss": 0.01, "g_loss": 8.0, "real_accuracy": 1.0, "fake_accuracy": 1.0},
        NON_SATURATING,
    ),
    (
        "D2 domination",
        Severity.WARNING,
        {"d_loss": 0.12, "g_loss": 4.3, "real_accuracy": 0.98, "fake_accuracy": 0.99},
        NON_SATURATING,
    ),
    (
        "D2 domination",
        Severity.CRITICAL,
        {"d_loss": 0.01, "g_loss": 9.0, "relativistic_accuracy": 1.0},
        Facts(loss="relativistic", batch=BATCH),
    ),
    ("D3 discriminator too weak", Severity.WARNING, {"d_loss": 1.39}, NON_SATURATING),
    ("D3 discriminator too weak", Severity.WARNING, {"d_loss": 2.2, "g_loss": 0.1}, NON_SATURATING),
    (
        "D3 discriminator too weak",
        Severity.WARNING,
        {"d_loss": 1.45, "relativistic_accuracy": 0.1},
        NON_SATURATING,
    ),
    ("D4 no numbers", Severity.CRITICAL, {"g_loss": math.nan}, NON_SATURATING),
    ("D4 exploding weights", Severity.CRITICAL, {"g_moved": 12.0}, NON_SATURATING),
    ("D4 dead gradient", Severity.CRITICAL, {"g_gradient": 0.0, "g_moved": 0.0}, NON_SATURATING),
    ("D4 dead gradient", Severity.CRITICAL, {"g_gradient": 1e-9}, NON_SATURATING),
    ("D5 discriminator overfits", Severity.WARNING, {"r_v": 0.7}, NON_SATURATING),
    ("D5 discriminator overfits", Severity.CRITICAL, {"r_v": 0.95}, NON_SATURATING),
    ("D5 held-out cards are of another kind", Severity.WARNING, {"r_v": -0.8}, NON_SATURATING),
    ("D5 augmentation at its limit", Severity.WARNING, {"r_v": 0.55, "augment": 0.8}, NON_SATURATING),
    ("D7 mode collapse", Severity.WARNING, {"variety": 0.4}, NON_SATURATING),
    ("D7 mode collapse", Severity.CRITICAL, {"similarity": 0.3}, NON_SATURATING),
    ("D8 partial collapse", Severity.WARNING, {"least_variety": 0.05}, NON_SATURATING),
    ("D9 memorisation", Severity.WARNING, {"copy_rate": 0.1}, NON_SATURATING),
    ("D9 memorisation", Severity.CRITICAL, {"copy_rate": 0.5}, NON_SATURATING),
    ("D11 augmentation leaks", Severity.WARNING, {"leak_border": 3.0, "augment": 0.7}, NON_SATURATING),
    ("D12 checkerboard", Severity.WARNING, {"nyquist": 4.0}, NON_SATURATING),
    ("D13 few cards", Severity.WARNING, {}, Facts(loss="non_saturating", training_cards=50)),
    ("D14 waiting for cards", Severity.WARNING, {"input_wait": 0.4}, NON_SATURATING),
]


@pytest.mark.parametrize(("name", "severity", "change", "facts"), CASES)
def test_each_symptom_is_named_once_by_its_signals_and_by_nothing_else(name, severity, change, facts):
    found = hear(facts, *[change] * 70)
    assert [(key(finding), finding.severity) for _, finding in found] == [(name, severity)]
    assert all((finding.what, finding.evidence, finding.why, finding.remedy) for _, finding in found)


@pytest.mark.parametrize(("augment", "advised"), [(0.0, True), (0.2, False), ("adaptive", False)])
def test_few_cards_are_to_be_augmented_unless_they_are(augment, advised):
    facts = facts_of(replace(configure("smoke", 56, 40), augment=augment), 50, 10)
    ((_, finding),) = hear(facts, {})
    assert ("--augment adaptive" in finding.remedy) == advised


@pytest.mark.parametrize(
    ("cards", "remedy"), [(2_000, "what else runs"), (200_000, "holofoil train DATA RUN --resume")]
)
def test_a_run_that_waits_is_told_what_helps_where_its_cards_are(cards, remedy):
    facts = facts_of(configure("smoke", 56, 40), cards, 100)
    ((_, finding),) = hear(facts, *[{"input_wait": 0.4}] * 10)
    assert remedy in finding.remedy
    assert "decode" not in finding.remedy  # prepare did that


def test_a_healthy_log_is_met_with_silence_and_a_line():
    doctor = Doctor(NON_SATURATING)
    lines = [{"step": 10 * n} | HEALTHY | {"kid": 400 * 0.9**n} for n in range(300)]
    assert [finding for line in lines for finding in doctor.hear(line)] == []
    assert doctor.status().startswith("healthy: A 0.99, r_v 0.10, p 0.10")


def test_the_first_hundred_steps_of_a_healthy_relativistic_run_are_no_domination():
    """Measured on sample cards: every pair is ranked right from step 11 to 151."""
    doctor = Doctor(Facts(loss="relativistic", batch=32))
    losses = [0.70, 0.062, 0.050, 0.103, 0.161, 0.12, 0.082, 0.11, 0.141, 0.12, 0.108, 0.12, 0.13, 0.15]
    lines = [{"step": 10 * n + 1, "d_loss": loss, "g_loss": 3.0} for n, loss in enumerate(losses)]
    assert [doctor.hear(line | {"relativistic_accuracy": 1.0}) for line in lines] == [[]] * len(lines)


def test_a_generator_that_gains_on_a_discriminator_that_is_certain_is_not_dominated():
    """Measured on real cards: a residual network without norms, R1 and R2, from step 10 on; then made up."""
    g_losses = [13.5, 17.3, 13.2, 11.6, 10.7, 8.9, 9.5, 7.8, 7.8, 7.1, 6.7, 6.1, 5.9, 5.9, 5.8, 5.4, 5.6, 5.2]
    g_losses += [
        5.0,
        5.4,
        5.5,
        5.2,
        5.6,
        5.4,
        5.0,
        5.4,
        5.2,
        5.2,
        5.6,
        5.1,
        5.2,
        5.3,
        4.7,
        5.4,
        5.3,
        4.8,
        5.6,
    ]

    def play(losses: list[float]) -> list[Any]:
        doctor = Doctor(Facts(loss="relativistic", batch=32))
        lines = [{"step": 10 * n, "d_loss": 0.01, "g_loss": loss} for n, loss in enumerate(losses, 1)]
        return [found for line in lines for found in doctor.hear(line | {"relativistic_accuracy": 1.0})]

    assert play(g_losses) == []
    assert [key(found) for found in play(g_losses[:5] + [11.0] * 20)] == ["D2 domination"]


def test_a_few_pairs_that_are_ranked_wrong_by_far_make_no_weak_discriminator():
    """Measured on real cards, residual networks: the mean loss of 100 steps, 95 to 98 % ranked right."""
    for loss, right in ((90.6, 0.95), (0.991, 0.98), (1.122, 0.97)):
        line = {"d_loss": loss, "g_loss": 12.0, "relativistic_accuracy": right}
        assert hear(Facts(loss="relativistic", batch=64), *[line] * 20) == []
    line["relativistic_accuracy"] = 0.6
    found = hear(Facts(loss="relativistic", batch=64), *[line] * 20)
    assert [key(finding) for _, finding in found] == ["D3 discriminator too weak"]


def test_the_posted_recipe_is_called_within_a_hundred_steps():
    """Measured on real cards, batch 32: step, D loss, G loss, right on real and on fakes."""
    measured = [
        (1, 0.708, 0.688, 0.438, 0.531),
        (11, 0.588, 0.352, 1.0, 0.0),
        (21, 0.396, 1.741, 1.0, 0.625),
        (31, 0.175, 2.634, 0.875, 1.0),
        (41, 0.111, 3.014, 1.0, 1.0),
        (61, 0.003, 6.231, 1.0, 1.0),
        (71, 0.002, 6.5, 1.0, 1.0),
        (81, 0.001, 6.826, 1.0, 1.0),
    ]
    names = ("step", "d_loss", "g_loss", "real_accuracy", "fake_accuracy")
    doctor = Doctor(Facts(loss="posted", batch=32))
    found = [f for row in measured for f in doctor.hear(dict(zip(names, row, strict=True)))]
    assert [key(finding) for finding in found] == ["D2 domination"]
    assert found[0].severity is Severity.CRITICAL
    assert int(found[0].where.removeprefix("image ").replace(",", "")) < 100 * 32


def test_losses_alone_suffice_for_domination_where_nothing_else_is_known():
    doctor = Doctor()
    found = [(n, f) for n in range(1, 41) for f in doctor.hear({"d_loss": 1e-4, "g_loss": 10.0})]
    assert [(n, key(finding)) for n, finding in found] == [(20, "D2 domination")]
    assert found[0][1].where == "step 20"  # a line is a step where it does not say


def test_a_gradient_explodes_by_its_growth_and_a_large_one_is_no_explosion():
    """Measured: a residual generator without norms has 88 at its first step and 550 later, and learns."""
    assert hear(NON_SATURATING, *[{"g_gradient": 100.0 + 10 * n} for n in range(60)]) == []
    growing = [{"g_gradient": 0.02 * 1.4**n} for n in range(60)]
    ((at, exploded),) = hear(NON_SATURATING, *growing)
    assert (key(exploded), exploded.severity) == ("D4 exploding gradient", Severity.CRITICAL)
    assert growing[at]["g_gradient"] > 100


def test_a_part_that_hardly_varies_is_told_where_the_rest_varies_four_times_as_much():
    stiff = {"variety": 0.3, "least_variety": 0.09}
    assert hear(NON_SATURATING, *[stiff] * 5, every=125, first=500) == []
    found = hear(NON_SATURATING, *[stiff | {"variety": 0.45}] * 5, every=125, first=500)
    assert [key(finding) for _, finding in found] == ["D8 partial collapse"]


@pytest.mark.parametrize("alone", [{"variety": 0.1}, {"similarity": 0.3}])
def test_one_of_the_two_signals_suffices_to_see_a_collapse(alone):
    doctor = Doctor(NON_SATURATING)
    found = [finding for n in range(8) for finding in doctor.hear({"step": 2_000 + 10 * n} | alone)]
    assert [(key(finding), finding.severity) for finding in found] == [
        ("D7 mode collapse", Severity.CRITICAL)
    ]
    (shown,) = alone.values()
    assert f" {shown:.3g};" in found[0].evidence  # and nothing of what was not heard
    assert "," not in found[0].evidence


def test_what_is_drawn_the_same_in_the_first_steps_is_no_partial_collapse():
    stiff = {"least_variety": 0.05}
    assert hear(NON_SATURATING, *[stiff] * 49, first=0) == []
    ((at, _),) = hear(NON_SATURATING, *[stiff] * 60, first=0)
    assert at == 50


def test_a_card_of_no_dark_pixel_now_and_then_is_no_wrong_range():
    assert hear(NON_SATURATING, *[{"real_low": -0.4}] * 20) == []


def test_variety_that_still_grows_is_no_collapse_and_such_as_is_lost_again_is():
    """Measured with small networks on real cards, every 125 steps; then made up."""
    growing = [
        {"variety": v, "similarity": s} for v, s in [(0.11, 0.87), (0.22, 0.7), (0.2, 0.79), (0.47, 0.32)]
    ]
    assert hear(NON_SATURATING, *growing, every=125, first=125) == []
    lost = [{"variety": v, "similarity": 0.3} for v in (0.6, 0.7, 0.2, 0.2)]
    ((_, collapsed),) = hear(NON_SATURATING, *growing, *lost, every=125, first=125)
    assert (key(collapsed), collapsed.severity) == ("D7 mode collapse", Severity.CRITICAL)
    never = [{"variety": 0.07, "similarity": 0.89}] * 8
    ((at, collapsed),) = hear(NON_SATURATING, *never, every=125, first=125)
    assert (at, key(collapsed)) == (3, "D7 mode collapse")


def test_what_gets_worse_is_told_again_and_what_gets_better_is_over():
    doctor = Doctor(NON_SATURATING)
    lines = [0.7] * 3 + [0.97] * 3 + [0.1] * (RELIEF + 3)
    told, ended = [], []
    for n, r_v in enumerate(lines):
        told += [finding.severity for finding in doctor.hear({"step": n} | HEALTHY | {"r_v": r_v})]
        ended += [key(finding) for finding in doctor.ended]
    assert told == [Severity.WARNING, Severity.CRITICAL]
    assert ended == ["D5 discriminator overfits"]
    assert doctor.present == []


def test_cards_that_become_far_worse_have_diverged_and_such_as_no_longer_gain_are_told_twice():
    falling = [{"kid": 100.0 - n} for n in range(20)]
    assert hear(NON_SATURATING, *falling) == []
    ((_, worse),) = hear(NON_SATURATING, *falling, {"kid": 250.0}, {"kid": 260.0})
    assert (key(worse), worse.severity) == ("D10 diverged", Severity.CRITICAL)
    idle = hear(NON_SATURATING, *falling, *[{"kid": 90.0}] * 12)
    assert [(n, key(f)) for n, f in idle] == [(24, "D10 plateau"), (29, "D10 exhausted")]


def test_a_discriminator_too_sure_of_its_cards_is_told_where_nothing_is_held_out():
    sure = {name: value for name, value in HEALTHY.items() if name not in ("r_v", "held_logit")}
    facts = Facts(loss="non_saturating", batch=BATCH, held_out_cards=0)

    def found(facts: Facts, changes: dict[str, float]) -> list[str]:
        doctor = Doctor(facts)
        lines = [{"step": 10 * n} | sure | changes for n in range(70)]
        return [key(finding) for line in lines for finding in doctor.hear(line)]

    assert found(facts, {"real_accuracy": 0.995}) == ["D6 discriminator too sure of its cards"]
    assert found(facts, {"real_accuracy": 0.97}) == []
    assert found(facts, {"real_accuracy": 0.995, "held_logit": 1.3}) == []  # r_v will tell
    assert found(replace(facts, held_out_cards=200), {"real_accuracy": 0.995}) == []
    assert found(replace(facts, loss="relativistic"), {"real_accuracy": 0.995}) == []  # has no zero


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)
logs = st.lists(
    st.dictionaries(st.sampled_from([*sorted(SIGNALS), "step", "images", "lr"]), numbers, max_size=12),
    max_size=12,
)


@given(logs)
def test_whatever_is_heard_is_answered_and_heard_again_answered_alike(log):
    facts = Facts(loss="hinge", batch=8, training_cards=100)
    one, other = Doctor(facts), Doctor(facts)
    first = [one.hear(line) for line in log]
    assert first == [other.hear(line) for line in log]
    assert isinstance(one.status(), str)


def test_memory_does_not_grow_with_the_log():
    doctor = Doctor(NON_SATURATING)
    for step in range(3 * KEPT):
        doctor.hear({"step": step, "d_loss": 0.6, "g_loss": 1.0})
    assert {len(heard) for heard in doctor.history.signals.values()} == {KEPT}


def test_a_log_with_a_line_for_each_step_or_epoch_is_heard_at_its_own_pace():
    won = {"d_loss": 0.001, "g_loss": 9.0, "real_accuracy": 1.0, "fake_accuracy": 1.0}
    facts = Facts(loss="posted")
    assert [n for n, _ in hear(facts, *[won] * 60, every=1, first=1)] == [19]
    assert [n for n, _ in hear(facts, *[won] * 60, every=468, first=468)] == [2]


def write_run(folder: Path, log: str) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text(PRESETS["seed"](64, 64).to_json())
    (folder / "data.json").write_text('{"folder": "x", "fingerprint": "y", "training_cards": 2000}')
    (folder / "metrics.jsonl").write_text(log)
    return folder


def heard(run: Path) -> list[Any]:
    doctor = Doctor(facts_of_run(run))
    return [finding for line in metrics_of(run / "metrics.jsonl") for finding in doctor.hear(line)]


def test_a_run_that_is_still_being_written_is_examined(tmp_path):
    lines = [f'{{"step": {n}, "d_loss": 0.001, "g_loss": 9.0}}\n' for n in range(0, 60, 10)]
    found = heard(write_run(tmp_path / "run", "".join(lines) + '{"step": 60, "d_lo'))
    assert [key(finding) for finding in found] == ["D2 domination"]
    assert found[0].where == f"image {20 * 256:,}"


def test_what_is_no_run_is_refused_with_words(tmp_path):
    with pytest.raises(BadLog, match=r"config\.json"):
        heard(tmp_path)
    run = write_run(tmp_path / "run", "")
    assert heard(run) == []
    (run / "metrics.jsonl").unlink()
    assert heard(run) == []
    (run / "metrics.jsonl").mkdir()
    with pytest.raises(BadLog, match=r"metrics\.jsonl cannot be read"):
        heard(run)
    (run / "config.json").write_text("[1, 2]")
    with pytest.raises(BadLog, match="damaged"):
        heard(run)


def test_the_doctor_needs_no_tensorflow():
    program = "import sys, training.doctor.runs\nassert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
