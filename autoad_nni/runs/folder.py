"""The folder that a search in this process writes; safe to kill at any instant."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.runs.best import load_weights, save_weights
from autoad_nni.runs.lock import lock_run
from autoad_nni.runs.records import BEST, HISTORY, WEIGHTS, BestRecord, read_history
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.summary import TrialSummary
from autoad_nni.storing import append_line, read_lines, remove_unfinished, storing
from autoad_nni.trial.record import TrialRecord

__all__ = ["RunFolder"]


class RunFolder:
    """``history.jsonl`` (a line per trial), ``best.json``, ``best.safetensors``, ``started.json``, ``state/``.

    A search adds ``tensorboard/`` and, for a set with defects of its own, ``pictures/`` and ``pictures.png``. One
    search at a time holds the folder, until `close`.

    Args:
        path: The folder; made when missing.
        start: What the search begins with.
        resume: Whether a search that is there already may go on.

    Raises:
        AutoADError: If the folder holds a search and ``resume`` is not set, holds files of something else, or those of
            a search that began with other options or images; or if another search runs in it.
    """

    def __init__(self, path: Path, start: RunStart, *, resume: bool) -> None:
        self.path = path
        self.journal = path / "state" / "journal.jsonl"
        self.shared_weights = path / "state" / "shared_weights"
        if path.exists() and not path.is_dir():
            raise AutoADError(f"[[output]] {path} is a file. Expected a folder. Give another [[output]].")
        self._check_new(resume)
        if path.exists() and not self.journal.exists() and set(path.iterdir()) - {self.journal.parent}:
            raise AutoADError(f"[[output]] {path} holds other files. Expected a new or empty folder. Give another one.")
        try:
            self.journal.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock_run(path, self.journal.with_name("lock"))
        except OSError as error:
            raise AutoADError(
                f"[[output]] {path} cannot be made: {error.strerror}. Expected a folder to write to. Give another one."
            ) from None
        try:
            self._check_new(resume)  # again: a search may have begun and ended in between
            self._open(start)
        except BaseException:
            self.close()
            raise

    def _open(self, start: RunStart) -> None:
        before = RunStart.read(self.path)
        if before is not None:
            before.check_same(start, self.path)
        remove_unfinished(self.path)
        self._start = start
        read_lines(self.path / HISTORY)  # cuts off a line that a kill left half written
        self._written = {record.number for record in read_history(self.path)}
        self._tested: BestRecord | None = None
        if (self.path / BEST).exists():
            with contextlib.suppress(AutoADError):  # damaged: it is written anew
                self._tested = BestRecord.read(self.path)
        self.best: TrialRecord | None = None
        self.summary = TrialSummary(start.request.settings.reward)

    def _check_new(self, resume: bool) -> None:
        if self.journal.exists() and not resume:
            raise AutoADError(
                f"[[output]] {self.path} holds a search already. Expected a new folder. "
                "Add [[resume=True]] to go on with that search, or give another [[output]]."
            )

    def begin(self) -> None:
        """Write what the search begins with; StorageError if the disk refuses."""
        self._start.write(self.path)

    def close(self) -> None:
        """Let the next search in."""
        self._lock.release()

    def add_trial(self, record: TrialRecord) -> None:
        """Take a trial that has ended; one that is in the history already is not written again."""
        self.summary.add(record)
        if record.number not in self._written:
            append_line(self.path / HISTORY, record.to_json())
            self._written.add(record.number)
        if record.ok and self.improves(record.reward):
            self.best = record
            if self._candidate(record.number).exists():
                with storing(self.weights):
                    os.replace(self._candidate(record.number), self.weights)

    def improves(self, reward: float) -> bool:
        """Return whether ``reward`` is higher than that of every trial so far."""
        return self.best is None or reward > self.best.reward

    def save_weights(self, trial: int, detector: Detector) -> None:
        """Keep the weights of a trial that `improves`; they become the best ones when it is added."""
        save_weights(detector, self._candidate(trial))

    def load_weights(self, detector: Detector) -> None:
        """Load the weights of the best trial."""
        load_weights(detector, self.weights)

    @property
    def weights(self) -> Path:
        """Where the weights of the best trial are."""
        return self.path / WEIGHTS

    def _candidate(self, trial: int) -> Path:
        return self.journal.with_name(f"trial-{trial:04d}.safetensors")

    def tested(self) -> BestRecord | None:
        """Return the best record with its test figures, if an earlier session read them for the same trial."""
        before = self._tested
        if before is None or before.trial != self.best:
            return None
        return before if before.test is not None or before.test_detail else None

    def write_best(self, test: Mapping[str, float] | None = None, test_detail: str = "") -> BestRecord | None:
        """Write ``best.json``, without test figures until the search has ended; None if no trial is ok yet."""
        if self.best is None:
            return None
        before = self.tested()
        if before is not None and test is None and not test_detail:
            test, test_detail = before.test, before.test_detail
        record = BestRecord(
            trial=self.best,
            request=self._start.request,
            image_shape=self._start.image_shape,
            test=test,
            test_detail=test_detail,
            search={**self._start.metadata, "summary": self.summary.to_json()},
        )
        record.write(self.path)
        return record
