"""Draws the README's pictures anew: the starter models' cards, and sample cards.

python -m tests.benchmarks.readme_pictures
"""

import asyncio
from pathlib import Path

import numpy as np
from PIL import Image

from serving import noise
from serving.embedded import EmbeddedBackend
from serving.settings import STARTER_MODELS
from training.run import grid
from training.sample_cards.cards import draw_card

PICTURES = Path(__file__).parents[2] / "training" / "log"
SEED = 1


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    starter = grid(asyncio.run(drawn(36)), gap=4, columns=6)
    Image.fromarray(starter).resize((starter.shape[1] * 3 // 2, starter.shape[0] * 3 // 2)).save(
        PICTURES / "starter.jpg", quality=90
    )
    samples = np.stack([np.asarray(draw_card(SEED, index).resize((160, 224))) for index in range(15)])
    Image.fromarray(grid(samples, gap=6)).save(PICTURES / "sample-cards.jpg", quality=90)


async def drawn(n: int) -> np.ndarray:
    """Return the starter models' first n cards, none chosen."""
    backend = EmbeddedBackend(STARTER_MODELS, deadline=60)
    size = (await backend.info()).noise_size
    cards = [(await backend.generate(noise.draw(seed, 1, size))).cards for seed in range(n)]
    await backend.close()
    return np.concatenate(cards)


if __name__ == "__main__":
    main()
