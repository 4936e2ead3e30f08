"""A backend without models: paints what the noise says, and likes bright cards."""

import numpy as np

from serving.backend import BackendError, Cards, Generated, Labels, ModelInfo, Noise, Scored


class FakeBackend:
    """Cards of 70x50 whose shade follows the mean of their noise, with the noise as texture.

    A card of the first kind is bluish, one of any other reddish.
    Set `failure` to have every call raise it, as models do that are not there. As models do, it takes no
    numbers of another kind.
    """

    def __init__(
        self,
        failure: BackendError | None = None,
        *,
        noise_size: int = 12,
        height: int = 70,
        width: int = 50,
        classes: tuple[str, ...] = (),
    ) -> None:
        self.failure = failure
        self.model = ModelInfo("20260131120000", noise_size, height, width, classes)
        self.closed = False

    async def info(self) -> ModelInfo:
        if self.failure:
            raise self.failure
        return self.model

    async def generate(
        self, noise: Noise, labels: Labels | None = None, *, deadline: float | None = None
    ) -> Generated:
        await self.info()
        assert noise.dtype == np.float32
        assert labels is None or labels.dtype == np.int32
        painted = self.paint(noise)
        if labels is not None:
            painted[labels > 0] = painted[labels > 0, ..., ::-1]
        return Generated(painted, self.model.version)

    def paint(self, noise: Noise) -> Cards:
        rows = np.arange(self.model.height) * noise.shape[1] // self.model.height
        stripes = noise[:, rows, None, None] + 4 * noise.mean(axis=1)[:, None, None, None]
        tint = np.linspace(0.5, 1, 3)  # bluish
        across = np.ones((self.model.width, 3)) * tint
        return (255 / (1 + np.exp(-stripes * across))).astype(np.uint8)

    async def score(self, cards: Cards, *, deadline: float | None = None) -> Scored:
        await self.info()
        assert cards.dtype == np.uint8
        brightness = cards.astype(np.float32).mean(axis=(1, 2, 3)) / 255
        logit = 8 * brightness - 4
        return Scored(logit, 1 / (1 + np.exp(-logit)), 100 * brightness, self.model.version)

    async def close(self) -> None:
        self.closed = True
