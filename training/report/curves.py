"""The curves of a run's report: each signal over the images shown, thinned while its log is read."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from training.config import CONFUSED, Config
from training.curve import Curve

DIGITS = 4  # of a number on the page


def drawn(curve: Curve) -> dict[str, list[float]]:
    """Return what the page draws: the means, and where points were joined what they lie between."""
    names = {"images": "at", "mean": "mean"} | ({"low": "low", "high": "high"} if curve.size > 1 else {})
    return {name: [short(getattr(point, of)) for point in curve.points] for name, of in names.items()}


def short(value: float) -> float:
    """Return a number with the digits that a page shows; counts stay whole."""
    return int(value) if float(value).is_integer() else float(f"{value:.{DIGITS}g}")


@dataclass
class Log:
    """What a report keeps of a run's log; its memory is bounded, however long the log is."""

    curves: dict[str, Curve] = field(default_factory=lambda: defaultdict(Curve))
    images: float = 0
    """Shown by the last line."""
    seconds: float = 0
    """Of training, by the pace of every line; evaluations and samples come on top."""

    @staticmethod
    def of(lines: Iterable[Mapping[str, float]], batch: int) -> "Log":
        """Read a log; lines without "images" or "step" are passed over."""
        log = Log()
        for line in lines:
            images = line.get("images", line.get("step", math.nan) * batch)
            if math.isfinite(images):
                log.add(images, line)
        return log

    def add(self, images: float, line: Mapping[str, float]) -> None:
        """Take one line; what is no number has no point on a curve."""
        for name, value in line.items():
            if name not in ("step", "images") and math.isfinite(value):
                self.curves[name].add(images, value)
        pace = line.get("images_per_second", 0)
        if pace > 0 and images > self.images:
            self.seconds += (images - self.images) / pace
        self.images = max(self.images, images)


@dataclass(frozen=True)
class Chart:
    """Signals that are read together; `marks` are heights to compare them with."""

    title: str
    hint: str
    signals: dict[str, str]
    """The signal's name in the log → its name on the page."""
    share: bool = False  # of cards: from 0 to 1
    log: bool = False
    marks: dict[str, float] = field(default_factory=dict)


def charts(config: Config, floors: Mapping[str, float]) -> list[Chart]:
    """Return the charts of a run; `floors` has what real cards reach against each other, by metric."""
    speed = Chart("Speed", "Real images in a second.", {"images_per_second": "images/s"})
    return [*of_game(config), *of_weights(config), *of_quality(floors), *of_looks(), speed]


def of_game(config: Config) -> list[Chart]:
    """Return who wins, and what of it is learnt by heart."""
    return [
        Chart(
            "Losses",
            "A discriminator's loss near 0 means it has won.",
            {"d_loss": "discriminator", "g_loss": "generator"},
            marks={"cannot tell": CONFUSED[config.loss]},
        ),
        Chart(
            "Accuracy",
            "Relativistic: how often a real card scores above a fake. The others depend on where 0 is.",
            {
                "relativistic_accuracy": "relativistic",
                "fake_accuracy": "fakes",
                "real_accuracy": "real cards",
            },
            share=True,
        ),
        Chart(
            "Logits",
            "Held-out cards that fall from real ones towards fakes are a sign of learning by heart.",
            {"real_logit": "real", "fake_logit": "fake", "held_logit": "held out"},
        ),
        Chart(
            "Overfitting and augmentation",
            "r_v: 1 is learning by heart. p, the probability of each augmentation, follows it.",
            {"r_v": "r_v", "augment": "p"},
            share=True,
            marks={"target of r_v": 0.5},
        ),
    ]


def of_weights(config: Config) -> list[Chart]:
    """Return what moves the networks, and what holds them."""
    return [
        Chart(
            "Gradients",
            "Norms of what both networks learn from; the scale is logarithmic.",
            {"d_gradient": "discriminator", "g_gradient": "generator"},
            log=True,
        ),
        Chart(
            "Movement",
            "How far the weights moved since the line before, as a share of their size; logarithmic.",
            {"d_moved": "discriminator", "g_moved": "generator"},
            log=True,
        ),
        Chart(
            "Gradient penalty",
            "The discriminator's mean squared slope at real cards, before it is weighed.",
            {"penalty": "penalty"} if config.r1 or config.r2 else {},
        ),
        Chart(
            "Projected discriminator",
            "Its hinge loss; 2 is where it cannot tell.",
            {"projected_loss": "loss"} if config.projected else {},
            marks={"cannot tell": CONFUSED["hinge"]},
        ),
    ]


def of_quality(floors: Mapping[str, float]) -> list[Chart]:
    """Return how near the cards come to real ones."""

    def floor(**named: str) -> dict[str, float]:
        return {f"real cards' {title}": floors[name] for name, title in named.items() if name in floors}

    return [
        Chart(
            "KID", "Distance from real cards, x1000; lower is better.", {"kid": "KID"}, marks=floor(kid="KID")
        ),
        Chart("FID", "The same by another measure; lower is better.", {"fid": "FID"}, marks=floor(fid="FID")),
        Chart(
            "Density and coverage",
            "How likely the cards are, and how many real cards have a fake near them; higher is better.",
            {"density": "density", "coverage": "coverage"},
            marks=floor(density="density", coverage="coverage"),
        ),
    ]


def of_looks() -> list[Chart]:
    """Return what the doctor sees on a hundred generated cards."""
    return [
        Chart(
            "Variety",
            "Of a hundred generated cards, beside real ones; 1 is as varied as they are.",
            {"variety": "all over", "least_variety": "least varied part", "similarity": "likeness of pairs"},
        ),
        Chart(
            "Copies",
            "Generated cards that lie nearer to a training card than held-out ones do.",
            {"copy_rate": "copies"},
            share=True,
        ),
        Chart(
            "Checkerboard",
            "The finest pattern in generated cards, beside real ones.",
            {"nyquist": "finest pattern"},
            marks={"as in real cards": 1.0},
        ),
        Chart(
            "Leaks",
            "Marks of augmentation in generated cards; 1 is as often as in real ones.",
            {
                "leak_border": "border",
                "leak_grey_edges": "grey edges",
                "leak_grey_holes": "grey holes",
                "leak_brightness": "brightness",
                "leak_saturation": "saturation",
                "leak_contrast": "contrast",
            },
            marks={"as in real cards": 1.0},
        ),
        Chart(
            "Contrast",
            "How far pixels in [-1, 1] spread within a card.",
            {"real_spread": "real", "fake_spread": "fake"},
        ),
    ]
