"""Trains the winners of strategies anew, with fresh seeds, and reads them on test.

What a table answers has the noise of one training, or is a regression's guess: a strategy may have found luck. Here the
best model of each search is trained again, twice.

    python -m benchmarks.strategies.winners cells --searches 10 --only autoad,random

Each line is appended to OUTPUT/winners-TABLE.jsonl as soon as its model is trained; the same command continues where it
was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from autoad_nni.data import load_task
from benchmarks.strategies.answers import Answers, load_answers
from benchmarks.strategies.noise import FRESH
from benchmarks.strategies.proposals import searched
from benchmarks.strategies.recipes import RECIPES
from benchmarks.strategies.record import read_lines, record
from benchmarks.strategies.report import AT, markdown_table
from benchmarks.strategies.specs import Spec, missing, select
from benchmarks.strategies.stats import estimate
from benchmarks.strategies.tables import key_of

__all__ = ["Winner", "main", "summary", "winners"]


class Winner(NamedTuple):
    """The best model of one search.

    Attributes:
        sample: The model.
        promised: The reward that the search was given for it.
    """

    sample: Mapping[str, Any]
    promised: float


def winners(spec: Spec, answers: Answers, searches: int, trials: int) -> list[Winner]:
    """Return the best model of each search, with seeds from 0."""
    found = (searched(spec, seed, answers, trials) for seed in range(searches))
    return [Winner(*max(each, key=lambda pair: pair[1])) for each in found]


def summary(found: Mapping[str, Sequence[Winner]], lines: Sequence[Mapping[str, Any]]) -> str:
    """Return a table in Markdown: for each strategy the means over its winners, each the mean of its trainings.

    Args:
        found: Winners by strategy.
        lines: What their trainings recorded.
    """
    rows: list[Sequence[str]] = [("strategy", "promised", "validation, trained anew", "test")]
    for name, each in found.items():
        means = {label: [_mean(winner, lines, label) for winner in each] for label in ("default", "test")}
        columns = ([winner.promised for winner in each], means["default"], means["test"])
        rows.append((name, *(f"{mean:.4f} ± {margin:.4f}" for mean, margin in map(estimate, columns))))
    return markdown_table(rows)


def _mean(winner: Winner, lines: Sequence[Mapping[str, Any]], label: str) -> float:
    values = [line[label] for line in lines if key_of(line["sample"]) == key_of(winner.sample)]
    return float(sum(values) / len(values))


def main(arguments: list[str] | None = None) -> None:
    """Search, train the winners, and print the means."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(RECIPES))
    parser.add_argument("--tables", type=Path, default=Path(__file__).parent, help="folder with the table")
    parser.add_argument("--searches", type=int, default=10, help="of each strategy")
    parser.add_argument("--trials", type=int, default=AT, help="of each search")
    parser.add_argument("--only", help="strategies, NAME,...; default: all that can be run")
    parser.add_argument("--output", type=Path, default=Path("runs/strategies"))
    given = parser.parse_args(arguments)
    (answers,) = load_answers(given.tables, only=given.table)
    specs = {name: spec for name, spec in select(given.only).items() if missing(spec) is None}
    found = {name: winners(spec, answers, given.searches, given.trials) for name, spec in specs.items()}
    recipe, file = RECIPES[given.table], given.output / f"winners-{given.table}.jsonl"
    given.output.mkdir(parents=True, exist_ok=True)
    samples = [dict(winner.sample) for each in found.values() for winner in each]
    lines = [{"sample": sample, "seed": seed} for seed in FRESH for sample in samples]
    record(file, lines, load_task(recipe.task()), recipe.settings)
    print(summary(found, read_lines(file)))


if __name__ == "__main__":
    main()
