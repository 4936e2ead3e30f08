"""The empty margin around a card, such as the table in a photograph of it or the lid of a scanner."""

from typing import NamedTuple

import numpy as np

from serving.cards import Card

ALIKE = 24  # levels by which a margin's pixels may differ: the noise of a scan, the blocks of a JPEG
STRAY = 0.02  # share of a line that may be anything else: dust
STRAIGHT = 0.6  # share of a line just inside that is no margin, where a card begins and not a drawing
INSIDE = 0.02  # where that line lies, as a share of the side: cards lie a little crooked


class Margins(NamedTuple):
    """The empty share of height, width, height and width, in [0, 1]."""

    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0
    left: float = 0.0

    def __str__(self) -> str:
        """Write them in percent."""
        return "top {:.0%}, right {:.0%}, bottom {:.0%}, left {:.0%}".format(*self)


def margins(card: Card) -> Margins:
    """Measure the margins of one colour around what is straight-edged like a card.

    White around a drawing or a pip is part of a card: a margin ends at a line most of which it is not.
    """
    rim = np.concatenate([card[0], card[-1], card[:, 0], card[:, -1]])
    colour = np.median(rim, axis=0)
    ink = (np.abs(card.astype(np.int16) - colour.astype(np.int16)) > ALIKE).any(axis=2)
    rows, columns = ink.mean(axis=1) > STRAY, ink.mean(axis=0) > STRAY
    if not rows.any() or not columns.any():
        return Margins()
    top, bottom = int(rows.argmax()), int(rows[::-1].argmax())
    left, right = int(columns.argmax()), int(columns[::-1].argmax())
    height, width = ink.shape
    inner = ink[top : height - bottom, left : width - right]
    down, across = int(INSIDE * height), int(INSIDE * width)
    straight = (
        inner[min(down, len(inner) - 1)].mean(),
        inner[:, max(0, inner.shape[1] - 1 - across)].mean(),
        inner[max(0, len(inner) - 1 - down)].mean(),
        inner[:, min(across, inner.shape[1] - 1)].mean(),
    )
    found = (top / height, right / width, bottom / height, left / width)
    return Margins(*(share if line > STRAIGHT else 0.0 for share, line in zip(found, straight, strict=True)))
