"""Trains models and records their rewards: the tables on which strategies are compared.

  small   a sub-space of two layers, 1,296 models, every one trained; Fashion-MNIST is normal, handwritten digits and
          crops of photographs together are not
  random  models drawn uniformly from the whole space of three layers, the same images
  grown   a larger sub-space of two layers, 2,304 models, every one trained; fewer of these images to train on, but 200
          anomalies instead of 21 in validation
  cells   models drawn uniformly from the space of features; solar cells of 64 x 64 pixels, cracked or dead ones against
          good ones, 201 with a defect in validation
  gravel  the same space; a texture with planted defects, 180 images with a defect in validation, reward AUPRO

Each line is appended as soon as its model is trained; the same command continues where it was stopped.

    python -m benchmarks.strategies.record cells FILE.jsonl
    python -m benchmarks.strategies.record cells FILE.jsonl --count 600
"""

from __future__ import annotations

import argparse
import itertools
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from autoad_nni.data import Task, load_task
from autoad_nni.trial.run import evaluate_on_test, make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings
from benchmarks.strategies.recipes import RECIPES

__all__ = ["record"]

Line = dict[str, Any]


def record(file: Path, lines: Iterable[Line], task: Task, settings: TrialSettings) -> None:
    """Train models and append a line for each that the file does not have.

    Args:
        file: JSON lines; need not exist. A last line that was cut off is dropped.
        lines: Each with ``sample`` and ``seed``; what else they have is kept.
        task: The images.
        settings: Of the trials; the seed is that of the line.
    """
    done = {_key(line) for line in _whole_lines(file)}
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
    anomalies = int(task.validation.labels.sum())
    return {**{name: report[name] for name in ("default", "verdict", "seconds", "macs")}, "test": test} | {
        "anomalies": anomalies
    }


def _key(line: Line) -> str:
    return json.dumps([line["sample"], line.get("seed", 0)], sort_keys=True)


def _whole_lines(file: Path) -> list[Line]:
    content = file.read_bytes() if file.exists() else b""
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        file.write_bytes(whole)
    return [json.loads(row) for row in whole.splitlines()]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=list(RECIPES))
    parser.add_argument("file", type=Path)
    parser.add_argument("--count", type=int, help="models to train; default: all of small and grown, 1,500 of random, 400")
    given = parser.parse_args(arguments)
    recipe = RECIPES[given.table]
    samples = itertools.islice(recipe.samples(), given.count or recipe.count)
    record(given.file, ({"sample": sample, "seed": 0} for sample in samples), load_task(recipe.task()), recipe.settings)


if __name__ == "__main__":
    main()
