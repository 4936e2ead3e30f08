"""What can be wrong with a folder of pictures: each rule is a function that finds one thing, or nothing."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from training.audit.copies import Copies, near_copies
from training.audit.exhibit import Exhibit, Shown, where
from training.audit.margins import Margins
from training.audit.pictures import FLAT, Look
from training.audit.templates import templates
from training.config import Config
from training.doctor.finding import Finding, Severity
from training.folder import Pictures, Skip

FEWEST_CARDS = 16
HOPELESS = 32  # cards below which even a CPU's batch holds nearly all of them
ENOUGH_CARDS = 300
SHOWINGS = 1000  # of one card in a run, beyond which the discriminator knows it by heart
SHAPES_DIFFER = 0.03  # standard deviation of the aspects, as a share of their median
SHAPES_DIFFER_MUCH = 0.06
SIZES_DIFFER = 4.0  # how much longer the sides of the 95th percentile are than those of the 5th
WIDER = 0.06  # share of a side by which a margin exceeds the others'
USELESS = {"animated", "copy", "flat", "odd"}  # codes of files that can be read
ALONE = 0.02  # share below which an oddity is a handful of pictures
NEARLY_ALL = 0.98

# Every rule by its id, for the page and the docs.
NAMES = {
    "A1": "too few cards",
    "A2": "unreadable files",
    "A3": "copies",
    "A4": "near copies",
    "A5": "shapes that differ",
    "A6": "resolutions that differ",
    "A7": "mixed orientation",
    "A8": "transparency",
    "A9": "greyscale",
    "A10": "CMYK",
    "A11": "16 bits",
    "A12": "animations",
    "A13": "blank pictures",
    "A14": "margins that differ",
    "A15": "mixed templates",
    "A16": "too small",
}


@dataclass(frozen=True)
class Aim:
    """What the pictures are to be trained with."""

    config: Config

    @property
    def size(self) -> str:
        """The size of a card, as --size takes it."""
        return f"{self.config.width}x{self.config.height}"

    @property
    def enough(self) -> int:
        """How many cards the preset can be trained on well: it shows none more than a thousand times."""
        return max(ENOUGH_CARDS, self.config.images // SHOWINGS)


def of_files(skipped: list[Skip], copies: Copies, total: int) -> list[Exhibit]:
    """Find what makes files of no use, among so many files."""
    useless = [unreadable, mixed_orientation, animated, blank]
    return present([copied(copies, total), *(rule(skipped, total) for rule in useless)])


def of_sizes(pictures: Pictures, aim: Aim) -> list[Exhibit]:
    """Find what headers alone tell, of pictures that lie one way."""
    return present([shapes_differ(pictures, aim), sizes_differ(pictures), too_small(pictures, aim)])


def of_looks(looks: list[Look]) -> list[Exhibit]:
    """Find what the pixels tell, of pictures that are no copies and not blank."""
    stored = [transparent, greyscale, cmyk, sixteen_bits, margins_differ, mixed_templates]
    return present([near_copied(looks), *(rule(looks) for rule in stored)] if looks else [])


def present(exhibits: Iterable[Exhibit | None]) -> list[Exhibit]:
    """Leave out the rules that found nothing."""
    return [exhibit for exhibit in exhibits if exhibit is not None]


def few_cards(count: int, aim: Aim) -> Exhibit | None:
    """A1: what is left does not suffice for the preset."""
    if count >= aim.enough:
        return None
    config = aim.config
    showings = f", each of which it would show {config.images // count:,} times" if count else ""
    return exhibit_of(
        "A1",
        Severity.CRITICAL if count < HOPELESS else Severity.WARNING,
        f"{count:,} cards are few for --preset {config.preset}.",
        f"{count:,} cards to train on{showings}; {aim.enough:,} or more suffice",
        "A card seen a thousand times is memorised by the discriminator, and copied by the generator.",
        f"Add pictures, or start from trained weights: holofoil train DATA RUN --preset {config.preset} "
        "--from OTHER_RUN --freeze 2",
    )


def unreadable(skipped: list[Skip], total: int) -> Exhibit | None:
    """A2: files that are no pictures, damaged, too large or closed to this user."""
    bad = [skip for skip in skipped if skip.code not in USELESS]
    if not bad:
        return None
    codes = Counter(skip.code for skip in bad)
    return exhibit_of(
        "A2",
        by_share(len(bad), total),
        f"{counted(len(bad), total, 'file')} cannot be read.",
        ", ".join(f"{count:,} {code}" for code, count in codes.most_common()),
        "What cannot be read is left out; many at once are a sign that a download or a disk went wrong.",
        "Save them again, or leave them out: holofoil audit FOLDER --fix OUT",
        [Shown(skip.file, skip.reason) for skip in bad],
    )


def animated(skipped: list[Skip], total: int) -> Exhibit | None:
    """A12: animations, of which no frame is the card."""
    shown = [Shown(skip.file, "several frames") for skip in skipped if skip.code == "animated"]
    if not shown:
        return None
    return exhibit_of(
        "A12",
        by_share(len(shown), total),
        f"{counted(len(shown), total, 'file')} are animated.",
        counted(len(shown), total, "file"),
        "A generator draws one still card; which frame is meant cannot be guessed.",
        "Save one frame of each, or leave them out: holofoil audit FOLDER --fix OUT",
        shown,
    )


def copied(copies: Copies, total: int) -> Exhibit | None:
    """A3: the same pixels twice."""
    if not copies:
        return None
    return exhibit_of(
        "A3",
        min(Severity.WARNING, by_share(len(copies), total)),
        f"{counted(len(copies), total)} show the same as another.",
        f"{len(copies):,} pictures with the pixels of {len(set(copies.values())):,} others",
        "A card that is there twice counts twice, and a copy in the hold-out would hide overfitting.",
        "prepare keeps one of each; so does: holofoil audit FOLDER --fix OUT",
        [Shown(copy, "same pixels", kept) for copy, kept in copies.items()],
    )


def near_copied(looks: list[Look]) -> Exhibit | None:
    """A4: the same card saved, scaled or lit in another way."""
    copies = near_copies(looks)
    if not copies:
        return None
    return exhibit_of(
        "A4",
        min(Severity.WARNING, by_share(len(copies), len(looks))),
        f"{counted(len(copies), len(looks))} show nearly the same as another.",
        f"perceptual hashes and 16x16 layouts of {len(copies):,} pictures agree with those of "
        f"{len(set(copies.values())):,} others",
        "Near copies give a card more weight than the rest, and one in the hold-out hides overfitting.",
        "Look at them; if they are the same card: holofoil audit FOLDER --fix OUT --near",
        [Shown(copy, "nearly the same", kept) for copy, kept in copies.items()],
    )


def shapes_differ(pictures: Pictures, aim: Aim) -> Exhibit | None:
    """A5: some cards are wider than others."""
    if not pictures.names or pictures.spread <= SHAPES_DIFFER:
        return None
    odd = np.abs(np.log(pictures.aspects / pictures.aspect))
    shown = [shown_size(pictures, row) for row in np.argsort(-odd) if odd[row] > SHAPES_DIFFER]
    return exhibit_of(
        "A5",
        Severity.WARNING if pictures.spread > SHAPES_DIFFER_MUCH else Severity.NOTE,
        f"The pictures' shapes differ by {pictures.spread:.0%}, and all are squeezed into {aim.size}.",
        f"width over height: median {pictures.aspect:.3f}, from {pictures.aspects.min():.3f} to "
        f"{pictures.aspects.max():.3f}, standard deviation {pictures.spread:.1%} of the median",
        "A frame that sits in another place on every card is drawn as a blur of all of them.",
        "Crop them to one shape; where margins are the cause: holofoil audit FOLDER --fix OUT --crop",
        shown,
    )


def sizes_differ(pictures: Pictures) -> Exhibit | None:
    """A6: some pictures have many more pixels than others."""
    if not pictures.names:
        return None
    sides = np.sqrt(pictures.sizes.prod(axis=1, dtype=np.float64))
    low, middle, high = np.percentile(sides, [5, 50, 95])
    if high / low < SIZES_DIFFER:
        return None
    order = [row for row in np.argsort(sides) if sides[row] <= middle / 2]
    return exhibit_of(
        "A6",
        Severity.NOTE,
        f"Some pictures are {high / low:.1f} times as large as others.",
        f"geometric mean of the sides: {low:.0f} pixels at the 5th percentile, {middle:.0f} in the middle, "
        f"{high:.0f} at the 95th",
        "Sharp and soft pictures side by side teach the generator both.",
        "Replace the smallest by better scans, or train at a size all of them have: --size",
        [shown_size(pictures, row) for row in order],
    )


def mixed_orientation(skipped: list[Skip], total: int) -> Exhibit | None:
    """A7: landscape among portrait, or the reverse."""
    odd = [skip for skip in skipped if skip.code == "odd"]
    if not odd:
        return None
    return exhibit_of(
        "A7",
        by_share(len(odd), total),
        f"{counted(len(odd), total)} lie the other way than most.",
        f"{len(odd):,} the other way, {total - len(odd):,} as most",
        "Squeezed into the others' shape they teach the generator distorted cards.",
        "Turn them, or leave them out: holofoil audit FOLDER --fix OUT; --orientation any keeps them",
        [Shown(skip.file, skip.reason) for skip in odd],
    )


def too_small(pictures: Pictures, aim: Aim) -> Exhibit | None:
    """A16: pictures with fewer pixels than the cards to be drawn."""
    small = np.flatnonzero(~pictures.filling(aim.config.height, aim.config.width))
    if not len(small):
        return None
    order = small[np.argsort(pictures.sizes[small].prod(axis=1, dtype=np.int64))]
    return exhibit_of(
        "A16",
        min(Severity.WARNING, by_share(len(small), len(pictures.names))),
        f"{counted(len(small), len(pictures.names))} are smaller than {aim.size}.",
        "the smallest is {1}x{0}".format(*pictures.sizes[order[0]]),
        "Enlarged pictures are soft, and the discriminator learns softness as a mark of real cards.",
        "Choose a smaller --size, or larger pictures.",
        [shown_size(pictures, row) for row in order],
    )


def transparent(looks: list[Look]) -> Exhibit | None:
    """A8: pictures that show what is behind them."""
    shown = [Shown(look.name, "transparent in places") for look in looks if look.transparent]
    if not shown:
        return None
    return exhibit_of(
        "A8",
        mixture(len(shown), len(looks)),
        f"{counted(len(shown), len(looks))} are transparent in places and are laid on white.",
        f"{len(shown):,} with alpha below 255, {len(looks) - len(shown):,} opaque",
        "White corners on some cards and none on others are a difference that the networks must learn.",
        "Fine if all have it; else flatten or crop them alike before training.",
        shown,
    )


def greyscale(looks: list[Look]) -> Exhibit | None:
    """A9: photographs without colour."""
    shown = [Shown(look.name, f"grey, stored as {look.stored.mode}") for look in looks if look.grey]
    if not shown:
        return None
    return exhibit_of(
        "A9",
        mixture(len(shown), len(looks)),
        f"{counted(len(shown), len(looks))} have many tones and no colour.",
        f"{len(shown):,} grey, {len(looks) - len(shown):,} others",
        "A few grey cards among coloured ones are a kind of their own, and too rare to be learnt.",
        "Replace them by colour scans or move them out of the folder.",
        shown,
    )


def cmyk(looks: list[Look]) -> Exhibit | None:
    """A10: pictures for print."""
    shown = [Shown(look.name, "CMYK") for look in looks if look.stored.mode == "CMYK"]
    if not shown:
        return None
    return exhibit_of(
        "A10",
        min(Severity.WARNING, by_share(len(shown), len(looks))),
        f"{counted(len(shown), len(looks))} are CMYK, and are turned into RGB.",
        f"{len(shown):,} CMYK, {len(looks) - len(shown):,} others",
        "Those without a colour profile come out gaudier than the others, which the discriminator notices.",
        "Export them as sRGB from the program that made them.",
        shown,
    )


def sixteen_bits(looks: list[Look]) -> Exhibit | None:
    """A11: more tones than a card of 8 bits has."""
    shown = [Shown(look.name, f"16 bits, {look.stored.mode}") for look in looks if look.stored.bits == 16]
    if not shown:
        return None
    return exhibit_of(
        "A11",
        Severity.NOTE,
        f"{counted(len(shown), len(looks))} have 16 bits a channel and are read as 8.",
        f"{len(shown):,} with 16 bits",
        "Cards are trained and drawn with 8 bits; scans made for editing may look flat or dark in them.",
        "Nothing, if they look right here; else export them with 8 bits.",
        shown,
    )


def blank(skipped: list[Skip], total: int) -> Exhibit | None:
    """A13: nothing but one colour."""
    shown = [Shown(skip.file, "one colour") for skip in skipped if skip.code == "flat"]
    if not shown:
        return None
    return exhibit_of(
        "A13",
        by_share(len(shown), total),
        f"{counted(len(shown), total)} show nothing but one colour.",
        f"every channel varies by less than {FLAT:.0f} of 255 levels in {len(shown):,} pictures",
        "A plain picture is the easiest thing to draw: the generator is rewarded for drawing nothing.",
        "prepare leaves them out; so does: holofoil audit FOLDER --fix OUT",
        shown,
    )


def margins_differ(looks: list[Look]) -> Exhibit | None:
    """A14: some cards lie on a table and others fill the picture."""
    usual = usual_margins(looks)
    wide = [look for look in looks if is_wider(look.margins, usual)]
    if not wide:
        return None
    wide.sort(key=lambda look: -sum(look.margins))
    return exhibit_of(
        "A14",
        min(Severity.WARNING, by_share(len(wide), len(looks))),
        f"{counted(len(wide), len(looks))} have wider margins than the others.",
        f"usual: {usual}; widest: {wide[0].margins}",
        "Frames in another place on some cards are drawn blurred, and the margin is learnt with it.",
        "Check that they are margins and not borders, then: holofoil audit FOLDER --fix OUT --crop",
        [Shown(look.name, str(look.margins)) for look in wide],
    )


def usual_margins(looks: list[Look]) -> Margins:
    """Return the median of each margin."""
    return Margins(*np.median([look.margins for look in looks], axis=0).tolist())


def is_wider(found: Margins, usual: Margins) -> bool:
    """Tell whether margins exceed the usual ones clearly, on two sides at least."""
    return sum(one > other + WIDER for one, other in zip(found, usual, strict=True)) >= 2


def mixed_templates(looks: list[Look]) -> Exhibit | None:
    """A15: borders of several designs; pictures with wide margins show none."""
    usual = usual_margins(looks)
    looks = [look for look in looks if not is_wider(look.margins, usual)]
    if not looks:
        return None
    found = templates(np.stack([look.border for look in looks]))
    if found is None:
        return None
    counts = np.bincount(found.labels).tolist()
    places = [np.flatnonzero(found.labels == label) for label in range(len(counts))]
    in_turn = sorted((turn, label) for label, count in enumerate(counts) for turn in range(count))
    shown = [
        Shown(looks[places[label][turn]].name, f"design {label + 1} of {len(counts)}")
        for turn, label in in_turn
    ]
    return exhibit_of(
        "A15",
        Severity.WARNING,
        f"The pictures have {len(counts)} designs of border.",
        f"{', '.join(f'{count:,}' for count in counts)} pictures; silhouette {found.silhouette:.2f}, borders "
        f"{found.apart:.0f} of 255 levels apart",
        "Each design has to be learnt by itself; a rare one is learnt late, or dropped (mode collapse).",
        "Train each as a kind: a sub-folder for each design, and --labels folders. Or keep one design.",
        shown,
    )


def exhibit_of(
    id: str,
    severity: Severity,
    what: str,
    evidence: str,
    why: str,
    remedy: str,
    shown: list[Shown] | None = None,
) -> Exhibit:
    """Put a finding and its pictures together."""
    pictures = tuple(shown or ())
    return Exhibit(Finding(id, NAMES[id], severity, what, evidence, why, remedy, where(pictures)), pictures)


def shown_size(pictures: Pictures, row: int) -> Shown:
    """Show a picture with its size."""
    return Shown(pictures.names[row], "{1}x{0}".format(*pictures.sizes[row]))


def counted(count: int, total: int, thing: str = "picture") -> str:
    """Write a share, as in "12 of 300 pictures (4.0%)"."""
    return f"{count:,} of {total:,} {thing}s ({count / max(total, 1):.1%})"


def by_share(count: int, total: int) -> Severity:
    """Return NOTE for less than 1 %, CRITICAL for half or more."""
    share = count / max(total, 1)
    if share >= 0.5:
        return Severity.CRITICAL
    return Severity.WARNING if share >= 0.01 else Severity.NOTE


def mixture(count: int, total: int) -> Severity:
    """Return WARNING for what neither nearly all nor hardly any of the pictures are."""
    return Severity.WARNING if ALONE <= count / total <= NEARLY_ALL else Severity.NOTE
