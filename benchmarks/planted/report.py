"""Tables from the recorded lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, product
from typing import Any

import numpy as np

from benchmarks.planted.choosing import READINGS, SIZES, STRENGTHS, WAYS, Chosen
from benchmarks.planted.recorded import Floats
from benchmarks.planted.sets import TASKS
from benchmarks.strategies.stats import estimate, rank_correlation

__all__ = ["Figures", "figures_of", "report"]

Line = dict[str, Any]
ByTask = dict[str, list[Line]]
"""Lines of models."""
Winners = dict[tuple[str, str], list[float]]
"""Test figures of the mean of five by real anomalies, of the mean of five by planted ones, and of the latter together
with known methods, as a search makes it; by setting and task."""
_FIXED = ("patchcore", "padim")
AS_PLANTED = "usual any any"
SUMMARY = (
    *("spearman", "lowest", "mean regret", "highest", "of five", "highest", "of the winner", "highest"),
    *("of patchcore", "of padim"),
)
"""Regret of the pick is against that of real validation; all others against the mean of five of real validation."""
FIVE, WINNER = 1, 2
"""Which of `Winners`."""
DEVELOPMENT = (
    "solar cells",
    "solar cells, larger",
    "brick",
    "grass",
    "gravel",
    "fashion",
    *(f"fashion {number}" for number in (0, 2, 5, 7)),
)
"""Sets on which it was chosen what is planted; the others were recorded afterwards, or not looked at before."""


class Figures(dict[str, float]):
    """Figures of a task; figures on test unless ``spearman`` or ``regret``."""


def figures_of(models: Sequence[Line], setting: str) -> Figures | None:
    """Compare what planted defects pick with what real ones pick, chance, and methods always taken.

    Args:
        models: Lines of the models of a task.
        setting: Which planted defects.

    Returns:
        ``regret`` is real test AUROC of the pick by real validation minus that of the pick by planted defects; None if
        the task has no such planted defects.
    """
    if setting not in models[0]["planted"]:
        return None
    real = _chosen([model["real"] for model in models])
    planted = _chosen([model["planted"][setting] for model in models])
    known = [i for i, model in enumerate(models) if model["known"]]
    usual = {model["name"]: model["usual"] for model in models}
    figures = Figures(
        spearman=_spearman(real.reward, planted.reward),
        real=real.pick,
        planted=planted.pick,
        regret=real.pick - planted.pick,
        chance=float(np.median(planted.test)),
        known=_of_some(real, known).pick,
        known_planted=_of_some(planted, known).pick,
        best=float(max(real.test.max(), planted.test.max())),
    )
    return Figures(figures | {name: usual.get(name) or float("nan") for name in _FIXED})


def _chosen(pairs: Sequence[Sequence[float]]) -> Chosen:
    rewards, tests = np.array(pairs).T
    return Chosen(rewards, tests, np.zeros(len(pairs), np.int64))


def _of_some(chosen: Chosen, models: list[int]) -> Chosen:
    return Chosen(chosen.reward[models], chosen.test[models], chosen.reading[models])


def _spearman(some: Floats, others: Floats) -> float:
    if np.ptp(some) == 0 or np.ptp(others) == 0:
        return float("nan")
    return rank_correlation(some, others)


def report(lines: Sequence[Line]) -> Iterator[str]:
    """Give the lines of the tables."""
    by_task: ByTask = {}
    for line in lines:
        if "planted" in line:
            by_task.setdefault(line["task"], []).append(line)
    winners = {(line["setting"], line["task"]): line["winners"] for line in lines if "winners" in line}
    settings = list(dict.fromkeys(setting for setting, _ in winners))
    for source in dict.fromkeys(setting.split()[0] for setting in settings):
        for band in dict.fromkeys((AS_PLANTED, *chosen_bands(by_task, winners, source))):
            yield from _tasks(by_task, winners, f"{source} all {band}")
        yield from _held_out(by_task, winners, settings, source)
    yield "\nSettings, over all tasks\n"
    yield from _head("planted", "tasks", *SUMMARY)
    for setting in settings:
        yield _row(setting, *_summary(by_task, winners, setting))
    yield from _few([line for line in lines if "picks" in line])


def _tasks(by_task: ByTask, winners: Winners, setting: str) -> Iterator[str]:
    columns = ("spearman", "real", "planted", "regret", "chance", "known", "known_planted", *_FIXED, "best")
    yield f"\nPlanted: {setting}\n"
    yield from _head("task", "models", *columns, "five, real", "five, planted", "regret", "winner", "regret")
    rows = []
    for task, models in by_task.items():
        figures = figures_of(models, setting)
        if figures is not None:
            real, five, winner = winners[setting, task]
            rows.append([*(figures[name] for name in columns), real, five, real - five, winner, real - winner])
            yield _row(task, str(len(models)), *rows[-1])
    yield _row("mean", "", *(_mean(column) for column in zip(*rows, strict=True)))
    yield from _by_set(by_task, winners, setting)


def _by_set(by_task: ByTask, winners: Winners, setting: str) -> Iterator[str]:
    """The regret of the winner, with its 95 % interval over sets, as tasks of one set share their good images."""
    for what, tasks in {"all": by_task, "others than those chosen on": _unseen(by_task)}.items():
        sets: dict[str, list[float]] = {}
        for task in TASKS:
            if task.name in tasks and (setting, task.name) in winners:
                real, _, winner = winners[setting, task.name]
                sets.setdefault(task.of, []).append(real - winner)
        if len(sets) > 1:
            mean, margin = estimate([_mean(each) for each in sets.values()])
            yield f"\nRegret of the winner, {len(sets)} sets ({what}): {mean:.3f} ± {margin:.3f}"


def _summary(by_task: ByTask, winners: Winners, setting: str) -> Sequence[str | float]:
    """The columns of `SUMMARY`, after the number of tasks."""
    found = [figures for models in by_task.values() if (figures := figures_of(models, setting)) is not None]
    spearman, regret = ([figures[name] for figures in found] for name in ("spearman", "regret"))
    five, winner = (_regrets(by_task, winners, setting, of) for of in (FIVE, WINNER))
    winners_of = [winners[setting, task] for task in by_task if (setting, task) in winners]
    fixed = [
        _mean([each[0] - figures[name] for each, figures in zip(winners_of, found, strict=True)]) for name in _FIXED
    ]
    both = ((_mean(each), max(each)) for each in (regret, five, winner))
    return [str(len(found)), _mean(spearman), min(spearman), *chain(*both), *fixed]


def _regrets(by_task: ByTask, winners: Winners, setting: str, of: int = WINNER) -> list[float]:
    found = (winners.get((setting, task)) for task in by_task)
    return [each[0] - each[of] for each in filter(None, found)]


def chosen_bands(by_task: ByTask, winners: Winners, source: str, kinds: str = "all") -> list[str]:
    """Return size, strength and readings that are best on the sets of `DEVELOPMENT`; none if there are none."""
    seen = _seen(by_task)
    bands = [" ".join(each) for each in product(SIZES, STRENGTHS, READINGS)]
    regrets = {band: _regrets(seen, winners, f"{source} {kinds} {band}") for band in bands}
    found = {band: float(np.mean(each)) for band, each in regrets.items() if each}
    return [min(found, key=lambda band: found[band])] if found else []


def _seen(by_task: ByTask) -> ByTask:
    names = {task.name for task in TASKS if task.of in DEVELOPMENT}
    return {name: models for name, models in by_task.items() if name in names}


def _unseen(by_task: ByTask) -> ByTask:
    seen = _seen(by_task)
    return {name: models for name, models in by_task.items() if name not in seen}


def _held_out(by_task: ByTask, winners: Winners, settings: Sequence[str], source: str) -> Iterator[str]:
    """Size, strength and readings are chosen on half of the kinds and some tasks, and reported on the others."""
    halves = list(dict.fromkeys(name.split()[1] for name in settings if name.startswith(source) and "+" in name))
    seen, unseen = _seen(by_task), _unseen(by_task)
    if not seen or not unseen or not halves:
        return
    yield f"\n{source}: size, strength and readings chosen on {', '.join(DEVELOPMENT)}, reported on the other sets\n"
    yield from _head("chosen with", "chosen", "reported with", "tasks", *SUMMARY)
    for chosen_with, reported_with in ((halves[0], halves[1]), (halves[1], halves[0]), ("all", "all")):
        for band in dict.fromkeys((*chosen_bands(by_task, winners, source, chosen_with), AS_PLANTED)):
            setting = f"{source} {reported_with} {band}"
            yield _row(chosen_with, band, reported_with, *_summary(unseen, winners, setting))


def _few(lines: Sequence[Line]) -> Iterator[str]:
    yield "\nFew real defects: test figure of the pick, mean over tasks\n"
    yield from _head("planted", "defects", *WAYS)
    for setting, defects in dict.fromkeys((line["setting"], line["defects"]) for line in lines):
        rows = [line["picks"] for line in lines if (line["setting"], line["defects"]) == (setting, defects)]
        yield _row(setting, str(defects), *(_mean([row[way] for row in rows]) for way in WAYS))


def _mean(values: Sequence[float]) -> float:
    """Of those that are there."""
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")


def _head(*names: str) -> tuple[str, str]:
    return f"| {' | '.join(names)} |", "|---" * len(names) + "|"


def _row(*values: str | float) -> str:
    return f"| {' | '.join(each if isinstance(each, str) else f'{each:.3f}' for each in values)} |"
