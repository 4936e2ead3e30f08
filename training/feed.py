"""Batches for the loop: in an order that follows from seed and pass, read ahead, and within little memory."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from mmap import mmap
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from training.config import RESIDENT
from training.dataset import BadDataset, Dataset

AHEAD = 4  # batches


class Batch(NamedTuple):
    """Cards of the training split and their labels."""

    cards: NDArray[np.uint8]  # (batch, height, width, 3); of several steps (count, batch, height, width, 3)
    labels: NDArray[np.int32]  # (batch,), or (count, batch)


def order(dataset: Dataset, batch: int, seed: int, first: int = 0) -> Iterator[NDArray[np.intp]]:
    """Yield the rows (batch,) of each step for ever, from step `first` on.

    Each pass over the training split has its own order, which depends on (seed, pass) alone: a resumed run
    sees what the unbroken run would have seen. The last, partial batch of a pass is left out.
    """
    steps = len(dataset.train) // batch
    for epoch in range(first // steps, 2**63):
        rows = np.random.Generator(np.random.Philox([seed, epoch])).permutation(dataset.train)
        start = first % steps if epoch == first // steps else 0
        for step in range(start, steps):
            yield rows[step * batch : (step + 1) * batch]


class CardFile:
    """A dataset's cards, read from their file row by row.

    A memory map would read them as well, but each page that was ever touched counts as the process's own.
    """

    def __init__(self, place: Path, shape: tuple[int, ...]) -> None:
        self.place = place
        self.shape = shape  # of one card
        try:
            self.file = place.open("rb", buffering=0)
        except OSError as error:
            raise self.gone(error.strerror) from None

    def __getitem__(self, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
        """Return the cards of some rows. Raises BadDataset if the file does not give them."""
        cards = np.empty((len(rows), *self.shape), np.uint8)
        try:
            for card, row in zip(cards, rows, strict=True):
                self.file.seek(int(row) * card.nbytes)
                if self.file.readinto(card) != card.nbytes:
                    raise self.gone("it is shorter than it was")
        except OSError as error:
            raise self.gone(error.strerror) from None
        return cards

    def gone(self, reason: str | None) -> BadDataset:
        """Return the error that says what is wrong with the file, and how to go on."""
        return BadDataset(
            f"{self.place} can no longer be read: {reason}. Bring the dataset back, then go on: --resume"
        )

    def close(self) -> None:
        """Give the file back."""
        self.file.close()


class Feed:
    """Batches for ever, from step `first` on; close it, or use it in a `with` block.

    A dataset of up to `resident` bytes is read into memory; of a larger one a thread reads a few batches
    ahead. Raises BadDataset when the file cannot be read, from whichever call needs the cards.
    """

    def __init__(
        self, dataset: Dataset, batch: int, seed: int, first: int = 0, resident: int = RESIDENT
    ) -> None:
        self.waited = 0.0
        """Seconds that callers have waited for cards, in all."""
        self.labels = dataset.labels
        self.cards: NDArray[np.uint8] | CardFile = dataset.cards
        if isinstance(dataset.cards, np.memmap) and isinstance(dataset.cards.base, mmap):
            self.cards = opened(dataset.cards, resident)  # the whole file, not a part of it
        self.rows = order(dataset, batch, seed, first)
        self.thread = ThreadPoolExecutor(1, "feed")
        self.coming: deque[Future[Batch]] = deque()

    def take(self, count: int) -> Batch:
        """Return the batches of the next `count` steps, stacked."""
        started = time.perf_counter()
        self.read_ahead(max(2 * count, AHEAD))
        batches = [self.coming.popleft().result() for _ in range(count)]
        cards, labels = (np.stack(parts) for parts in zip(*batches, strict=True))
        self.waited += time.perf_counter() - started
        return Batch(cards, labels)

    def read_ahead(self, count: int) -> None:
        """Let the thread prepare the next `count` batches."""
        while len(self.coming) < count:
            self.coming.append(self.thread.submit(self.read, next(self.rows)))

    def read(self, rows: NDArray[np.intp]) -> Batch:
        """Fetch the cards and labels of some rows."""
        return Batch(self.cards[rows], self.labels[rows])

    def close(self) -> None:
        """End the thread and give the file back."""
        self.thread.shutdown(cancel_futures=True)
        if isinstance(self.cards, CardFile):
            self.cards.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()


def opened(cards: np.memmap, resident: int) -> NDArray[np.uint8] | CardFile:
    """Return mapped cards in memory if they fit into `resident` bytes, and as a file otherwise."""
    file = CardFile(Path(str(cards.filename)), cards.shape[1:])
    if cards.nbytes > resident:
        return file
    with closing(file):
        return file[np.arange(len(cards))]
