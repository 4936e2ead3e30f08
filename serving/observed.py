"""The models as the gateway sees them: how long they take, for how many cards, and which version answers."""

from collections.abc import Callable

from serving import timings
from serving.backend import Backend, Cards, Generated, Labels, ModelInfo, Noise, Scored


class ObservedBackend:
    """A backend that notes in the current request's timings what is asked of it."""

    def __init__(self, backend: Backend, answering: Callable[[ModelInfo], None]) -> None:
        """Take the backend, and whom to tell when other models answer than before."""
        self._backend = backend
        self._answering = answering
        self._info: ModelInfo | None = None

    async def info(self) -> ModelInfo:
        """Describe the models."""
        info = await self._backend.info()
        if info is not self._info:
            self._info = info
            self._answering(info)
        return info

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        """Draw one card for each row of noise."""
        timings.current().cards += len(noise)
        with timings.stage("infer"):
            return await self._backend.generate(noise, labels, deadline=deadline)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        """Judge each card."""
        timings.current().cards += len(cards)
        with timings.stage("infer"):
            return await self._backend.score(cards, deadline=deadline)

    async def close(self) -> None:
        """Close the backend."""
        await self._backend.close()
