"""A second folder with what is fit for training; the first is never touched."""

import json
import os
import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

from PIL import ImageOps

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, Card, opened, upright_rgb
from training.audit.audit import Audit, NoAudit, or_no_audit
from training.audit.margins import Margins, margins
from training.audit.rules import usual_margins
from training.staging import staged

CHANGES = "changes.json"  # what was left out and what was cropped
QUALITY = 95  # of cropped JPEG and WebP files


@dataclass(frozen=True)
class Changes:
    """What the new folder has and has not."""

    out: Path
    kept: int
    cropped: dict[str, str]  # how, by file
    left_out: dict[str, str]  # why, by file

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.out}: {self.kept:,} pictures, {len(self.cropped):,} of them cropped; "
            f"{len(self.left_out):,} left out, listed in {self.out / CHANGES}. "
            f"Next: holofoil prepare {shlex.quote(str(self.out))} DATA"
        )


@or_no_audit()
def fix(audit: Audit, out: Path, crop: bool = False, near: bool = False) -> Changes:
    """Fill a new folder with the pictures that are fit for training, in the same sub-folders.

    Left out is what cannot be read, is animated or blank, lies the other way or repeats another; near leaves
    out near copies too. crop cuts wider margins down to the usual ones. Files that are not cropped are
    hard links where the disk allows it, else copies. Raises NoAudit if `out` is there or in the folder.
    """
    if os.path.lexists(out):
        raise NoAudit(f"{out} is there already. Choose another place for --fix or delete it first.")
    if out.resolve().is_relative_to(audit.folder.resolve()):
        raise NoAudit(f"{out} lies in {audit.folder} itself. Choose a place for --fix outside of it.")
    left_out = {skip.file: skip.reason for skip in audit.skipped}
    if near:
        left_out |= {copy: f"Nearly the same as {kept}." for copy, kept in audit.pictures_of("A4").items()}
    wide = audit.pictures_of("A14") if crop else {}
    kept = [look for look in audit.looks if look.name not in left_out]
    usual = usual_margins(audit.looks) if wide else Margins()
    cropped: dict[str, str] = {}
    with or_no_audit(out), staged(out) as staging:
        for look in kept:
            source, target = audit.folder / look.name, staging / look.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if look.name in wide:
                cropped[look.name] = write_cropped(source, target, usual)
            else:
                link(source, target)
        listed = {"folder": str(audit.folder), "left_out": left_out, "cropped": cropped}
        (staging / CHANGES).write_text(json.dumps(listed, indent=1))
    return Changes(out, len(kept), cropped, left_out)


def link(source: Path, target: Path) -> None:
    """Give a file a second name; copy it where that cannot be, as on another disk."""
    origin = os.path.realpath(source)  # a link that is relative would lead elsewhere
    try:
        os.link(origin, target)
    except OSError:
        shutil.copy2(origin, target)


def write_cropped(source: Path, target: Path, usual: Margins) -> str:
    """Write a picture whose margins are no wider than usual, in its own format; return what was done."""
    try:
        with source.open("rb") as file, opened(file, FOLDER_FORMATS, FOLDER_MAX_PIXELS) as image:
            image.load()
            box = kept_box(upright_rgb(image).card, usual)
            upright = ImageOps.exif_transpose(image)
            kind, profile = image.format, image.info.get("icc_profile")
    except BadCard as bad:
        raise NoAudit(f"{source} changed while it was cropped: {bad}") from None
    # Not above, where a full disk would be taken for a damaged picture.
    upright.crop(box).save(target, kind, quality=QUALITY, icc_profile=profile)
    return "from {}x{} to {}x{}".format(*upright.size, box[2] - box[0], box[3] - box[1])


def kept_box(card: Card, usual: Margins) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom, in pixels, of what is left of a card without its margins.

    Where its own border was taken for margin, as a white one on white ground, the usual width of it is kept.
    """
    height, width = card.shape[:2]
    top, right, bottom, left = margins(card)
    box = (round(left * width), round(top * height), round((1 - right) * width), round((1 - bottom) * height))
    inner = card[box[1] : box[3], box[0] : box[2]]
    missing = Margins(*(max(0.0, one - own) for one, own in zip(usual, margins(inner), strict=True)))
    return (
        max(0, round(box[0] - missing.left * inner.shape[1])),
        max(0, round(box[1] - missing.top * inner.shape[0])),
        min(width, round(box[2] + missing.right * inner.shape[1])),
        min(height, round(box[3] + missing.bottom * inner.shape[0])),
    )
