"""Pictures that lie there twice: the same pixels, or the same card saved, scaled or lit in another way."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from training.audit.pictures import Look

# A card saved as a JPEG of quality 40, at half the size, blurred or brightened is found again; one cropped
# by 3 % or turned by a degree is not. LOG.md has the figures.
NEAR_BITS = 32  # of 256 in which the prints of near copies may differ
NEAR_LEVELS = 15.0  # of 255 by which any of their 16x16 cells may differ after brightness and contrast
BLOCK = 1 << 20  # pairs compared at a time
CHUNK = 4096  # pairs whose layouts are compared at a time

Copies = dict[str, str]  # from the name of a copy to that of the picture that is kept


def exact_copies(looks: Iterable[Look]) -> Copies:
    """Find pictures with the pixels of an earlier one."""
    first: dict[bytes, str] = {}
    copies: Copies = {}
    for look in looks:
        kept = first.setdefault(look.content, look.name)
        if kept != look.name:
            copies[look.name] = kept
    return copies


def near_copies(looks: list[Look]) -> Copies:
    """Find pictures that show the card of an earlier one; among them no copies of the same pixels.

    Those whose perceptual hashes (imagehash.phash, 256 bits) are near are compared by their layouts, so that
    cards which share a template, such as two of a suit, stay apart.
    """
    if not looks:
        return {}
    prints = np.stack([look.print for look in looks])
    layouts = np.stack([look.layout for look in looks])
    kept = np.full(len(looks), -1)  # the row of the picture that a copy repeats
    step = max(1, BLOCK // len(looks))
    for start in range(0, len(looks), step):
        rows = start + np.flatnonzero(kept[start : start + step] < 0)
        for earlier, later in near_prints(prints, rows, start):
            alike = look_alike(layouts[earlier], layouts[later])
            for one, other in zip(earlier[alike].tolist(), later[alike].tolist(), strict=True):
                if kept[one] < 0 and kept[other] < 0:
                    kept[other] = one
    return {looks[row].name: looks[kept[row]].name for row in np.flatnonzero(kept >= 0)}


def near_prints(
    prints: NDArray[np.uint64], rows: NDArray[np.intp], start: int
) -> Iterable[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Yield pairs (rows, later rows) of prints (n, 4) that differ in few bits, some thousand at a time."""
    differing = np.zeros((len(rows), len(prints) - start), np.uint16)
    for word in range(prints.shape[1]):
        differing += np.bitwise_count(prints[rows, word, None] ^ prints[None, start:, word])
    place, later = np.nonzero(differing <= NEAR_BITS)
    earlier, later = rows[place], later + start
    earlier, later = earlier[earlier < later], later[earlier < later]
    for cut in range(0, len(earlier), CHUNK):
        yield earlier[cut : cut + CHUNK], later[cut : cut + CHUNK]


def look_alike(some: NDArray[np.uint8], others: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Tell which of the layouts (n, 16, 16, 3) are the same in pairs but for brightness and contrast."""
    one, other = centred(some), centred(others)
    gain = (one * other).sum(axis=(1, 2, 3)) / np.maximum((one * one).sum(axis=(1, 2, 3)), 1e-6)
    apart = np.abs(gain[:, None, None, None] * one - other).max(axis=(1, 2, 3))
    return apart <= NEAR_LEVELS


def centred(layouts: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return layouts without the mean of each channel."""
    levels = layouts.astype(np.float32)
    return levels - levels.mean(axis=(1, 2), keepdims=True)
