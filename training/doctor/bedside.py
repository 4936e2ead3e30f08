"""The doctor at a run: hears what the loop logs, writes down what it finds, and treats what it can."""

from dataclasses import replace

from tqdm import tqdm

from training.checkpoints import Progress
from training.config import Config
from training.doctor.doctor import Doctor
from training.doctor.finding import Finding
from training.doctor.runs import facts_of, metrics_of
from training.doctor.treatment import Treatment, treat
from training.run import SETBACKS, GoBack, Run, Setback


class Bedside:
    """The doctor of one run.

    What it says follows from the log, and what it does from that and the progress: a resumed run is told and
    treated as the unbroken one.
    """

    def __init__(self, config: Config, run: Run, training_cards: int, held_out_cards: int) -> None:
        """Hear the lines that the run has logged already, without a word."""
        self.config, self.run = config, run
        self.returns = SETBACKS - len(run.setbacks)
        self.doctor = Doctor(facts_of(config, training_cards, held_out_cards))
        for line in metrics_of(run.metrics):
            self.doctor.hear(line)

    def hear(self, line: dict[str, float], progress: Progress) -> tuple[Progress, bool]:
        """Hear a line and tell what is new; return the progress as treated, and whether to stop.

        Raises GoBack, with the best checkpoint the newest.
        """
        news = self.doctor.hear(line)
        for finding in self.doctor.ended:
            self.write(finding, progress.step, over=True)
        stop = False
        for finding in self.doctor.present:
            treatment = treat(finding, progress, self.config, self.returns)
            if treatment:
                progress = treatment.progress
                stop |= "stop" in treatment.names
                self.tell(replace(finding, done=treatment.told), progress.step)
                self.go_back(finding, treatment)
            elif finding in news:
                self.tell(finding, progress.step)
        return progress, stop

    def go_back(self, finding: Finding, treatment: Treatment) -> None:
        """Leave the run as it was at its best, if that is the treatment. Raises GoBack."""
        progress = treatment.progress
        if "roll-back" not in treatment.names:
            return
        if self.run.writes:
            steps = self.run.checkpoints.steps()
            self.run.checkpoints.drop([step for step in steps if step > (progress.best_step or 0)])
        images = progress.step * self.config.batch
        raise GoBack(f"{finding.name.capitalize()} by image {images:,}", Setback(images, finding.name))

    def tell(self, finding: Finding, step: int) -> None:
        """Show a finding and write it down."""
        if self.run.writes:
            tqdm.write(str(finding))
        self.write(finding, step)

    def write(self, finding: Finding, step: int, over: bool = False) -> None:
        """Append a finding to findings.jsonl."""
        self.run.tell({"step": step} | finding.to_dict() | {"over": over})
