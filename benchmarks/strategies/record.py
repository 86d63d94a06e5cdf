"""Trains models and records their rewards: the tables on which strategies are compared.

  small   a sub-space of two layers, 1,296 models, every one trained; Fashion-MNIST is normal, handwritten digits and
          crops of photographs together are not
  random  models drawn uniformly from the whole space of three layers, the same images
  grown   another sub-space of two layers, 2,304 models, every one trained; solar cells of 28 x 28 pixels, cracked or
          dead ones against good ones, 201 with a defect in validation as in test
  cells   models drawn uniformly from the space of features; these solar cells, 32 x 32 pixels
  gravel  the same space; a texture with planted defects, 32 x 32 pixels, 150 images with a defect in validation as in
          test, reward AUPRO

Each line is appended as soon as its model is trained; the same command continues where it was stopped. In this order:

    python -m benchmarks.strategies.record cells cells.jsonl                   # models drawn uniformly
    python -m benchmarks.strategies.record cells cells.jsonl --proposals 20    # of each of three strategies
    python -m benchmarks.strategies.record cells cells.jsonl --again           # into cells.again.jsonl: the noise
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoad_nni.data import Task, load_task
from autoad_nni.trial.run import evaluate_on_test, make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings
from benchmarks.strategies.answers import surrogate
from benchmarks.strategies.noise import FRESH, spread, top
from benchmarks.strategies.proposals import proposed
from benchmarks.strategies.recipes import RECIPES, Recipe
from benchmarks.strategies.tables import Table, key_of, read_table

__all__ = ["again", "drawn", "proposals", "read_lines", "record", "train"]

Line = dict[str, Any]


def record(file: Path, lines: Iterable[Line], task: Task, settings: TrialSettings) -> None:
    """Train models and append a line for each that the file does not have.

    Args:
        file: JSON lines; need not exist. A last line that was cut off is dropped.
        lines: Each with ``sample`` and ``seed``; what else they have is kept.
        task: The images.
        settings: Of the trials; the seed is that of the line.
    """
    done = {_key(line) for line in read_lines(file)}
    with file.open("a", encoding="utf-8") as into:
        for line in lines:
            if _key(line) not in done:
                done.add(_key(line))
                found = train(line["sample"], task, replace(settings, seed=line["seed"]))
                into.write(json.dumps({**line, **found}) + "\n")
                into.flush()


def train(sample: Mapping[str, Any], task: Task, settings: TrialSettings) -> Line:
    """Train one model; return what the table keeps of it, with the reward's metric on test (0 if it was rejected)."""
    result = run_trial(sample, task, settings)
    report = result.record.to_report()
    test = 0.0
    if result.detector is not None:
        scorer = make_scorer(result.detector, task.train[0], settings.scoring)
        figures = evaluate_on_test(scorer, task, settings).figures
        test = 0.0 if figures is None else figures[settings.reward]
    kept = {name: report[name] for name in ("default", "verdict", "seconds", "macs")}
    return {**kept, "test": test, "anomalies": int(task.validation.labels.sum())}


def _key(line: Line) -> str:
    return json.dumps([line["sample"], line.get("seed", 0)], sort_keys=True)


def read_lines(file: Path) -> list[Line]:
    """Return the lines of a file, none if there is no file; a last line that was cut off is dropped from it."""
    content = file.read_bytes() if file.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        file.write_bytes(whole)
    return [json.loads(row) for row in whole.splitlines()]


def drawn(recipe: Recipe, count: int | None) -> Iterator[Line]:
    """Yield the models of a recipe."""
    for sample in itertools.islice(recipe.samples(), count or recipe.count):
        yield {"sample": sample, "seed": 0}


def again(table: Table) -> list[Line]:
    """Return a tenth of all models once more, and the best tenth twice, with fresh seeds."""
    first, second = FRESH
    lines = [(line, first) for line in [*spread(table), *top(table)]] + [(line, second) for line in top(table)]
    return [{"sample": dict(line.sample), "seed": seed} for line, seed in lines]


def proposals(file: Path, count: int) -> list[Line]:
    """Return the models that strategies propose on the regression, fitted to the models that were drawn uniformly."""
    table = read_table(file)
    lines = tuple(line for line in table.lines if not line.proposer)
    return proposed(surrogate(replace(table, lines=lines)), count, (key_of(line.sample) for line in lines))


def main(arguments: list[str] | None = None) -> None:
    """Record a table, or what belongs to it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(RECIPES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, help="models to train; default: all of a sub-space, 1,500 of random, 400")
    more = parser.add_mutually_exclusive_group()
    more.add_argument("--proposals", type=int, metavar="N", help="train N models that each strategy proposes")
    more.add_argument("--again", action="store_true", help="train a tenth of all and the best tenth with other seeds")
    given = parser.parse_args(arguments)
    recipe, file = RECIPES[given.table], given.file
    if given.again:
        lines: Iterable[Line] = again(read_table(file))
        file = file.with_name(f"{given.table}.again.jsonl")
    elif given.proposals is not None:
        lines = proposals(file, given.proposals)
    else:
        lines = drawn(recipe, given.count)
    record(file, lines, load_task(recipe.task()), recipe.settings)


if __name__ == "__main__":
    main()
