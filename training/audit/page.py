"""The page of an audit: one file with every picture in it, which needs no network and runs no script."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from string import Template

import numpy as np
from PIL import Image

from serving.cards import FOLDER_FORMATS, FOLDER_MAX_PIXELS, BadCard, opened, upright_rgb
from training import pages
from training.audit.audit import Audit, or_no_audit
from training.audit.exhibit import Exhibit, Shown, printable
from training.audit.rules import NAMES
from training.folder import in_threads

TEMPLATE = Path(__file__).with_name("page.html")
THUMBNAIL = 180  # pixels of the longest side
PICTURES = 12  # of each finding
OVERVIEW = 16  # pictures at the head of the page, taken evenly from all
DOTS = 500  # sizes in their plot, the commonest

Picture = Callable[[str], str]  # from a file's name to an <img>, or to words in its place


def write_page(audit: Audit, place: Path) -> None:
    """Write the audit as one HTML file. Raises NoAudit if it cannot be written there."""
    pictured = pictures_of(audit)
    page = Template(TEMPLATE.read_text()).substitute(
        style=pages.style(),
        mark=pages.mark(),
        folder=text(str(audit.folder)),
        verdict=text(audit.verdict),
        state="bad" if audit.status else "good",
        facts="".join(
            f"<div><dt>{text(name)}</dt><dd>{text(fact)}</dd></div>" for name, fact in audit.facts.items()
        ),
        overview="".join(f"<li>{pictured(name)}</li>" for name in overview(audit)),
        sizes=plot_of_sizes(audit),
        findings="".join(section(exhibit, pictured) for exhibit in audit.exhibits),
        silent=silent(audit),
    )
    with or_no_audit(place):
        place.write_text(page, encoding="utf-8")


def text(words: str) -> str:
    """Write words so that a page shows them as they are."""
    return escape(printable(words))


def overview(audit: Audit) -> list[str]:
    """Choose pictures evenly from all that are fit for training."""
    places = np.linspace(0, len(audit.looks) - 1, min(OVERVIEW, len(audit.looks))).astype(int)
    return [audit.looks[place].name for place in places]


def pictures_of(audit: Audit) -> Picture:
    """Decode every picture that the page shows, once."""
    shown = [one for exhibit in audit.exhibits for one in exhibit.shown[:PICTURES]]
    names = {name for one in shown for name in (one.file, one.beside) if name} | set(overview(audit))
    ordered = sorted(names)
    made = in_threads(lambda name: thumbnail(audit.folder / name), ordered, "page")
    images = dict(zip(ordered, made, strict=True))

    def picture(name: str) -> str:
        source = images[name]
        if source is None:
            return '<span class="nothing">no picture</span>'
        return f'<img src="{source}" alt="{text(name)}" loading="lazy">'

    return picture


def thumbnail(path: Path) -> str | None:
    """Return a picture as a small JPEG in a data: address, or None if it cannot be read."""
    try:
        with path.open("rb") as file, opened(file, FOLDER_FORMATS, FOLDER_MAX_PIXELS) as image:
            image.draft(None, (THUMBNAIL, THUMBNAIL))
            image.load()
            small = Image.fromarray(upright_rgb(image).card)
    except (BadCard, OSError):
        return None
    small.thumbnail((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def section(exhibit: Exhibit, picture: Picture) -> str:
    """Write one finding with its pictures."""
    found = exhibit.finding
    level = found.severity.word
    more = len(exhibit.shown) - PICTURES
    return (
        f'<section class="finding {level}" id="{found.id}">'
        f'<h2><span class="chip">{level}</span> {text(found.name)} <small>{found.id}</small></h2>'
        f"<p>{text(found.what)}</p>"
        f"<dl><dt>Seen</dt><dd>{text(found.evidence)}</dd><dt>Why it matters</dt><dd>{text(found.why)}</dd>"
        f"<dt>What to do</dt><dd>{text(found.remedy)}</dd></dl>"
        f'<ul class="pictures">{tiles(exhibit.shown[:PICTURES], picture)}</ul>'
        + (f'<p class="hint">and {more:,} more; --json lists all of them.</p>' if more > 0 else "")
        + "</section>"
    )


def tiles(shown: Sequence[Shown], picture: Picture) -> str:
    """Write pictures with their names, those to be compared side by side."""
    return "".join(
        f"<li{' class=pair' if one.beside else ''}><div>{picture(one.file)}"
        + (picture(one.beside) if one.beside else "")
        + f'</div><p title="{text(one.file)}">{text(one.file)}</p><small>{text(note(one))}</small></li>'
        for one in shown
    )


def note(one: Shown) -> str:
    """Say what is seen, and on which other picture."""
    return f"{one.note} as {one.beside}" if one.beside else one.note


def silent(audit: Audit) -> str:
    """List the rules that found nothing."""
    spoken = {exhibit.finding.id for exhibit in audit.exhibits}
    names = [name for id, name in NAMES.items() if id not in spoken]
    return "".join(f"<li>{text(name)}</li>" for name in names)


def plot_of_sizes(audit: Audit) -> str:
    """Draw each size of picture as a dot, larger for more pictures, and the shape they are squeezed into."""
    counts = Counter(look.size for look in audit.looks).most_common(DOTS)
    config = audit.aim.config
    most = max([config.height, config.width, *(side for size, _ in counts for side in size)])
    scale = 190 / most
    dots = "".join(
        f'<circle cx="{width * scale:.1f}" cy="{200 - height * scale:.1f}" r="{radius(count, audit):.1f}">'
        f"<title>{width}x{height}: {count:,}</title></circle>"
        for (height, width), count in counts
    )
    height, width = config.height, config.width
    far = 200 / max(height, width)
    side, up = width * scale, height * scale
    return (
        '<svg viewBox="-26 -4 232 226" role="img" aria-label="Width and height of every picture">'
        '<path class="axis" d="M0 0V200H200"/>'
        f'<path class="shape" d="M0 200L{width * far:.1f} {200 - height * far:.1f}"/>'
        f'<rect class="target" x="0" y="{200 - up:.1f}" width="{side:.1f}" height="{up:.1f}"/>{dots}'
        f'<text x="200" y="214" text-anchor="end">width, to {most:,}</text>'
        '<text transform="translate(-8 0) rotate(-90)" text-anchor="end">height</text></svg>'
    )


def radius(count: int, audit: Audit) -> float:
    """Return how large the dot of so many pictures is."""
    return 3 + 12 * (count / len(audit.looks)) ** 0.5
