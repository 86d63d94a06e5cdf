"""Real searches, which train every model: another split, training and course of the strategy with each seed.

A recorded table has one split and one training of each model. Here the seed of a search is that of the split, of the
trainings and of the strategy; test is read for every trial, which no strategy sees.

    python -m benchmarks.strategies.searches cells gravel --seeds 10

The images and trainings are those of the tables of these names (`fashion` has none: cheaper trainings on the images of
`random`), the models those of the whole space. Each trial is a line of OUTPUT/searches.jsonl as soon as it has ended;
the same command goes on where it was stopped. Times are processor seconds; those of a training include the figure on
test.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from autoad_nni.data import load_task
from autoad_nni.errors import AutoADError
from autoad_nni.registry import SEARCH_SPACES
from autoad_nni.storing import append_line, read_lines
from benchmarks.experiment import file_of_lines
from benchmarks.strategies.answers import Answers
from benchmarks.strategies.recipes import RECIPES
from benchmarks.strategies.record import train
from benchmarks.strategies.report import markdown_table
from benchmarks.strategies.runs import play
from benchmarks.strategies.specs import RANDOM, Spec, select
from benchmarks.strategies.stats import estimate

__all__ = ["Trials", "found", "main", "search", "summary"]

Line = Mapping[str, Any]
Trials = Sequence[Line]
"""The trials of one search, in their order."""

AT = (10, 20, 30)
_THREE_LAYERS = {"autoencoder": {"n_layers": 3}, "features": {}}


def search(table: str, name: str, spec: Spec, seed: int, trials: int, file: Path) -> None:
    """Run one search, or what the file lacks of it, and append its trials.

    Args:
        table: Whose images and trainings are taken.
        name: Of the strategy in the comparison.
        spec: The strategy.
        seed: Of the split, the trainings and the strategy.
        trials: The budget.
        file: JSON lines; need not exist.

    Raises:
        AutoADError: If the strategy proposes other samples than the file has.
    """
    key = {"table": table, "name": name, "seed": seed}
    known = [line for line in read_lines(file) if key.items() <= line.items()]
    if len(known) >= trials:
        return
    recipe = RECIPES[table]
    task, settings = load_task(replace(recipe.task(), seed=seed)), replace(recipe.settings, seed=seed)
    rewards = _Rewards(file, key, known, lambda sample: train(sample, task, settings))
    choices = SEARCH_SPACES.load(settings.space)(**_THREE_LAYERS[settings.space]).simplify()
    values = {str(label): tuple(choice.values) for label, choice in choices.items()}
    play(name, spec, seed, Answers(table, values, rewards, "trained", ""), trials)


class _Rewards:
    """The rewards of one search: of the trials that the file has, then of models that are trained and appended."""

    def __init__(self, file: Path, key: Line, known: Trials, train_one: Callable[[Line], Line]) -> None:
        self._file, self._key, self._train = file, key, train_one
        self._left = list(known)
        self._n_trials = 0
        self._answered = time.process_time()

    def __call__(self, sample: Mapping[str, Any]) -> float:
        asked = time.process_time()
        line = self._recorded(sample) if self._left else self._trained(sample, asked)
        self._n_trials += 1
        self._answered = time.process_time()
        return float(line["default"])

    def _recorded(self, sample: Mapping[str, Any]) -> Line:
        line = self._left.pop(0)
        if line["sample"] != sample:
            raise AutoADError(
                f"{self._file} has another sample as trial {self._n_trials} of {self._key} than {dict(sample)}. "
                "Expected the same course with the same seed. Remove the lines of this search."
            )
        return line

    def _trained(self, sample: Mapping[str, Any], asked: float) -> Line:
        result = self._train(sample)
        line = {
            **self._key,
            "trial": self._n_trials,
            "sample": dict(sample),
            **{name: result[name] for name in ("default", "test", "verdict")},
            "training_seconds": round(time.process_time() - asked, 3),
            "strategy_seconds": round(asked - self._answered, 4),
        }
        append_line(self._file, line)
        return line


def found(trials: Trials, count: int) -> tuple[float, float]:
    """Return reward and test figure of the best of the first so many trials; of the first one if there are none.

    Example:
        >>> found([{"default": 0.5, "test": 0.6}, {"default": 0.7, "test": 0.4}, {"default": 0.9, "test": 0.8}], 2)
        (0.7, 0.4)
    """
    best = max(trials[: max(count, 1)], key=lambda line: float(line["default"]))
    return float(best["default"]), float(best["test"])


def summary(lines: Iterable[Line], names: Collection[str]) -> str:
    """Return two tables in Markdown for each set of images: rewards on validation, and winners on test.

    Differences are to random, paired by seed. Equal time is, for each seed, the processor time of random's search. The
    five best are the trials with the highest rewards, so that a mean over them depends less on one lucky reward.

    Args:
        lines: The trials of all searches, those of each search in their order.
        names: Strategies to show, random among them. Only seeds are counted that all of them have ended.
    """
    groups: dict[str, dict[str, dict[int, list[Line]]]] = {}
    for line in lines:
        if line["name"] in names:
            by_seed = groups.setdefault(line["table"], {}).setdefault(line["name"], {})
            by_seed.setdefault(line["seed"], []).append(line)
    return "\n\n".join(f"## {table}\n\n{_of_table(by_name)}" for table, by_name in groups.items())


def _of_table(by_name: Mapping[str, Mapping[int, Trials]]) -> str:
    longest = max(len(trials) for by_seed in by_name.values() for trials in by_seed.values())
    ended = [{seed for seed, trials in each.items() if len(trials) == longest} for each in by_name.values()]
    seeds = sorted(set.intersection(*ended))
    if not seeds:
        return "No seed that every strategy has ended."
    searches = {name: [by_seed[seed] for seed in seeds] for name, by_seed in by_name.items()}
    base = searches[RANDOM]
    return "\n\n".join(
        (
            _columns({name: _validation(each, base, longest) for name, each in searches.items()}),
            _columns({name: _test(each, base, longest) for name, each in searches.items()}),
            f"{len(seeds)} searches each, seeds {', '.join(map(str, seeds))}.",
        )
    )


def _validation(searches: Sequence[Trials], base: Sequence[Trials], longest: int) -> dict[str, str]:
    reached = {count: _found(searches, count, 0) for count in sorted({*AT, longest}) if count <= longest}
    last = reached[longest]
    return {
        **{f"best at {count}": _shown(values) for count, values in reached.items()},
        "to random": _shown(last - _found(base, longest, 0), "+"),
        "worst seed": f"{last.min():.4f}",
        "median": f"{np.median(last):.4f}",
        "best quarter from": f"{np.quantile(last, 0.75):.4f}",
    }


def _test(searches: Sequence[Trials], base: Sequence[Trials], longest: int) -> dict[str, str]:
    values, others = _found(searches, longest, 1), _found(base, longest, 1)
    five, other_five = _of_five_best(searches), _of_five_best(base)
    limited = [found(each, _ended_by(each, _seconds(other)))[1] for each, other in zip(searches, base, strict=True)]
    trials = [line for each in searches for line in each]
    return {
        f"test of the winner at {longest}": _shown(values),
        "to random": _shown(values - others, "+"),
        "at equal time": _shown(np.array(limited) - others, "+"),
        "worst seed": f"{values.min():.4f}",
        "mean of the five best": _shown(five),
        "five to random": _shown(five - other_five, "+"),
        "s per trial": f"{np.mean([line['training_seconds'] for line in trials]):.2f}",
        "of the strategy": f"{np.mean([line['strategy_seconds'] for line in trials]):.3f}",
    }


def _found(searches: Sequence[Trials], count: int, which: int) -> NDArray[np.float64]:
    return np.array([found(trials, count)[which] for trials in searches])


def _of_five_best(searches: Sequence[Trials]) -> NDArray[np.float64]:
    best = [sorted(trials, key=lambda line: float(line["default"]), reverse=True)[:5] for trials in searches]
    return np.array([np.mean([line["test"] for line in trials]) for trials in best])


def _cost(line: Line) -> float:
    return float(line["training_seconds"] + line["strategy_seconds"])


def _seconds(trials: Trials) -> float:
    return sum(_cost(line) for line in trials)


def _ended_by(trials: Trials, seconds: float) -> int:
    return int(np.searchsorted(np.cumsum([_cost(line) for line in trials]), seconds, side="right"))


def _shown(values: NDArray[np.float64], sign: str = "") -> str:
    mean, margin = estimate(values.tolist())
    return f"{mean:{sign}.4f} ± {margin:.4f}"


def _columns(columns: Mapping[str, Mapping[str, str]]) -> str:
    heads = ["strategy", *next(iter(columns.values()))]
    return markdown_table([heads, *([name, *cells.values()] for name, cells in columns.items())])


def main(arguments: list[str] | None = None) -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", help=f"of {', '.join(RECIPES)}; none: only print what is recorded")
    parser.add_argument("--only", default="autoad,regularized evolution,local search", help="NAME,... beside random")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=AT[-1])
    parser.add_argument("--output", type=Path, default=Path("runs/strategies"))
    given = parser.parse_args(arguments)
    file = file_of_lines(parser, given.tables, RECIPES, given.output)
    specs = select(f"{given.only},{RANDOM}")
    for seed in range(given.seeds):
        for table in given.tables:
            for name, spec in specs.items():
                search(table, name, spec, seed, given.trials, file)
    print(summary(read_lines(file), specs))


if __name__ == "__main__":
    main()
