"""Real searches with and without halving: what it saves, and what it costs on test.

    python -m benchmarks.halving_searches fashion brick --seeds 10 --output runs/halving

Each search is the shipped one, of the strategy `autoad`; its seed is that of the split, of the trainings and of the
strategy, and the figure is the winner's on test, as `autoad-nni search` makes it (the mean of up to five models). Each
search is a line of OUTPUT/searches.jsonl as soon as it has ended; the same command goes on where it was stopped.
Without names of tasks, what the file has is printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

import autoad_nni as ad
from autoad_nni.storing import append_line, read_lines
from autoad_nni.verdicts import Verdict
from benchmarks.experiment import experiment, file_of_lines
from benchmarks.strategies.report import markdown_table
from benchmarks.strategies.stats import estimate

__all__ = ["TASKS", "main", "search", "summary"]

Line = Mapping[str, Any]

TASKS: Final = {
    "fashion": "--data fashion_mnist --abnormal digits,photos --limit 2000 --steps 200 --max-macs 2000000",
    "brick": "--data textures --category brick --patch 16 --two-sided --steps 400 --reward aupro --max-macs 200000",
}
"""Options of the trials; the space is that of two layers. The limits on costs keep a trial to some seconds."""

NONE: Final = 0
"""In place of a reduction: no halving."""


def search(task: str, reduction: int, seed: int, trials: int, output: Path) -> dict[str, Any]:
    """Run one search in a folder that is removed afterwards, and return its line.

    Args:
        task: One of `TASKS`.
        reduction: Of halving with one rung: 4 evaluates after a quarter of the steps; `NONE` for none.
        seed: Of everything.
        trials: The budget.
        output: Where the folder is made.
    """
    run = output / f"{task}-{reduction}-{seed}"
    shutil.rmtree(run, ignore_errors=True)  # of a search that was stopped
    halving = {"halving": {"reduction": reduction, "rungs": 1}} if reduction else {}
    trial = f"autoad-nni trial {TASKS[task]} --seed {seed} --threads 1 --device cpu"
    space = {"space": "autoencoder", "layers": 2}
    began = time.process_time()
    ended = ad.search(experiment(trial, space, trials, strategy="autoad", seed=seed, **halving), output=run)
    seconds = time.process_time() - began
    verdicts = [record.verdict for record in ended.records]
    best = ended.best
    shutil.rmtree(run)
    return {
        "task": task,
        "reduction": reduction,
        "seed": seed,
        "test": None if best is None or best.test is None else best.test[best.request.settings.reward],
        "validation": None if best is None else best.reward,
        "seconds": round(seconds, 1),
        "trials": len(verdicts),
        "stopped": verdicts.count(Verdict.STOPPED),
    }


def summary(lines: Iterable[Line]) -> str:
    """Return a table in Markdown: each reduction against none, paired by seed. A search without a winner has 0."""
    found = {(line["task"], line["reduction"], line["seed"]): line for line in lines}
    heads = ["task", "reduction", "seeds", "test", "to none", "worst", "within 0.005", "seconds", "stopped"]
    rows = [heads]
    for task, reduction in sorted({key[:2] for key in found}):
        seeds = [seed for one, other, seed in sorted(found) if (one, other) == (task, reduction)]
        seeds = [seed for seed in seeds if (task, NONE, seed) in found]
        if seeds:
            mine, base = ([found[task, each, seed] for seed in seeds] for each in (reduction, NONE))
            rows.append([task, str(reduction or "none"), str(len(seeds)), *_cells(mine, base)])
    return markdown_table(rows)


def _cells(mine: Sequence[Line], base: Sequence[Line]) -> list[str]:
    test, differences = _tests(mine), _tests(mine) - _tests(base)
    (mean, margin), (gain, spread) = estimate(test.tolist()), estimate(differences.tolist())
    return [
        f"{mean:.4f} ± {margin:.4f}",
        f"{gain:+.4f} ± {spread:.4f}",
        f"{differences.min():+.4f}",
        f"{(differences >= -0.005).sum()}",
        f"{sum(line['seconds'] for line in mine) / sum(line['seconds'] for line in base):.2f}",
        f"{np.mean([line['stopped'] for line in mine]):.1f} of {mine[0]['trials']}",
    ]


def _tests(lines: Sequence[Line]) -> NDArray[np.float64]:
    return np.array([line["test"] or 0.0 for line in lines])


def main(arguments: list[str] | None = None) -> None:
    """Search, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)}")
    parser.add_argument("--reductions", type=int, nargs="+", default=[4, 9])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--output", type=Path, default=Path("runs/halving"))
    given = parser.parse_args(arguments)
    file = file_of_lines(parser, given.tasks, TASKS, given.output)
    done = {(line["task"], line["reduction"], line["seed"]) for line in read_lines(file)}
    for seed in range(given.seeds):
        for task in given.tasks:
            for reduction in (NONE, *given.reductions):
                if (task, reduction, seed) not in done:
                    append_line(file, search(task, reduction, seed, given.trials, given.output))
    print(summary(read_lines(file)))


if __name__ == "__main__":
    main()
