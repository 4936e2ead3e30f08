"""What a file of drawn cards is called, the same from the gateway and from its client; imports nothing."""

from collections.abc import Sequence

EXTENSIONS = {"jpeg": "jpg", "apng": "png"}
"""Where a format's files end otherwise than in its name."""


def file_name(what: str, mark: int | str, format: str) -> str:
    """Name a file by what tells it from others, such as a seed: card-42.png."""
    return f"{what}-{mark}.{EXTENSIONS.get(format, format)}"


def morph_name(seeds: Sequence[int], format: str) -> str:
    """Name a morph by its first and last seed: morph-7-42.webp."""
    return file_name("morph", "-".join(str(seed) for seed in [*seeds[:1], *seeds[-1:]]), format)
