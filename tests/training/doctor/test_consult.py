"""`holofoil doctor` as it is called."""

import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from training.doctor import consult
from training.doctor.consult import BadTarget
from training.doctor.finding import Severity
from training.trouble import Trouble

SCRIPTS = Path(__file__).parent / "scripts"
LOGS = Path(__file__).parents[2] / "logs"


def doctor(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "training", "doctor", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_findings_are_printed_worst_first_and_summed_up():
    ran = doctor(SCRIPTS / "posted.py")
    lines = ran.stdout.strip().splitlines()
    assert ran.returncode == 1
    assert lines[0].startswith("critical C1 undefined name (line 108)")
    assert lines[-2] == "14 findings: 4 critical, 4 warning, 6 note."
    assert lines[-1] == (
        f"Write a repaired copy: holofoil doctor {SCRIPTS / 'posted.py'} --fix posted-mended.py"
    )


def test_healthy_code_gets_one_line():
    ran = doctor(SCRIPTS / "healthy_r1.py")
    assert (ran.returncode, ran.stdout) == (0, "healthy: nothing found.\n")


def test_machines_get_json():
    ran = doctor(SCRIPTS / "wgan_gp_flawed.py", "--json")
    found = json.loads(ran.stdout)
    assert (found[0]["id"], found[0]["severity"]) == ("C20", "critical")
    assert set(found[0]) >= {"id", "name", "severity", "what", "evidence", "why", "remedy", "where"}


def test_a_repaired_script_is_written_and_told(tmp_path):
    ran = doctor(SCRIPTS / "posted.py", "--fix", tmp_path / "mended.py")
    assert "mended: C3" in ran.stdout
    assert re.search(r"not mended: C17 weaker by parameters only \(line \d+ of mended.py\)", ran.stdout)
    assert ran.stdout.splitlines()[-1] == (
        f"Run it on a folder of pictures: python {tmp_path / 'mended.py'} FOLDER"
    )
    assert (tmp_path / "mended.py").exists()


@pytest.mark.parametrize("name", ["broken.py", "missing.py", "picture.png"])
def test_what_cannot_be_read_ends_with_2_and_no_traceback(tmp_path, name):
    if name != "missing.py":
        (tmp_path / name).write_text("def f(:")
    ran = doctor(tmp_path / name)
    assert ran.returncode == 2
    assert ran.stderr.startswith("holofoil: ")
    assert "Traceback" not in ran.stderr


def test_a_target_that_the_system_refuses_ends_with_2_as_well():
    ran = doctor("/proc/self/mem")
    assert (ran.returncode, ran.stderr) == (
        2,
        "holofoil: /proc/self/mem cannot be read: Input/output error.\n",
    )
    with pytest.raises(BadTarget, match="File name too long"):
        consult.consult(Path("x" * 300))


def test_a_log_without_numbers_says_where_they_would_be(tmp_path):
    (tmp_path / "log.csv").write_text("step,d_loss,g_loss\n")
    ran = doctor(tmp_path / "log.csv")
    assert ran.returncode == 2
    assert "Name the file that the losses are written to" in ran.stderr


def test_notes_alone_are_no_failure():
    findings = [found for found in consult.consult(SCRIPTS / "posted.py") if found.severity == Severity.NOTE]
    assert consult.exit_code(findings) == 0
    assert consult.exit_code([]) == 0


def test_only_scripts_are_mended(tmp_path):
    with pytest.raises(Trouble, match="is not a script"):
        consult.fix(tmp_path / "log.csv", tmp_path / "out.py")


def test_reading_a_script_does_not_import_tensorflow():
    check = (
        "import sys; from pathlib import Path; from training.doctor.code import examine; "
        f"examine(Path({str(SCRIPTS / 'posted.py')!r})); sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0


def test_a_log_is_heard_and_drawn(tmp_path):
    log = shutil.copy(LOGS / "collapse" / "report.txt", tmp_path)
    ran = doctor(log, "--plot", tmp_path / "curves.png")
    assert ran.returncode == 1
    assert ran.stdout.splitlines()[0].startswith("critical D2 domination")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_of_a_log_that_shows_nothing_wrong_that_is_said(tmp_path):
    log = shutil.copy(LOGS / "healthy" / "report.txt", tmp_path)
    ran = doctor(log)
    assert ran.returncode == 0
    assert ran.stdout.startswith("note L1 how the log was read")
    assert ran.stdout.splitlines()[-1] == "No sign of failure in what was read."


def test_a_runs_folder_is_heard_by_its_log(tiny_run, tmp_path):
    run = shutil.copytree(tiny_run.run, tmp_path / "run")
    with (run / "metrics.jsonl").open("a") as file:
        file.write('{"step": 9, "images"')  # as a run leaves it that goes on
    ran = doctor(run)
    assert ran.returncode == 1
    assert ran.stdout.startswith("warning D13 few cards")
    (run / "metrics.jsonl").unlink()
    assert doctor(run).returncode == 2


def test_relativistic_logits_are_not_taken_for_smoothed_labels(tiny_run, tmp_path):
    """They have no absolute zero: no real card above it, and a loss near nothing."""
    run = shutil.copytree(tiny_run.run, tmp_path / "run")
    line = {
        "d_loss": 0.16,
        "g_loss": 1.9,
        "real_accuracy": 0.0,
        "fake_accuracy": 1.0,
        "relativistic_accuracy": 1.0,
    }
    lines = [json.dumps({"step": step, "images": 8 * step, **line}) for step in range(10, 2000, 10)]
    (run / "metrics.jsonl").write_text("\n".join(lines))
    config = json.loads((run / "config.json").read_text()) | {"loss": "relativistic"}
    (run / "config.json").write_text(json.dumps(config))
    assert "L6" not in doctor(run).stdout
    foreign = shutil.copy(run / "metrics.jsonl", tmp_path / "log.jsonl")
    assert "L6" not in doctor(foreign).stdout


def test_a_script_has_no_columns():
    ran = doctor(SCRIPTS / "posted.py", "--columns", "d_loss=a")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "--columns and --plot are for logs" in ran.stderr


def test_a_reader_that_has_enough_is_no_error():
    command = f"{sys.executable} -m training doctor {SCRIPTS / 'posted.py'} | true; exit ${{PIPESTATUS[0]}}"
    ran = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (128 + signal.SIGPIPE, "")
