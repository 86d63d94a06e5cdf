"""The files through which a search and its workers talk. Each is written once, as a whole, under a name of its own.

``RUN/state/workers/SESSION/`` has ``session.json`` and ``beat``, and a folder for each process that was started::

    ready             the worker has read the images, and waits for trials
    unable.json       or why it cannot
    1.order.json      the first trial that it is given
    1.rung-0.json     what it reached at its first rung, if it has one
    1.reply-0.json    whether it goes on
    1.result.json     how that trial ended
    1.safetensors     the weights of its model, if it ended well
    log.txt           what the worker wrote to stdout and stderr

Names are new ones, and folders are listed rather than files asked for: a network file system may answer for a while
from what it knew before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from autoad_nni.errors import AutoADError
from autoad_nni.opening import read_json
from autoad_nni.storing import reason_of, write_json
from autoad_nni.trial.record import TrialRecord

__all__ = ["AtRung", "Box", "Order", "Outcome", "Session", "pause_s"]

_SESSION = "session.json"
_BEAT = "beat"


@dataclass(frozen=True, kw_only=True)
class Session:
    """What all workers of a session of a search need to know.

    Attributes:
        run: The run folder, absolute.
        hangs_after: Seconds after which a trial hangs, and its process ends; None for never.
        leaves_after: Seconds after which a worker starts no further trial, since its job ends; None for never.
        orphan_after: Seconds without a beat of the searching process after which a worker ends.
    """

    run: str
    hangs_after: float | None
    leaves_after: float | None
    orphan_after: float

    def write(self, folder: Path) -> None:
        """Write it into the folder of the session; StorageError if the disk refuses."""
        write_json(folder / _SESSION, asdict(self))

    @classmethod
    def read(cls, folder: Path) -> Session:
        """Read what `write` wrote; OSError, ValueError or TypeError if it cannot be read."""
        return cls(**read_json(folder / _SESSION))


class Order(NamedTuple):
    """A trial to run.

    Attributes:
        number: Of the trial.
        sample: Value by label.
        max_seconds: Instead of the one of the search's options; None for no limit.
        rungs: Shares of its steps after which the worker asks whether it goes on.
    """

    number: int
    sample: Mapping[str, Any]
    max_seconds: float | None
    rungs: Sequence[float] = ()


class AtRung(NamedTuple):
    """What a trial has reached at a rung, where it waits for a reply.

    Attributes:
        rung: Index of the rung.
        reward: Of the trial.
    """

    rung: int
    reward: float


class Outcome(NamedTuple):
    """How a trial ended.

    Attributes:
        record: What is recorded of it; None if it could not be stored.
        unstored: Why it could not be stored; empty if it could.
        leaves: Whether the worker ends after it.
    """

    record: TrialRecord | None
    unstored: str = ""
    leaves: bool = False


class Box:
    """The folder of one worker process.

    Args:
        folder: Within that of its session.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = folder.parent
        self.log = folder / "log.txt"

    def names(self) -> set[str]:
        """Return the names of the files that are there; OSError if the folder is gone."""
        return set(os.listdir(self.folder))

    # By the worker.

    def say_ready(self) -> None:
        """Say that the worker waits for trials."""
        write_json(self.folder / "ready", {})

    def say_unable(self, reason: str) -> None:
        """Say that the worker cannot run trials of this search, nor could another one."""
        write_json(self.folder / "unable.json", {"reason": reason})

    def order(self, turn: int) -> Order | None:
        """Return the trial of a turn, or None if it is not there yet; OSError if the folder is gone."""
        return Order(**read_json(self.folder / f"{turn}.order.json")) if f"{turn}.order.json" in self.names() else None

    def weights(self, turn: int) -> Path:
        """Return where the weights of a turn's model are, if they are kept."""
        return self.folder / f"{turn}.safetensors"

    def answer(self, turn: int, outcome: Outcome) -> None:
        """Say how the trial of a turn ended; StorageError if the disk refuses."""
        record = None if outcome.record is None else outcome.record.to_json()
        write_json(self.folder / f"{turn}.result.json", {**outcome._asdict(), "record": record})

    def ask(self, turn: int, at: AtRung) -> None:
        """Ask whether the trial of a turn goes on; StorageError if the disk refuses."""
        write_json(self.folder / f"{turn}.rung-{at.rung}.json", at._asdict())

    def reply(self, turn: int, rung: int) -> bool | None:
        """Return whether the trial goes on, or None while there is no reply; OSError if the folder is gone."""
        path = self.folder / f"{turn}.reply-{rung}.json"
        return bool(read_json(path)["goes_on"]) if path.name in self.names() else None

    def beat(self) -> str:
        """Return the last beat of the searching process; OSError if the worker is dismissed."""
        self.names()
        return (self.session / _BEAT).read_text()

    # By the searching process.

    def dismiss(self) -> None:
        """Remove the folder, at which the worker ends."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def give(self, turn: int, order: Order) -> None:
        """Give the worker a trial; StorageError if the disk refuses."""
        write_json(self.folder / f"{turn}.order.json", {**order._asdict(), "sample": dict(order.sample)})

    def forget(self, turn: int) -> None:
        """Remove the files of a turn that has ended: the folder is listed at every look."""
        with contextlib.suppress(OSError):
            for name in self.names():
                if name.startswith(f"{turn}."):
                    (self.folder / name).unlink()

    def outcome(self, turn: int) -> Outcome | None:
        """Return how the trial of a turn ended, or None while it runs.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        path = self.folder / f"{turn}.result.json"
        if path.name not in self.names():
            return None
        try:
            content = read_json(path)
            record = content["record"]
            return Outcome(
                None if record is None else TrialRecord.from_json(record),
                str(content["unstored"]),
                content["leaves"] is True,
            )
        except (OSError, ValueError, KeyError, TypeError, AutoADError) as error:
            raise _unreadable(path, error) from None

    def asked(self, turn: int, rungs: Iterable[int]) -> AtRung | None:
        """Return what the trial of a turn has reached at one of its rungs, or None if it has come to none of them.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        names = self.names()
        rung = next((rung for rung in rungs if f"{turn}.rung-{rung}.json" in names), None)
        if rung is None:
            return None
        path = self.folder / f"{turn}.rung-{rung}.json"
        try:
            return AtRung(rung, float(read_json(path)["reward"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _unreadable(path, error) from None

    def answer_rung(self, turn: int, rung: int, *, goes_on: bool) -> None:
        """Reply whether a trial goes on; StorageError if the disk refuses."""
        write_json(self.folder / f"{turn}.reply-{rung}.json", {"goes_on": goes_on})

    def is_ready(self) -> bool:
        """Return whether the worker has begun to wait for trials.

        Raises:
            AutoADError: If it cannot run any of this search.
        """
        names = self.names()
        if "unable.json" in names:
            reason = read_json(self.folder / "unable.json")["reason"]
            raise AutoADError(f"a worker cannot run the trials of this search: {reason}")
        return "ready" in names


def _unreadable(path: Path, error: Exception) -> AutoADError:
    return AutoADError(
        f"{path} cannot be read: {reason_of(error)}. Expected what a worker wrote. Add [[resume=True]] to run that "
        "trial again."
    )


def write_beat(session: Path, number: int) -> None:
    """Show workers that the searching process lives; written in place, so that it needs no room on the disk."""
    (session / _BEAT).write_text(str(number))


def pause_s(waited: float, share: float) -> float:
    """Return how long to wait before the next look: a share of the time that was waited, 5 ms to a second.

    So a trial that takes long is noticed late by as much only, and a shared disk is not asked all the time.

    Example:
        >>> pause_s(0, 0.02), pause_s(10, 0.02), pause_s(1000, 0.02)
        (0.005, 0.2, 1.0)
    """
    return min(1.0, max(0.005, share * waited))
