"""Tables from the recorded lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
from scipy.stats import rankdata  # type: ignore[import-untyped]

from benchmarks.planted.choosing import READINGS, SIZES, STRENGTHS, WAYS, Chosen
from benchmarks.planted.recorded import Floats

__all__ = ["Figures", "figures_of", "report"]

Line = dict[str, Any]
_FIXED = ("patchcore", "padim")
DEVELOPMENT = ("solar cells", "brick", "fashion 0")
"""Tasks that settings were chosen on, by the beginning of their names."""


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
        known=Chosen(real.reward[known], real.test[known], real.reading[known]).pick,
        best=float(max(real.test.max(), planted.test.max())),
    )
    return Figures(figures | {name: usual.get(name) or float("nan") for name in _FIXED})


def _chosen(pairs: Sequence[Sequence[float]]) -> Chosen:
    rewards, tests = np.array(pairs).T
    return Chosen(rewards, tests, np.zeros(len(pairs), np.int64))


def _spearman(some: Floats, others: Floats) -> float:
    if np.ptp(some) == 0 or np.ptp(others) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(some), rankdata(others))[0, 1])


def report(lines: Sequence[Line]) -> Iterator[str]:
    """Give the lines of the tables."""
    by_task: dict[str, list[Line]] = {}
    for line in lines:
        if "planted" in line:
            by_task.setdefault(line["task"], []).append(line)
    settings = list(dict.fromkeys(name for models in by_task.values() for name in models[0]["planted"]))
    sources = list(dict.fromkeys(name.split()[0] for name in settings))
    for source in sources:
        yield from _tasks(by_task, f"{source} all usual any any")
    yield from _settings(by_task, settings)
    for source in sources if len(by_task) > 1 else ():
        yield from _held_out(by_task, settings, source)
    yield from _winners([line for line in lines if "winners" in line])
    yield from _few([line for line in lines if "picks" in line])


def _tasks(by_task: dict[str, list[Line]], setting: str) -> Iterator[str]:
    columns = ("spearman", "real", "planted", "regret", "chance", "known", *_FIXED, "best")
    yield f"\nPlanted: {setting}\n"
    yield from _head("task", "models", *columns)
    found = {task: figures_of(models, setting) for task, models in by_task.items()}
    rows = {task: [figures[name] for name in columns] for task, figures in found.items() if figures is not None}
    for task, row in rows.items():
        yield _row(task, str(len(by_task[task])), *row)
    yield _row("mean", "", *(_mean(column) for column in zip(*rows.values(), strict=True)))


def _settings(by_task: dict[str, list[Line]], settings: Sequence[str]) -> Iterator[str]:
    yield "\nSettings, over all tasks\n"
    yield from _head("planted", "tasks", "spearman", "lowest", "mean regret", "highest regret")
    for setting in settings:
        found = _all(by_task, setting)
        spearman, regret = ([figures[name] for figures in found] for name in ("spearman", "regret"))
        yield _row(setting, str(len(found)), _mean(spearman), min(spearman), _mean(regret), max(regret))


def _all(by_task: dict[str, list[Line]], setting: str) -> list[Figures]:
    found = (figures_of(models, setting) for models in by_task.values())
    return [figures for figures in found if figures is not None]


def _held_out(by_task: dict[str, list[Line]], settings: Sequence[str], source: str) -> Iterator[str]:
    """Size, strength and readings are chosen on half of the kinds and some tasks, and reported on the others."""
    halves = list(dict.fromkeys(name.split()[1] for name in settings if name.startswith(source) and "+" in name))
    seen = {name: models for name, models in by_task.items() if name.startswith(DEVELOPMENT)}
    unseen = {name: models for name, models in by_task.items() if name not in seen}
    if not seen or not unseen:
        return
    yield f"\n{source}: size, strength and readings chosen on {', '.join(seen)}, reported on the other tasks\n"
    yield from _head("chosen with", "chosen", "reported with", "spearman", "mean regret", "highest regret")
    for chosen_with, reported_with in ((halves[0], halves[1]), (halves[1], halves[0]), ("all", "all")):
        bands = (" ".join(each) for each in product(SIZES, STRENGTHS, READINGS))
        band = min(bands, key=lambda each: _mean_regret(seen, f"{source} {chosen_with} {each}"))
        for each in (band, "usual any any"):
            found = _all(unseen, f"{source} {reported_with} {each}")
            regret = [figures["regret"] for figures in found]
            spearman = _mean([figures["spearman"] for figures in found])
            yield _row(chosen_with, each, reported_with, spearman, _mean(regret), max(regret))


def _mean_regret(by_task: dict[str, list[Line]], setting: str) -> float:
    return float(np.mean([figures["regret"] for figures in _all(by_task, setting)]))


def _winners(lines: Sequence[Line]) -> Iterator[str]:
    yield "\nMean of the best five, figure on test, mean over tasks\n"
    yield from _head("planted", "by real ones", "by planted ones", "mean regret", "highest regret")
    for setting in dict.fromkeys(line["setting"] for line in lines):
        real, planted = np.array([line["winners"] for line in lines if line["setting"] == setting]).T
        yield _row(setting, _mean(real), _mean(planted), _mean(real - planted), max(real - planted))


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
