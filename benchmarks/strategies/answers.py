"""The reward of any sample of a space, from a recorded table instead of training."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError
from benchmarks.strategies.noise import noise_of
from benchmarks.strategies.surrogate import Surrogate
from benchmarks.strategies.tables import Table, find_table, key_of, read_table

__all__ = ["Answers", "exact", "load_answers", "surrogate"]


@dataclass(frozen=True)
class Answers:
    """The rewards of all samples of a search space.

    Attributes:
        name: Of the table.
        search_space: Values by label.
        answer: Returns the reward of a sample.
        description: Where the rewards come from, in one line.
        digest: Equal digests, equal rewards.
    """

    name: str
    search_space: Mapping[str, tuple[Any, ...]]
    answer: Callable[[Mapping[str, Any]], float]
    description: str
    digest: str


def exact(table: Table) -> Answers:
    """Return the recorded rewards; the space has the values that the table has.

    Raises:
        AutoADError: If the table lacks a model of that space.
    """
    rewards = {key_of(line.sample): line.reward for line in table.lines}
    expected = math.prod(len(values) for values in table.search_space.values())
    if len(rewards) != expected:
        raise AutoADError(
            f"{table.path} has {len(rewards)} of {expected} models. Expected every combination of its values. "
            "Record the rest with: python -m benchmarks.strategies.record"
        )
    rejected = sum(line.verdict != "ok" for line in table.lines)
    best = max(rewards.values())
    return Answers(
        name=table.name,
        search_space=table.search_space,
        answer=lambda sample: rewards[key_of(sample)],
        description=f"exact: {expected} models, all trained ({rejected} rejected); best {best:.4f}{_noise(table)}",
        digest=table.digest,
    )


def surrogate(table: Table) -> Answers:
    """Return the rewards of a regression over the whole space whose labels the table has; see `Surrogate`.

    Raises:
        AutoADError: If the table has too few lines, or a label or value that the space does not have.
    """
    fitted = Surrogate(table)
    trained = len(table.lines)
    rejected = sum(line.verdict != "ok" for line in table.lines)
    return Answers(
        name=table.name,
        search_space=fitted.search_space,
        answer=fitted,
        description=f"surrogate: {fitted.method} fitted to {trained} trained models ({rejected} rejected); held-out "
        f"(5-fold) Spearman rank correlation {fitted.rank_correlation:.3f}{_noise(table)}{_left_out(fitted)}",
        digest=fitted.digest,
    )


def _noise(table: Table) -> str:
    noise = noise_of(table)
    return "" if noise is None else f"; {noise}"


def _left_out(fitted: Surrogate) -> str:
    return "".join(
        f"; of {each.n_models} models that {name} proposed, left out of the fit: mean error {each.error:.3f}, "
        f"predicted minus trained {each.bias:+.3f}, rank correlation {each.rank_correlation:.2f}"
        for name, each in fitted.left_out.items()
    )


_KINDS: Mapping[str, Callable[[Table], Answers]] = {
    "small": exact,
    "random": surrogate,
    "grown": exact,
    "cells": surrogate,
    "gravel": surrogate,
}


def load_answers(folder: Path, only: str | None = None) -> list[Answers]:
    """Read all tables that a folder has: ``small`` and ``grown``, which are exhaustive, the others with a regression.

    Args:
        folder: Where the tables are.
        only: Name of a table; the others are not read.

    Raises:
        AutoADError: If there is none, or one is faulty.
    """
    names = list(_KINDS) if only is None else [only]
    paths = {name: path for name in names if (path := find_table(folder, name)) is not None}
    if not paths:
        raise AutoADError(
            f"{folder} has no table. Expected NAME.jsonl.gz with NAME one of {', '.join(names)}. "
            "Give a folder that has one as [[tables]], or record one with: "
            "python -m benchmarks.strategies.record"
        )
    return [_KINDS[name](read_table(path)) for name, path in paths.items()]
