"""An audit: every picture of a folder looked at, and what is wrong with them."""

import json
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from training import presets
from training.audit import rules
from training.audit.copies import Copies, exact_copies
from training.audit.exhibit import Exhibit, printable
from training.audit.pictures import Look, look_at
from training.audit.rules import Aim
from training.config import Config
from training.doctor.consult import exit_code
from training.doctor.finding import Severity
from training.folder import Orientation, Pictures, Skip, in_threads, parse_size, suiting_size, survey
from training.trouble import NothingToJudge, Trouble, refusal

GPU = Path("/dev/nvidia0")  # TensorFlow would take seconds to tell


class NoAudit(NothingToJudge):
    """There is nothing to look at; the message says why."""


@dataclass(frozen=True)
class Audit:
    """What was found in a folder."""

    folder: Path
    aim: Aim
    files: int  # that should be pictures
    looks: list[Look]  # at what can be trained on
    skipped: list[Skip]  # what prepare would leave out
    exhibits: list[Exhibit]  # the worst first

    def pictures_of(self, id: str) -> dict[str, str]:
        """Return the files that a finding is about, each with the one it is compared with."""
        found = [exhibit for exhibit in self.exhibits if exhibit.finding.id == id]
        return {shown.file: shown.beside for exhibit in found for shown in exhibit.shown}

    @property
    def status(self) -> int:
        """The exit code: 1 if anything is worse than a note."""
        return exit_code([exhibit.finding for exhibit in self.exhibits])

    @cached_property
    def facts(self) -> dict[str, str]:
        """What the folder holds, in words."""
        formats = Counter(look.stored.format for look in self.looks)
        height, width = np.median([look.size for look in self.looks] or [(0, 0)], axis=0).astype(int)
        return {
            "pictures": f"{self.files:,}",
            "fit for training": f"{len(self.looks):,}",
            "median size": f"{width}x{height}",
            "formats": ", ".join(f"{name} {count:,}" for name, count in formats.most_common()) or "none",
            "judged for": f"{self.aim.config.preset} at {self.aim.size}",
        }

    @property
    def verdict(self) -> str:
        """Everything in one sentence."""
        counts = Counter(exhibit.finding.severity for exhibit in self.exhibits)
        named = [
            f"{counts[severity]} {words_for(severity, counts[severity])}" for severity in sorted(counts)[::-1]
        ]
        return f"{', '.join(named)}." if named else "Nothing is wrong with these pictures."

    def text(self) -> str:
        """Write it for a terminal."""
        facts = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        head = f"{printable(str(self.folder))}: {facts}."
        return "\n".join([head, *(str(exhibit.finding) for exhibit in self.exhibits), self.verdict])

    def to_json(self) -> str:
        """Write it for a program; bytes of names that are no UTF-8 are lone surrogates."""
        findings = [
            exhibit.finding.to_dict() | {"files": [asdict(shown) for shown in exhibit.shown]}
            for exhibit in self.exhibits
        ]
        whole = {
            "format": 1,
            "folder": str(self.folder),
            "preset": self.aim.config.preset,
            "size": self.aim.size,
            "files": self.files,
            "usable": len(self.looks),
            "status": self.status,
            "findings": findings,
        }
        return json.dumps(whole, indent=1)


def words_for(severity: Severity, count: int) -> str:
    """Name so many findings of a severity."""
    return severity.word if count == 1 or severity is Severity.CRITICAL else f"{severity.word}s"


@contextmanager
def or_no_audit(place: object = "audit") -> Generator[None]:
    """Turn what stands in the way into a NoAudit: its exit code is no verdict on the pictures."""
    try:
        yield
    except Trouble as trouble:
        raise NoAudit(str(trouble)) from None
    except OSError as error:
        raise NoAudit(refusal(error, error.filename or place)) from None


@or_no_audit()
def audit(folder: Path, size: str = "auto", preset: str = "auto", orientation: Orientation = "one") -> Audit:
    """Look at every picture below a folder, once, and judge them for a size and a preset.

    Raises NoAudit for a folder that cannot be read or has no pictures, and for no such size or preset.
    """
    height, width = parse_size(size)
    configured(preset, height or 64, width or 64)  # refused before an hour of looking
    pictures, skipped = survey(folder, orientation)
    files = len(pictures.names) + len(skipped)
    if height is None or width is None:
        height, width = suiting_size(pictures.aspect) if pictures.names else (56, 40)
    aim = Aim(configured(preset, height, width))
    looks, useless = looked_at(pictures)
    copies = exact_copies(looks)
    skipped += useless + [Skip(copy, "copy", f"Same as {kept}.") for copy, kept in copies.items()]
    looks = [look for look in looks if look.name not in copies]
    exhibits = judged(looks, skipped, copies, files, aim)
    return Audit(folder, aim, files, looks, skipped, exhibits)


def configured(preset: str, height: int, width: int) -> Config:
    """Return a preset at a size; auto chooses by whether there is a GPU. Raises BadConfig."""
    name = presets.suiting(GPU.exists(), None) if preset == presets.AUTO else preset
    return presets.configure(name, height, width)


def looked_at(pictures: Pictures) -> tuple[list[Look], list[Skip]]:
    """Look at every picture, reduced; return also which are of no use."""
    sizes = [(height, width) for height, width in pictures.sizes.tolist()]
    named = list(zip(pictures.names, sizes, strict=True))
    results = in_threads(lambda one: looked(pictures.folder, *one), named, "audit")
    looks: list[Look] = []
    useless: list[Skip] = []
    for result in results:
        useless.append(result) if isinstance(result, Skip) else looks.append(result)
    return looks, useless


def looked(folder: Path, name: str, size: tuple[int, int]) -> Look | Skip:
    """Look at one picture and let go of its pixels."""
    result = look_at(folder, name, size, reduced=True)
    return result if isinstance(result, Skip) else result[1]


def judged(looks: list[Look], skipped: list[Skip], copies: Copies, files: int, aim: Aim) -> list[Exhibit]:
    """Apply every rule."""
    sizes = np.array([look.size for look in looks], np.int32).reshape(-1, 2)
    pictures = Pictures(Path(), [look.name for look in looks], sizes)
    few = rules.few_cards(len(looks), aim)
    found = [
        *rules.present([few]),
        *rules.of_files(skipped, copies, files),
        *rules.of_sizes(pictures, aim),
        *rules.of_looks(looks),
    ]
    return sorted(found, key=lambda exhibit: -exhibit.finding.severity)  # among equals the order stays
