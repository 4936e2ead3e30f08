"""A run's folder: its configuration, what it logs, samples/ and checkpoints/."""

import fcntl
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from training.checkpoints import Checkpoints, Progress, State, Which
from training.config import Config, from_json
from training.dataset import Dataset
from training.models import Networks
from training.staging import sync
from training.trouble import Trouble, refusal

LOCK = ".lock"
KEPT = "Checkpoints are whole: a training goes on from the newest with --resume."


class BadRun(Trouble):
    """The run's folder is not what was asked for; the message says why and what to do."""


@dataclass(frozen=True)
class Source:
    """The dataset of a run."""

    folder: str
    fingerprint: str
    training_cards: int | None = None
    held_out_cards: int | None = None
    kinds: str = ""

    @classmethod
    def of(cls, folder: Path, cards: Dataset) -> "Source":
        """Describe a dataset that lies in a folder."""
        place = str(folder.resolve())
        return cls(place, cards.fingerprint, len(cards.train), len(cards.holdout), cards.kinds)


@dataclass(frozen=True)
class Setback:
    """Why a run went back to a checkpoint, and on with half the learning rate."""

    images: int
    broken: str  # what stopped being a number, or what else was wrong


SETBACKS = 3  # times that a run goes back and on


class GoBack(Trouble):
    """The newest checkpoint is better than where the run stands."""

    def __init__(self, told: str, setback: Setback) -> None:
        super().__init__(told)
        self.setback = setback


# What a resumed run may change: when it ends, and how often it tells of itself.
MOVABLE = {
    "images",
    "sample_every",
    "checkpoint_every",
    "checkpoint_minutes",
    "evaluate_every",
    "steps_per_call",
    "doctor",
    "without",
}


class Run:
    """The folder of one run, new or resumed."""

    def __init__(self, folder: Path, writes: bool = True) -> None:
        self.folder = folder
        self.writes = writes  # of several hosts one does
        self.metrics = folder / "metrics.jsonl"
        self.findings = folder / "findings.jsonl"
        self.samples = folder / "samples"
        self.checkpoints = Checkpoints(folder / "checkpoints")

    @staticmethod
    def create(
        folder: Path,
        config: Config,
        data: Source,
        writes: bool = True,
    ) -> "Run":
        """Make a run's folder, unless another host does. Raises BadRun if there is one already."""
        if not writes:
            return Run(folder, writes)
        refuse_taken(folder)
        run = Run(folder)
        run.make_folders()
        run.save_data(data)
        run.save_config(config)
        return run

    @staticmethod
    def open(folder: Path, writes: bool = True) -> "Run":
        """Open a run's folder. Raises BadRun if there is none."""
        if not (folder / "config.json").exists():
            raise BadRun(
                f"{folder} is not the folder of a run: config.json is missing. Name one that is, or start a "
                f"run there: holofoil train DATA {shlex.quote(str(folder))}"
            )
        return Run(folder, writes)

    def make_folders(self) -> None:
        """Make what files are written into, anew where a copy of the run has left it out."""
        for folder in (self.samples, self.checkpoints.folder):
            with refusal_told(folder, then=""):
                folder.mkdir(parents=True, exist_ok=True)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Lock the folder while training in it. Raises BadRun where another process has it locked.

        The system frees the lock when its process ends, however it ends.
        """
        if not self.writes:
            yield
            return
        self.make_folders()
        with refusal_told(self.folder / LOCK, then=""):
            file = (self.folder / LOCK).open("w")
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise BadRun(
                    f"Another process trains in {self.folder}. Wait for its end or stop it, then go on with "
                    "--resume."
                ) from None
            except OSError:  # of file systems without locks
                pass
            yield

    @property
    def config(self) -> Config:
        """The configuration the run was started with. Raises BadRun if its file is damaged."""
        with self.damage_told("config.json"):
            return from_json((self.folder / "config.json").read_text())

    def save_config(self, config: Config) -> None:
        """Write config.json, whole or not at all."""
        if self.writes:
            replace_text(self.folder / "config.json", config.to_json())

    @property
    def data(self) -> Source:
        """The dataset the run was started on. Raises BadRun if its file is damaged."""
        with self.damage_told("data.json"):
            return Source(**json.loads((self.folder / "data.json").read_text()))

    def save_data(self, data: Source) -> None:
        """Write data.json, whole or not at all."""
        if self.writes:
            replace_text(self.folder / "data.json", json.dumps(asdict(data), indent=2))

    @property
    def to_go_on(self) -> str:
        """The command that goes on with this run."""
        return going_on(self.data.folder, self.folder)

    @property
    def to_use(self) -> str:
        """What to do with a run that has ended."""
        run = shlex.quote(str(self.folder))
        return (
            f"Look at it: {self.folder / 'report.html'}\nMeasure its cards: holofoil evaluate {run}\n"
            f"Publish it: holofoil export {run} STORE"
        )

    @contextmanager
    def damage_told(self, name: str) -> Iterator[None]:
        """Turn what reading a damaged file raises into BadRun."""
        try:
            yield
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadRun(
                f"{self.folder / name} is damaged ({error}). Put the file back as it was, or start a new run."
            ) from None

    @property
    def setbacks(self) -> list[Setback]:
        """How often the run had to go back. Raises BadRun if its file is damaged."""
        if not (self.folder / "setbacks.json").exists():
            return []
        with self.damage_told("setbacks.json"):
            return [Setback(**setback) for setback in json.loads((self.folder / "setbacks.json").read_text())]

    def save_setbacks(self, setbacks: list[Setback]) -> None:
        """Write setbacks.json, so that a resumed run keeps to the lower learning rate."""
        if self.writes:
            replace_text(self.folder / "setbacks.json", json.dumps([asdict(setback) for setback in setbacks]))

    def log(self, metrics: dict[str, float]) -> None:
        """Append one line to metrics.jsonl. Raises BadRun where the disk does not take it."""
        self.append(self.metrics, metrics)

    def tell(self, finding: Mapping[str, object]) -> None:
        """Append one line to findings.jsonl. Raises BadRun where the disk does not take it."""
        self.append(self.findings, {**finding, "setbacks": len(self.setbacks)})

    def append(self, log: Path, line: Mapping[str, object]) -> None:
        """Append one line of JSON to a file."""
        if not self.writes:
            return
        with refusal_told(log), log.open("a") as file:
            file.write(json.dumps(line) + "\n")

    def begin_anew(self) -> None:
        """Rename the logs of a run that has no checkpoint to go on from."""
        for log in (self.metrics, self.findings):
            if self.writes and log.exists():
                aside = log.with_name(f"{log.name}.before")
                log.replace(aside)
                tqdm.write(f"{self.folder} has no checkpoint and begins anew. Its log until now is {aside}.")

    def forget_after(self, step: int) -> None:
        """Drop the lines that a resumed run will write again, or that were cut short.

        What was found before the run went back stays: it says why.
        """
        setbacks = len(self.setbacks)
        for log in (self.metrics, self.findings):
            if self.writes and log.exists():
                lines = log.read_text(errors="replace").splitlines(keepends=True)
                kept = [line for line in lines if place(line, setbacks) <= step]
                replace_text(log, "".join(kept))

    def save_sample(self, images: int, cards: NDArray[np.uint8]) -> None:
        """Write one grid of cards, named by how many images the run has seen."""
        if not self.writes:
            return
        replace_png(self.samples / f"{images:09d}.png", grid(cards))

    def save_checkpoint(self, progress: Progress, state: dict[str, State]) -> None:
        """Save where the run stands. Raises BadCheckpoint where the disk does not take it."""
        if self.writes:
            self.checkpoints.save(progress, **state)

    def refuse_other_data(self, cards: Dataset) -> None:
        """Raise BadRun if the run was started on other cards, or on the same as other kinds."""
        if self.data.fingerprint != cards.fingerprint:
            raise BadRun(
                f"{self.folder} was trained on other cards, prepared at {self.data.folder}. "
                "Name those, or start a new run on these."
            )
        before = self.config.classes
        if cards.classes and (cards.classes != before or self.data.kinds not in ("", cards.kinds)):
            raise BadRun(
                f"{self.folder} was trained on these cards in other sub-folders, as the kinds "
                f"{', '.join(before)}. Put them back and prepare the folder anew, or start a new run."
            )

    def refuse_other_config(self, config: Config, progress: Progress) -> None:
        """Raise BadRun if the newest checkpoint was trained with other numbers than these."""
        for name in (field.name for field in fields(Config) if field.name not in MOVABLE):
            now, then = getattr(config, name), getattr(progress.config, name)
            if now != then:
                raise BadRun(
                    f"{self.folder / 'config.json'} says {name} is {now}; its checkpoint was trained with "
                    f"{then}. Put that back, or start a new run: "
                    f"holofoil train DATA RUN --from {shlex.quote(str(self.folder))}"
                )

    def restore(self, networks: Networks, which: Which = "newest") -> int:
        """Load a checkpoint, the newest or the best that was evaluated; return the images it has seen.

        Raises BadRun if there is none.
        """
        progress = self.checkpoints.load(which, **networks.parts())
        if progress is None:
            raise BadRun(
                f"{self.folder} has no checkpoint yet. Train it for longer: {going_on('DATA', self.folder)}"
            )
        return progress.step * self.config.batch


def going_on(data: str, folder: Path) -> str:
    """Return the command that goes on with the run in a folder, trained on this dataset."""
    return shlex.join(["holofoil", "train", data, str(folder), "--resume"])


def refuse_taken(folder: Path) -> None:
    """Raise BadRun if the folder already holds a run, or is a file."""
    if folder.exists() and not folder.is_dir():
        raise BadRun(f"{folder} is a file. Name a folder for the run.")
    if (folder / "config.json").exists():
        raise BadRun(
            f"{folder} holds a run already. Name another folder, or go on with it: {going_on('DATA', folder)}"
        )


def replace_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all. Raises BadRun where the disk does not take it."""
    replace_bytes(path, text.encode())


def replace_png(path: Path, picture: NDArray[np.uint8]) -> None:
    """Write a picture (height, width, 3) as PNG, whole or not at all. Raises BadRun."""
    content = io.BytesIO()
    Image.fromarray(picture).save(content, "PNG")
    replace_bytes(path, content.getvalue())


def replace_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises BadRun where the disk does not take it."""
    written = path.with_name(f".{path.name}.part")
    with refusal_told(path):
        try:
            written.write_bytes(content)
            sync(written)
            written.rename(path)
        finally:
            written.unlink(missing_ok=True)


@contextmanager
def refusal_told(path: Path, then: str = KEPT) -> Iterator[None]:
    """Turn a disk's refusal into BadRun, and say what comes then."""
    try:
        yield
    except OSError as error:
        told = f"{refusal(error, f'{path} could not be written')} {then}"
        raise BadRun(told.strip()) from error


def place(line: str, setbacks: int) -> float:
    """Return a line's step: before all if the run has gone back since, after all if it cannot be read."""
    try:
        told = json.loads(line)
        return float(told["step"]) if told.get("setbacks", setbacks) == setbacks else -math.inf
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return math.inf


def grid(cards: NDArray[np.uint8], gap: int = 2, columns: int | None = None) -> NDArray[np.uint8]:
    """Lay cards (n, height, width, 3) out as one picture on white, nearly square unless columns are given."""
    n, height, width, _ = cards.shape
    columns = columns or math.ceil(math.sqrt(n * height / width))
    rows = math.ceil(n / columns)
    sheet = np.full((rows * (height + gap) + gap, columns * (width + gap) + gap, 3), 255, np.uint8)
    for i, card in enumerate(cards):
        y, x = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        sheet[y : y + height, x : x + width] = card
    return sheet
