"""The folder that a search in this process writes; safe to kill at any instant."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.runs.lock import lock_run
from autoad_nni.runs.records import BEST, HISTORY, WEIGHTS, BestRecord, Result, read_history, remove_best
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.summary import TrialSummary
from autoad_nni.runs.winner import (
    best_known,
    distinct,
    holds_weights,
    join_weights,
    load_weights,
    members_of,
    save_weights,
    trusted,
)
from autoad_nni.storing import append_line, read_lines, remove_unfinished, storing
from autoad_nni.trial.record import TrialRecord

__all__ = ["RunFolder"]


class RunFolder:
    """``history.jsonl`` (a line per trial), ``best.json``, ``best.safetensors``, ``started.json``, ``state/``.

    A search adds ``tensorboard/`` and, unless its anomalies are images of other sets, ``pictures/`` and
    ``pictures.png``. One search at a time holds the folder, until `close`.

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
        if os.path.exists(path) and not os.path.isdir(path):
            raise AutoADError(f"[[output]] {path} is a file. Expected a folder. Give another [[output]].")
        self._check_new(resume)
        if os.path.exists(path) and not os.path.exists(self.journal) and set(path.iterdir()) - {self.journal.parent}:
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
        self._on_disk: BestRecord | None = None
        if os.path.exists(self.path / BEST):
            with contextlib.suppress(AutoADError):  # damaged: it is written anew
                self._on_disk = BestRecord.read(self.path)
        self._tested = self._on_disk if _is_tested(self._on_disk) else None
        self._kept: list[TrialRecord] = []
        self._dropped: set[int] = set()
        self._limit: int | None = None
        self._joined: list[TrialRecord] = []
        self.summary = TrialSummary(start.request.reward_name)

    def _check_new(self, resume: bool) -> None:
        if os.path.exists(self.journal) and not resume:
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
        self._limit = None
        kept = self._with(record)
        self._dropped |= {each.number for each in [*self._kept, record]} - {each.number for each in kept}
        self._kept = kept

    def keeps(self, record: TrialRecord) -> bool:
        """Return whether the model of a trial is one of the winner's, or the best known method, as things stand."""
        return record.ok and record in self._with(record)

    def save_weights(self, trial: int, detector: Detector) -> None:
        """Write the weights of a trial that `keeps` keeps; `write_best` removes them when better ones have ended."""
        save_weights(detector, self._candidate(trial))

    def take_weights(self, trial: int, path: Path) -> None:
        """Move the weights of a trial that `keeps` keeps here, from where another process wrote them.

        Raises:
            StorageError: If the disk refuses.
        """
        with storing(self._candidate(trial)):
            os.replace(path, self._candidate(trial))

    def without_weights(self) -> list[TrialRecord]:
        """Return the trials that are kept, and whose weights are lost or damaged."""
        return [record for record in self._kept if not holds_weights(self._candidate(record.number))]

    @property
    def has_ended(self) -> bool:
        """Whether the winner of these trials has been evaluated, and its weights are there."""
        before = self.tested()
        return before is not None and holds_weights(self.weights, [member.number for member in before.members])

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far."""
        return max(self._kept, key=lambda record: (record.reward, -record.number), default=None)

    @property
    def members(self) -> list[TrialRecord]:
        """The trials whose models make the winner, as things stand, the best first."""
        request = self._start.request
        return members_of(self._kept, request.members, with_trusted=request.task.planted)[: self._limit]

    def limit(self, n_members: int) -> None:
        """Let only the best so many be members, until the next trial ends."""
        self._limit = n_members

    @property
    def known(self) -> TrialRecord | None:
        """The best known method that was tried."""
        return best_known(self._kept)

    def load_known(self, detector: Detector, known: TrialRecord) -> None:
        """Load the weights of the best known method."""
        load_weights(detector, self._candidate(known.number))

    @property
    def weights(self) -> Path:
        """Where the weights of the winner are."""
        return self.path / WEIGHTS

    def _with(self, record: TrialRecord) -> list[TrialRecord]:
        """The trials to keep when one more has ended: the best few, trusted methods, and the best known method."""
        among, request = [*self._kept, record], self._start.request
        ranked = distinct(among)
        kept = ranked[: request.members]
        if request.task.planted:
            kept += trusted(ranked, besides=kept)
        known = best_known(among)
        return kept if known is None or known in kept else [*kept, known]

    def _candidate(self, trial: int) -> Path:
        return self.journal.with_name(f"trial-{trial:04d}.safetensors")

    def _join_weights(self) -> None:
        """Write the members' weights into one file."""
        members = self.members
        if members == self._joined and os.path.exists(self.weights):
            return
        if self._on_disk is None or list(self._on_disk.members) != members:
            remove_best(self.path)
        elif holds_weights(self.weights, [member.number for member in members]):
            # Of an earlier session: what a search ended with outlives the weights of its trials.
            self._joined = members
            return
        join_weights({member.number: self._candidate(member.number) for member in members}, self.weights)
        self._joined = members

    def _remove_dropped(self) -> None:
        """Remove the weights of trials that are not kept any more."""
        while self._dropped:
            path = self._candidate(self._dropped.pop())
            with storing(path):
                path.unlink(missing_ok=True)

    def tested(self) -> BestRecord | None:
        """Return the best record with its test figures, if they were read for these members and this known method."""
        before = self._tested
        if before is None:
            return None
        # Of the members as things stood when it ended, a search keeps as many as make it as good as the known method.
        ended = before.search["summary"]["trials"] == self.summary.verdicts.total()
        members = self.members[: len(before.members)] if ended else self.members
        if list(before.members) != members:
            return None
        if self.known != (None if before.known is None else before.known.trial):
            return None
        return before

    def write_best(self, result: Result | None = None) -> BestRecord | None:
        """Write ``best.safetensors`` and ``best.json``, and remove the weights of trials that are not kept any more.

        A kill leaves a winner that can be loaded, or none.

        Args:
            result: What the search ended with; None before, or if it is there already.

        Returns:
            What was written; None if no trial is ok yet.
        """
        best = self.best
        if best is None:
            return None
        before = self.tested()
        if result is None and before is not None:
            result = Result.of(before)
            self.limit(len(before.members))
        self._join_weights()
        result = result or Result()
        record = BestRecord(
            trial=best,
            members=tuple(self.members),
            request=self._start.request,
            image_shape=self._start.image_shape,
            **vars(result),
            search={**self._start.metadata, "summary": self.summary.to_json()},
        )
        record.write(self.path)
        self._on_disk = record
        self._tested = record if _is_tested(record) else self._tested
        self._remove_dropped()
        return record


def _is_tested(record: BestRecord | None) -> bool:
    return record is not None and (record.test is not None or record.test_detail != "")
