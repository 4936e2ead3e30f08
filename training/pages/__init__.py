"""What the pages of a run and of an audit share: their style and the project's mark."""

from pathlib import Path

BASE, MARK = (Path(__file__).with_name(name) for name in ("base.css", "mark.svg"))


def style() -> str:
    """Return the style that every page begins with."""
    return BASE.read_text()


def mark() -> str:
    """Return the project's mark as it stands in a page's head."""
    return MARK.read_text().strip()
