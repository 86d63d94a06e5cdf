"""The folder that a search in this process leaves behind; safe to kill at any instant."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from autoad_nni.runs.best import WEIGHTS, load_weights, save_weights
from autoad_nni.runs.lock import RunLock
from autoad_nni.runs.summary import TrialSummary
from autoad_nni.models.detector import Detector
from autoad_nni.errors import AutoADError
from autoad_nni.storing import append_line, read_lines, remove_unfinished, storing, write_json

__all__ = ["RunFolder"]


class RunFolder:
    """``history.jsonl`` (a line per trial), ``best.json``, ``best.safetensors``, ``state/``, ``tensorboard/``.

    A set with defects of its own adds ``pictures/`` and ``pictures.png``. One search at a time holds the folder, until
    `close`.

    Args:
        path: The folder; made when missing.
        resume: Whether a search that is there already may go on.

    Raises:
        AutoADError: If the folder holds a search and ``resume`` is not set, holds files of something else, or another
            search runs in it.
    """

    def __init__(self, path: Path, *, resume: bool) -> None:
        self.path = path
        self.journal = path / "state" / "journal.jsonl"
        self.shared_weights = path / "state" / "shared_weights"
        if path.exists() and not path.is_dir():
            raise AutoADError(f"--output {path} is a file. Expected a folder. Give another --output.")
        self._check_new(resume)
        if path.exists() and not self.journal.exists() and set(path.iterdir()) - {self.journal.parent}:
            raise AutoADError(f"--output {path} holds other files. Expected a new or empty folder. Give another one.")
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            self._lock = RunLock(path, self.journal.with_name("lock"))
        except OSError as error:
            raise AutoADError(
                f"--output {path} cannot be made: {error.strerror}. Expected a folder to write to. Give another one."
            ) from None
        self._check_new(resume)  # again: a search may have begun and ended in between
        remove_unfinished(path)
        self._history = path / "history.jsonl"
        self._written = {line.get("trial") for line in read_lines(self._history)}
        self.best: dict[str, Any] | None = None
        self.summary = TrialSummary()

    def _check_new(self, resume: bool) -> None:
        if self.journal.exists() and not resume:
            raise AutoADError(
                f"--output {self.path} holds a search already. Expected a new folder. "
                "Add --resume to go on with that search, or give another --output."
            )

    def close(self) -> None:
        """Lets the next search in."""
        self._lock.release()

    def add_trial(
        self,
        trial: int,
        sample: Mapping[str, Any],
        metrics: Mapping[str, Any] | None,
        *,
        plugins: Mapping[str, str],
        detail: str = "",
    ) -> None:
        """Takes a finished trial; one that is in the history already is not written again.

        Args:
            trial: Its number.
            sample: Value by label.
            metrics: What it reported; None when it crashed.
            plugins: Which plugins ran.
            detail: Why it was rejected or crashed.
        """
        self.summary.add(sample, metrics)
        metrics = {"verdict": "crashed"} if metrics is None else dict(metrics)
        what = {"sample": dict(sample), "plugins": dict(plugins)}
        if trial not in self._written:
            line = {"trial": trial, **what, "metrics": metrics}
            append_line(self._history, {**line, "detail": detail} if detail else line)
        if metrics["verdict"] == "ok" and (self.best is None or metrics["default"] > self.best["reward"]):
            self.best = {"trial": trial, "reward": metrics["default"], **what, "validation": metrics}
            if self._candidate(trial).exists():
                with storing(self._weights):
                    os.replace(self._candidate(trial), self._weights)

    def improves(self, reward: float) -> bool:
        """Returns whether ``reward`` beats every trial so far."""
        return self.best is None or reward > self.best["reward"]

    def save_weights(self, trial: int, detector: Detector) -> None:
        """Keeps the weights of a trial that `improves`; they become the best ones when it is added."""
        save_weights(detector, self._candidate(trial))

    def load_weights(self, detector: Detector) -> None:
        """Loads the weights of the best trial."""
        load_weights(detector, self._weights)

    @property
    def _weights(self) -> Path:
        return self.path / WEIGHTS

    def _candidate(self, trial: int) -> Path:
        return self.journal.with_name(f"trial-{trial:04d}.safetensors")

    def write_best(self, figures: Mapping[str, Any], setting: Mapping[str, Any]) -> None:
        """Writes ``best.json``; ``test`` of the figures is None until the search is over."""
        if self.best is not None:
            verdicts = self.summary.verdicts
            counts = {"n_trials": verdicts.total(), "verdicts": dict(verdicts), "summary": self.summary.to_json()}
            write_json(self.path / "best.json", {**self.best, **figures, **counts, **setting})
