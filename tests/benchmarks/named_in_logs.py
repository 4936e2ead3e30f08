"""What the doctor of logs says of the logs in tests/logs, form by form, as a table in Markdown.

python -m tests.benchmarks.named_in_logs [FOLDER]
"""

import sys
from pathlib import Path

from training.doctor.finding import Severity
from training.doctor.logs import read

LOGS = Path(__file__).parents[1] / "logs"


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else LOGS
    print("| run | form | lines | first finding | where | all findings | notes |")
    print("|---|---|---|---|---|---|---|")
    for run in sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] not in "._"):
        for log in sorted(
            path for path in run.iterdir() if path.suffix != ".png" and path.name != "config.json"
        ):
            examination = read(log)
            wrong = [found for found in examination.findings if found.severity > Severity.NOTE]
            first = f"{wrong[0].severity.word} {wrong[0].id} | {wrong[0].where}" if wrong else "none | "
            ids = ", ".join(found.id for found in wrong)
            notes = ", ".join(note.id for note in examination.findings if note.severity == Severity.NOTE)
            print(
                f"| {run.name} | {log.name}, {examination.log.kind} | {examination.survey.rows} "
                f"| {first} | {ids} "
                f"| {notes} |"
            )


if __name__ == "__main__":
    main()
