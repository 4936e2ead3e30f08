"""A run's folder as the doctor hears it, whole or still being written: facts and lines."""

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from training.config import RESIDENT, Config, from_json
from training.doctor.facts import Facts
from training.trouble import NothingToJudge, refusal


class BadLog(NothingToJudge):
    """The folder holds no run that can be examined; the message says what is missing."""


def facts_of_run(run: Path) -> Facts:
    """Return what config.json and data.json tell. Raises BadLog."""
    try:
        config = from_json((run / "config.json").read_text())
    except OSError as error:
        raise BadLog(refusal(error, f"{run / 'config.json'} cannot be read")) from None
    except (ValueError, TypeError) as error:
        raise BadLog(
            f"{run / 'config.json'} is damaged ({error}). Put the file back as it was, or copy metrics.jsonl "
            "to another folder and name that file."
        ) from None
    return facts_of(config, *counts(run))


def facts_of(config: Config, training_cards: int | None = None, held_out_cards: int | None = None) -> Facts:
    """Return what a configuration says beforehand."""
    cards = None if training_cards is None else training_cards + (held_out_cards or 0)
    return Facts(
        loss=config.loss,
        batch=config.batch,
        training_cards=training_cards,
        held_out_cards=held_out_cards,
        augmented=config.augment != 0,
        in_memory=None if cards is None else 3 * config.height * config.width * cards <= RESIDENT,
    )


def counts(run: Path) -> tuple[int | None, int | None]:
    """Return how many cards a run trains on and holds out, if it wrote that down."""
    try:
        source = json.loads((run / "data.json").read_text())
        return source.get("training_cards"), source.get("held_out_cards")
    except (OSError, ValueError, AttributeError):
        return None, None


def metrics_of(log: Path) -> Iterator[dict[str, float]]:
    """Yield the numbers of each line of a metrics.jsonl, as `lines` does."""
    for line in lines(log):
        yield {name: value for name, value in line.items() if isinstance(value, int | float)}


def lines(log: Path) -> Iterator[dict[str, Any]]:
    """Yield the objects of a metrics.jsonl or findings.jsonl; none if the run has not written it yet.

    Lines that cannot be read are passed over: the last of a run that goes on may be half written. Raises
    BadLog if the file cannot be read.
    """
    if not log.exists():
        return
    try:
        with log.open(errors="replace") as file:
            for text in file:
                with suppress(ValueError):
                    if isinstance(line := json.loads(text), dict):
                        yield line
    except OSError as error:
        raise BadLog(refusal(error, f"{log} cannot be read")) from None
