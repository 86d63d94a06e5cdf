"""The models that strategies propose, for a regression that would know only models drawn uniformly otherwise."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from benchmarks.strategies.answers import Answers
from benchmarks.strategies.runs import play
from benchmarks.strategies.specs import SPECS, Spec
from benchmarks.strategies.tables import Key, key_of

__all__ = ["PROPOSERS", "SEEDS", "proposed", "searched"]

PROPOSERS: Final = ("autoad", "regularized evolution", "random")
SEEDS: Final = range(2000, 2005)
"""Neither those of the report nor those on which strategies are tuned."""

_TRIALS: Final = 100
_OF_EACH_SEARCH: Final = 20


def searched(spec: Spec, seed: int, answers: Answers, trials: int) -> list[tuple[Mapping[str, Any], float]]:
    """Run one search; return its models with their rewards, in the order of their proposal."""
    asked: list[tuple[Mapping[str, Any], float]] = []

    def answer(sample: Mapping[str, Any]) -> float:
        asked.append((dict(sample), answers.answer(sample)))
        return asked[-1][1]

    play(spec.strategy, spec, seed, replace(answers, answer=answer), trials)
    return asked


def proposed(answers: Answers, count: int, known: Iterable[Key], seeds: Iterable[int] = SEEDS) -> list[dict[str, Any]]:
    """Return lines to be trained: the best models of each strategy's searches.

    Args:
        answers: What the strategies search on.
        count: Models of each strategy.
        known: Models that are left out, and whatever another strategy has proposed.
        seeds: Of the searches.

    Returns:
        ``sample``, ``seed`` and ``proposer``, the strategies in turn.
    """
    taken = set(known)
    lines: dict[str, list[dict[str, Any]]] = {name: [] for name in PROPOSERS}
    found = {name: _best(SPECS[name], answers, seeds) for name in PROPOSERS}
    for place in range(max(map(len, found.values()))):
        for name, samples in found.items():
            if place < len(samples) and len(lines[name]) < count and (key := key_of(samples[place])) not in taken:
                taken.add(key)
                lines[name].append({"sample": samples[place], "seed": 0, "proposer": name})
    return [line for each in zip(*lines.values(), strict=False) for line in each]


def _best(spec: Spec, answers: Answers, seeds: Iterable[int]) -> list[dict[str, Any]]:
    """Return the best models of each search, the searches in turn."""
    searches = []
    for seed in seeds:
        ranked = sorted(searched(spec, seed, answers, _TRIALS), key=lambda pair: -pair[1])
        searches.append([dict(sample) for sample, _ in ranked[:_OF_EACH_SEARCH]])
    return [sample for group in zip(*searches, strict=False) for sample in group]
