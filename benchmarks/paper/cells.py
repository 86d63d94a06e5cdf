"""One cell of a table: a method, trained and tested on one task."""

from __future__ import annotations

import contextlib
import itertools
import os
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import autoad_nni as ad
from autoad_nni.competitors import load_competitor
from autoad_nni.data import load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.surroundings import torch_threads
from autoad_nni.runs.lock import lock_run
from autoad_nni.storing import append_line, file_changed, read_lines, replace_file, storing
from autoad_nni.trial.evaluate import figures_of
from autoad_nni.trial.request import TrialRequest
from benchmarks.experiment import experiment

__all__ = ["SPACES", "Budget", "Cell", "Cells", "given", "locked", "results_folder"]

SPACES = {
    "autoad": {"space": "autoencoder", "layers": 3},
    "autoad_features": {"space": "features"},
}
"""The searches by name: the article's space, and the one with pretrained features."""


def given(**options: Any) -> dict[str, Any]:
    """Return the options that are not None, as JSON has them."""
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in options.items() if value is not None
    }


@dataclass(frozen=True)
class Budget:
    """What each method may use.

    Attributes:
        trials: Of a search.
        minutes: Of a search, or None.
        epochs: Of each of its trials; for windows at least 300 steps.
        max_seconds: Of each of its trials.
        limit: Normal images of a data set at most; None for all.
        competitors: Settings of competitors by name.
    """

    trials: int
    minutes: float | None
    epochs: int
    max_seconds: float
    limit: int | None
    competitors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def of(self, method: str) -> dict[str, Any]:
        """Return what a method uses of it.

        Example:
            >>> Budget(15, None, 3, 120.0, 6000, {"msp": {"epochs": 30}}).of("msp")
            {'limit': 6000, 'epochs': 30}
        """
        if method not in SPACES:
            return {"limit": self.limit, **self.competitors.get(method, {})}
        return {name: getattr(self, name) for name in ("trials", "minutes", "epochs", "max_seconds", "limit")}


@dataclass(frozen=True)
class Cell:
    """A method on a task, with a seed of split, strategy and training.

    Attributes:
        table: ``table2`` or ``table3``.
        row: The task in the article's words: ``fashion_mnist/digits``, or a category.
        method: A search of `SPACES`, or a competitor.
        seed: From 0.
        options: Of a trial, by name: which images, in which size.
    """

    table: str
    row: str
    method: str
    seed: int
    options: Mapping[str, Any]

    @property
    def key(self) -> tuple[str, str, str, int]:
        """What it is, without how it is computed."""
        return self.table, self.row, self.method, self.seed


class Cells:
    """The computed cells of a folder: ``cells.jsonl``, a line for each; of several lines of a cell the last counts.

    Args:
        folder: Of the file.
        mend: Cut off what a kill left half written; not while another process may be writing.

    Raises:
        AutoADError: A line is no cell.
    """

    def __init__(self, folder: Path, *, mend: bool = True) -> None:
        self.folder = folder
        self._path = folder / "cells.jsonl"
        lines = read_lines(self._path, mend=mend)
        for number, line in enumerate(lines, start=1):
            if not _is_cell(line):
                raise file_changed(self._path, number, "not a cell", _EXPECTED)
        self._lines = {_key(line): line for line in lines}

    @property
    def lines(self) -> list[dict[str, Any]]:
        """A line for each cell."""
        return list(self._lines.values())

    def has(self, cell: Cell) -> bool:
        """Whether it is computed; one that failed is not."""
        return cell.key in self._lines and "failed" not in self._lines[cell.key]

    def check_settings(self, wanted: Iterable[Cell], budget: Budget) -> None:
        """Raise AutoADError if a cell was computed with other images or settings than are wanted.

        Older lines have no budget, and count as computed with the one that is wanted.
        """
        for cell in filter(self.has, wanted):
            line, budgeted = self._lines[cell.key], budget.of(cell.method)
            asked = {**cell.options, **budgeted}
            was = {**line["options"], **line.get("budget", budgeted)}
            for name in {**asked, **was}:
                # Downloaded or there already, the images are the same.
                if name != "download" and was.get(name) != asked.get(name):
                    raise _other_setting(cell, name, was.get(name), asked.get(name))

    def compute(self, cell: Cell, budget: Budget) -> dict[str, Any]:
        """Train, test, and append the line; a failure is a line with its reason."""
        meter = _Meter(self._run_of(cell) if cell.method in SPACES else None)
        try:
            found = self._search(cell, budget, meter) if cell.method in SPACES else _competitor(cell, budget)
        except AutoADError as error:
            found = {"failed": error.on_command_line()}
        finally:
            meter.save()
        seconds = meter.seconds + found.get("shared_seconds", 0.0)
        line = {**asdict(cell), "budget": budget.of(cell.method), "processor_seconds": round(seconds, 1), **found}
        append_line(self._path, line)
        self._lines[cell.key] = line
        return line

    def _run_of(self, cell: Cell) -> Path:
        """The run folder of a search."""
        return self.folder / "runs" / "-".join([cell.table, cell.row.replace("/", "-"), cell.method, str(cell.seed)])

    def _search(self, cell: Cell, budget: Budget, meter: _Meter) -> dict[str, Any]:
        options = {**cell.options, "seed": cell.seed, "limit": budget.limit, "max_seconds": budget.max_seconds}
        options |= {"threads": 1, "space": SPACES[cell.method]["space"], "epochs": budget.epochs}
        request = TrialRequest.from_options(**given(**options))
        run = self._run_of(cell)
        trial, known = shlex.join(["autoad-nni", "trial", *request.to_words()]), cell.method != "autoad"
        content = experiment(trial, SPACES[cell.method], budget.trials, strategy="autoad", seed=cell.seed, known=known)
        resume = run.exists()
        ended = ad.search(content, output=run, minutes=budget.minutes, resume=resume, on_trial=meter.save)
        if ended.best is None or ended.best.test is None:
            raise AutoADError(f"no trial of {cell.row} ended well. Expected one. See {_set_aside(run)}.")
        return {
            "test": dict(ended.best.test),
            "validation": ended.best.reward,
            "trials": len(ended.trials),
            "model": dict(ended.best.sample),
            "members": [{"trial": each.number, "sample": dict(each.sample)} for each in ended.best.members],
            "run": run.name,
        }


def _other_setting(cell: Cell, name: str, was: Any, asked: Any) -> AutoADError:
    option = "classifier_epochs" if name == "epochs" and cell.method not in SPACES else name
    before = f"without [[{option}]]" if was is None else f"with [[{option}]] {was}"
    return AutoADError(
        f"{'/'.join(map(str, cell.key))} was computed {before}, and {'none' if asked is None else asked} is wanted. "
        "Expected the settings of the cells that are there. Give another [[output]]."
    )


def _set_aside(run: Path) -> Path:
    """Rename the folder of a search that has ended with nothing: resumed, it would have no trial left to run."""
    aside = next(path for n in itertools.count(1) if not (path := run.with_name(f"{run.name}.failed-{n}")).exists())
    with storing(run):
        run.rename(aside)
    return aside


_EXPECTED = "table, row, method, seed, options, processor_seconds, and test or failed"


def _is_cell(line: Mapping[str, Any]) -> bool:
    kinds = {"table": str, "row": str, "method": str, "seed": int, "options": dict, "processor_seconds": int | float}
    optional = {
        "test": dict,
        "failed": str,
        "budget": dict,
        "model": dict,
        "members": list,
        "validation": int | float,
        "run": str,
    }
    return (
        all(isinstance(line.get(name), kind) for name, kind in kinds.items())
        and all(isinstance(line[name], kind) for name, kind in optional.items() if name in line)
        and ("test" in line or "failed" in line)
        and all(isinstance(value, int | float) for value in line.get("test", {}).values())
    )


def _key(line: Mapping[str, Any]) -> tuple[str, str, str, int]:
    return line["table"], line["row"], line["method"], line["seed"]


@contextlib.contextmanager
def results_folder(folder: Path) -> Iterator[None]:
    """Make the folder; what goes wrong with it or within the block on the disk is an AutoADError."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise AutoADError(f"[[output]] {folder} is a file. Expected a folder. Give another [[output]].")
    with storing(folder, "Give another [[output]]."):
        folder.mkdir(parents=True, exist_ok=True)
        yield


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Make the folder, and keep other processes from computing cells in it within the block."""
    with results_folder(folder):
        lock = lock_run(folder, folder / "lock")
    try:
        yield
    finally:
        lock.release()


class _Meter:
    """Processor seconds of a search in all of its sessions, kept in ``RUN.seconds``.

    After a kill, what its last trial had used is missing; a search does that trial again. Where there is no run folder,
    the search begins anew, and so do its seconds.

    Args:
        run: The run folder; None for a method that begins anew in each session, and whose last one counts alone.
    """

    def __init__(self, run: Path | None) -> None:
        self._path, self._before = None, 0.0
        if run is not None:
            self._path = run.with_name(f"{run.name}.seconds")
            if not run.exists():
                self._path.unlink(missing_ok=True)  # of a search that was set aside, or removed by hand
            elif self._path.exists():
                self._before = float(self._path.read_text())
        self._began = time.process_time()

    @property
    def seconds(self) -> float:
        return self._before + time.process_time() - self._began

    def save(self, *_: object) -> None:
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(self._path, f"{self.seconds:.2f}\n".encode())


def _competitor(cell: Cell, budget: Budget) -> dict[str, Any]:
    with torch_threads(1):
        request = TrialRequest.from_options(**given(**cell.options, seed=cell.seed, limit=budget.limit))
        task = load_task(request.task)
        began = time.process_time()
        method = load_competitor(cell.method, seed=cell.seed, **budget.competitors.get(cell.method, {}))
        method.fit(task)
        fitted = time.process_time() - began + method.shared_seconds
        # As of a search: validation, not test, sets the threshold of RPRO.
        normal = None if task.test.masks is None else method.predict(task.validation.normal).anomaly_map
        figures = figures_of(method.predict(task.test.images), task.test, normal)
    seconds = {"fit_seconds": round(fitted, 1), "shared_seconds": round(method.shared_seconds, 1)}
    facts = {name: getattr(method, name) for name in ("accuracy", "temperature", "epsilon") if hasattr(method, name)}
    return {"test": figures, **seconds, **facts}
