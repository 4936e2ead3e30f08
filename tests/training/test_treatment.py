"""What is done about a finding: pure functions of it and of where the run stands."""

from dataclasses import replace

import pytest

from training.checkpoints import Progress
from training.doctor.finding import Finding, Severity
from training.doctor.treatment import PATIENCE, STRONGEST, treat
from training.presets import configure

ACT = configure("dcgan-r1", 56, 40, augment="adaptive")
START = Progress(1_000, 0.2, ACT)


def finding(name: str, severity: Severity = Severity.CRITICAL) -> Finding:
    id_, _, words = name.partition(" ")
    return Finding(id_, words, severity, "", "", "", "")


def test_domination_is_met_with_penalty_and_augmentation_together_until_both_are_at_their_end():
    progress, step, strengths = START, START.step, []
    while treatment := treat(finding("D2 domination"), progress, ACT, 3):
        strengths.append(treatment.progress.strength)
        assert treat(finding("D2 domination"), treatment.progress, ACT, 3) is None  # it is given time
        step += PATIENCE
        progress = replace(treatment.progress, step=step)
    assert strengths == [2, 4, 8, 16, 16, 16]
    assert progress.probability == pytest.approx(0.8)
    best = replace(progress, best_step=500)
    last = treat(finding("D2 domination"), best, ACT, 1)
    assert last
    assert last.names == ("roll-back",)
    assert treat(finding("D2 domination"), best, ACT, 0) is None


def test_what_was_done_is_told_with_its_number_and_how_to_leave_it():
    treatment = treat(finding("D7 mode collapse"), START, ACT, 3)
    assert treatment
    assert treatment.told == f"gamma raised to {2 * ACT.r1:.3g} (not wanted? --without raise-r1)"
    assert treatment.progress.treated == {"D7 mode collapse": 1_000}


@pytest.mark.parametrize("name", ["raise-r1", "raise-augment", "roll-back", "stop"])
def test_each_treatment_can_be_switched_off(name):
    config = replace(ACT, without=(name,))
    progress = replace(START, best_step=500)
    for trouble in ("D2 domination", "D5 discriminator overfits", "D7 mode collapse", "D10 diverged"):
        treatment = treat(finding(trouble), progress, config, 3)
        assert treatment is None or name not in treatment.names
    assert treat(finding("D10 exhausted"), progress, replace(ACT, without=("stop",)), 3) is None


@pytest.mark.parametrize("doctor", ["off", "watch"])
def test_a_doctor_that_watches_treats_nothing(doctor):
    assert treat(finding("D2 domination"), START, replace(ACT, doctor=doctor), 3) is None


def test_what_would_change_nothing_or_is_not_bad_enough_is_not_done():
    bare = configure("seed", 64, 64)
    assert treat(finding("D2 domination"), Progress.at_start(bare), bare, 3) is None
    assert treat(finding("D7 mode collapse", Severity.WARNING), START, ACT, 3) is None
    assert treat(finding("D2 domination", Severity.WARNING), START, ACT, 3) is None
    assert treat(finding("D12 checkerboard"), START, ACT, 3) is None
    strongest = replace(START, strength=STRONGEST, probability=0.8)
    assert treat(finding("D2 domination"), strongest, ACT, 3) is None


def test_a_run_without_hope_is_stopped():
    treatment = treat(finding("D10 exhausted", Severity.WARNING), START, ACT, 3)
    assert treatment
    assert treatment.names == ("stop",)
