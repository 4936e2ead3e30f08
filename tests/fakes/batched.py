"""A batcher that is asked as a backend is: its rows are let in and computed at once."""

import asyncio
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from serving.backend import Backend, Cards, Generated, Labels, ModelInfo, Noise, Scored
from serving.batcher import Batcher, Draw, Judge


class Batched(Batcher):
    """Whoever asks without a deadline waits for `deadline` seconds."""

    def __init__(self, models: Backend, *, deadline: float, **options: Any) -> None:
        super().__init__(models, **options)
        self.seconds = deadline
        self.classes: tuple[str, ...] = ()

    async def info(self, *, deadline: float | None = None) -> ModelInfo:
        info = await super().info(deadline=deadline)
        self.classes = info.classes
        return info

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        with self.drawing(len(noise), deadline) as draw:
            return await draw(noise, labels, self.classes)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        with self.judging(len(cards), deadline) as judge:
            return await judge(cards)

    @contextmanager
    def drawing(self, rows: int, deadline: float | None = None, picture_wait: float = 0.0) -> Generator[Draw]:
        with super().drawing(rows, self.due(deadline), picture_wait) as draw:
            yield draw

    @contextmanager
    def judging(
        self, rows: int, deadline: float | None = None, picture_wait: float = 0.0
    ) -> Generator[Judge]:
        with super().judging(rows, self.due(deadline), picture_wait) as judge:
            yield judge

    def due(self, deadline: float | None) -> float:
        return asyncio.get_running_loop().time() + self.seconds if deadline is None else deadline
