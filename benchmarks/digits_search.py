"""The experiment that benchmarks of searching run: digits, whose trials take fractions of a second to seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.experiment import experiment

__all__ = ["digits_experiment"]


def digits_experiment(
    space: Mapping[str, Sequence[Any]], *, strategy: str, trials: int, epochs: int, limit: int | None = None
) -> dict[str, Any]:
    """The content of an experiment file; trials have one thread."""
    limited = "" if limit is None else f" --limit {limit}"
    trial = f"autoad-nni trial --data digits --abnormal photos{limited} --epochs {epochs} --threads 1"
    choices = {label: {"_type": "choice", "_value": list(values)} for label, values in space.items()}
    return experiment(trial, choices, trials, strategy=strategy, seed=0)
