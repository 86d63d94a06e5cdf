"""The results of a comparison as numbers, and as a table in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.strategies.runs import Run
from benchmarks.strategies.specs import PEERS, RANDOM
from benchmarks.strategies.stats import Estimate, estimate

__all__ = [
    "AT",
    "Curves",
    "best_so_far",
    "curves_of",
    "markdown",
    "markdown_table",
    "per_window",
    "top_so_far",
    "trials_to_reach",
]

Curves = NDArray[np.float64]
"""A row per seed, a column per trial; NaN after the end of a strategy that stopped before."""

AT: Final = 100
"""The trial after which strategies are compared."""
_CHECKPOINTS: Final = (20, 50, 100, 200)


def curves_of(runs: Sequence[Run]) -> Curves:
    """Return the rewards of the searches of one strategy, in the order of their seeds."""
    curves = np.full((len(runs), max(run.trials for run in runs)), np.nan)
    for row, run in zip(curves, sorted(runs, key=lambda run: run.seed), strict=True):
        row[: len(run.rewards)] = run.rewards
    return curves


def best_so_far(curves: Curves) -> Curves:
    """Return the highest reward up to each trial.

    Example:
        >>> best_so_far(np.array([[0.1, 0.5, 0.3, np.nan]])).tolist()
        [[0.1, 0.5, 0.5, 0.5]]
    """
    return np.fmax.accumulate(curves, axis=1)


def top_so_far(curves: Curves, count: int = 5) -> Curves:
    """Return the mean of the ``count`` highest rewards up to each trial; of fewer at the start.

    Example:
        >>> top_so_far(np.array([[0.2, 0.6, 0.4]]), 2).round(2).tolist()
        [[0.2, 0.4, 0.5]]
    """
    filled = np.where(np.isnan(curves), -np.inf, curves)
    result = np.empty_like(curves)
    for trial in range(curves.shape[1]):
        top = np.sort(filled[:, : trial + 1], axis=1)[:, -count:]
        result[:, trial] = np.mean(top, axis=1, where=np.isfinite(top))
    return result


def per_window(curves: Curves, length: int = 20) -> tuple[Curves, Curves]:
    """Return mean and standard deviation of the rewards in each full window of trials; a column per window.

    Example:
        >>> [values.tolist() for values in per_window(np.array([[0.0, 1.0, 0.5, 0.5, 0.9]]), 2)]
        [[[0.5, 0.5]], [[0.5, 0.0]]]
    """
    count = curves.shape[1] // length
    windows = curves[:, : count * length].reshape(len(curves), count, length)
    present = ~np.isnan(windows)
    some: NDArray[np.bool_] = np.any(present, axis=2, keepdims=True)
    filled, where = np.where(present, windows, 0.0), present | ~some  # an empty window is a mean over zeros, then NaN
    mean = np.where(some[..., 0], np.mean(filled, axis=2, where=where), np.nan)
    deviation = np.where(some[..., 0], np.std(filled, axis=2, where=where), np.nan)
    return mean, deviation


def trials_to_reach(curves: Curves, target: float) -> int | None:
    """Return the first trial, from 1, at which the mean of the best so far is ``target`` or more; None if never."""
    reached = np.flatnonzero(best_so_far(curves).mean(axis=0) >= target - 1e-12)
    return int(reached[0]) + 1 if len(reached) else None


def markdown(runs: Iterable[Run], descriptions: Mapping[str, str], notes: Sequence[str] = ()) -> str:
    """Return tables in Markdown for each recorded table: means, the worst seeds, paired differences.

    Args:
        runs: Searches of all strategies on all tables, with the same seeds and number of trials for each.
        descriptions: Where the rewards come from, by name of the table, in the order of the report.
        notes: Lines to add at the end.
    """
    runs = list(runs)
    at = min(AT, max(run.trials for run in runs))
    seeds = len({run.seed for run in runs})
    parts = []
    for table, description in descriptions.items():
        parts += [f"## {table}", "", f"{description}.", "", *_tables([r for r in runs if r.table == table], at)]
    parts += [
        f"Means over {seeds} seed(s) with 95 % intervals (Student's t). Worst seeds: the highest reward of the lowest "
        "tenth of the searches, and the lowest of all. Differences are paired by seed; the best peer at that trial is "
        f"the best of {', '.join(PEERS)}, the strategy itself left out. "
        f"Trials to random's best: when the mean best so far reaches what random's is after {at} trials. "
        "Time: the strategy's own processor time, without the answers.",
        *notes,
    ]
    return "\n".join(parts) + "\n"


def _tables(runs: Sequence[Run], at: int) -> list[str]:
    by_name: dict[str, list[Run]] = {}
    for run in runs:
        by_name.setdefault(run.name, []).append(run)
    curves = {name: curves_of(group) for name, group in by_name.items()}
    best = {name: best_so_far(each) for name, each in curves.items()}
    shown = sorted({*(trial for trial in _CHECKPOINTS if trial <= next(iter(curves.values())).shape[1]), at})
    means = [
        ["strategy", *(f"best at {n}" for n in shown), f"top 5 at {at}", "trials to random's best", "ms per trial"]
    ]
    worst = [["worst seeds", *(f"decile, worst at {n}" for n in shown)]]
    differences = [["paired difference", *(f"to {rival} at {n}" for n in shown for rival in (RANDOM, "the best peer"))]]
    for name, group in by_name.items():
        at_each = {trial: {other: best[other][:, trial - 1] for other in best} for trial in shown}
        top, seconds = top_so_far(curves[name])[:, at - 1], float(np.mean([run.seconds for run in group]))
        means.append([name, *(_shown(estimate(each[name].tolist())) for each in at_each.values())])
        means[-1] += [_shown(estimate(top.tolist())), _trials(curves, name, at), f"{1000 * seconds:.1f}"]
        worst.append([name, *(_worst(each[name]) for each in at_each.values())])
        differences.append([name, *(cell for each in at_each.values() for cell in _to_rivals(each, name))])
    return [line for rows in (means, worst, differences) for line in (markdown_table(rows), "")]


def markdown_table(rows: Sequence[Sequence[Any]]) -> str:
    """Return a table in Markdown, of which the first row has the heads.

    Example:
        >>> print(markdown_table([["strategy", "best"], ["random", 0.5]]))
        | strategy | best |
        | --- | --- |
        | random | 0.5 |
    """
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _worst(values: NDArray[np.float64]) -> str:
    return f"{np.quantile(values, 0.1, method='lower'):.4f}, {values.min():.4f}"


def _to_rivals(values: Mapping[str, NDArray[np.float64]], name: str) -> tuple[str, str]:
    peers = {peer: values[peer] for peer in PEERS if peer in values and peer != name}
    rival = max(peers, key=lambda peer: float(peers[peer].mean()), default=None)
    return (
        "-" if name == RANDOM or RANDOM not in peers else _difference(values[name], peers[RANDOM]),
        "-" if rival is None else f"{_difference(values[name], peers[rival])} ({rival})",
    )


def _shown(value: Estimate, form: str = ".4f") -> str:
    return f"{value.mean:{form}}" + ("" if np.isnan(value.margin) else f" ± {value.margin:.4f}")


def _difference(first: NDArray[np.float64], second: NDArray[np.float64]) -> str:
    return _shown(estimate((first - second).tolist()), "+.4f")


def _trials(curves: Mapping[str, Curves], name: str, at: int) -> str:
    if RANDOM not in curves:
        return "-"
    needed = trials_to_reach(curves[name], float(best_so_far(curves[RANDOM])[:, at - 1].mean()))
    return f"more than {curves[name].shape[1]}" if needed is None else f"{needed} ({needed / at:.2f})"
