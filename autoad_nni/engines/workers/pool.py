"""The workers of a search, seen from the searching process: who is free, who has ended, who is started again."""

from __future__ import annotations

import contextlib
import re
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from autoad_nni.engines.workers.messages import AtRung, Box, Order, Outcome, Session, write_beat
from autoad_nni.engines.workers.starting import Started, Starter
from autoad_nni.errors import AutoADError
from autoad_nni.storing import reason_of, storing

__all__ = ["Lost", "Worker", "beating", "begin_session"]

_BEAT_S = 5.0
_ORPHAN_S = 60.0
_JOB_MARGIN_S = 60.0
_MOST_STARTS = 3


class Lost:
    """A worker process has ended without a word.

    Args:
        how: It ended.
        where: It hung; empty if it did not.
    """

    def __init__(self, how: str, where: str) -> None:
        self.how = how
        self.where = where


class Worker:
    """One worker: a process that runs trials, and another one when that has ended.

    Args:
        name: Of the worker, for messages and its folders.
        starter: Starts its processes.
        session: Folder of the session.
    """

    def __init__(self, name: str, starter: Starter, session: Path) -> None:
        self.name = name
        self._starter = starter
        self._session = session
        self._n_starts = 0
        self._n_failed = 0
        self.order: Order | None = None
        """The trial that it runs, if any."""
        self._start()

    def _start(self) -> None:
        self._n_starts += 1
        self._box = Box(self._session / f"{self.name}-{self._n_starts}")
        with storing(self._box.folder):
            self._box.folder.mkdir()
        self._turn = 0
        self._is_ready = False
        self._process: Started = self._starter.start(self._box.folder)

    @property
    def is_free(self) -> bool:
        """Whether it waits for a trial."""
        return self._is_ready and self.order is None

    @property
    def weights(self) -> Path:
        """Where the weights of the model of its last trial are."""
        return self._box.weights(self._turn)

    def give(self, order: Order) -> None:
        """Give it a trial; it must be free."""
        self._box.forget(self._turn)
        self._turn += 1
        self._box.give(self._turn, order)
        self.order = order
        self._next_rung = 0

    def reply(self, rung: int, *, goes_on: bool) -> None:
        """Say whether its trial, which waits at a rung, goes on."""
        self._box.answer_rung(self._turn, rung, goes_on=goes_on)
        self._next_rung = rung + 1

    def look(self) -> Outcome | AtRung | Lost | None:
        """Look what it has done; a process that has ended is replaced.

        Returns:
            How its trial ended; that it waits at a rung; that its process ended in the middle of it; or None for
            nothing new.

        Raises:
            AutoADError: If it cannot run the trials of this search, or ended several times before it could.
        """
        how = self._process.how_it_ended()  # before the files: what it wrote last is seen then
        try:
            return self._news(how)
        except OSError as error:
            raise AutoADError(
                f"{self._box.folder} cannot be read: {reason_of(error)}. Expected the folder of a worker. Leave state/ "
                "alone, and add [[resume=True]]."
            ) from None

    def _news(self, how: str) -> Outcome | AtRung | Lost | None:
        if self.order is not None:
            outcome = self._box.outcome(self._turn)
            if outcome is not None:
                self.order = None
                self._is_ready = not outcome.leaves
                return outcome
            ahead = range(self._next_rung, len(self.order.rungs))
            if ahead and not how and (at_rung := self._box.asked(self._turn, ahead)) is not None:
                return at_rung
        elif not self._is_ready and self._turn == 0 and self._box.is_ready():
            self._is_ready, self._n_failed = True, 0
        if not how:
            return None
        return self._replace(how)

    def _replace(self, how: str) -> Lost | None:
        log = _read_log(self._box.log)
        lost = None if self.order is None else Lost(how, _where_it_hangs(log))
        if self._turn == 0 and not self._is_ready:
            self._n_failed += 1
            if self._n_failed == _MOST_STARTS:
                last = (log.strip().splitlines() or ["it wrote nothing"])[-1]
                raise AutoADError(
                    f"a worker ended {_MOST_STARTS} times before it could run a trial ({how}): {last} Expected it to "
                    "wait for trials. Correct the cause, and add [[resume=True]]."
                )
        self.order = None
        self._start()
        return lost

    def dismiss(self) -> None:
        """Have its process end by itself."""
        self._box.dismiss()

    def kill(self) -> None:
        """End its process at once."""
        self._process.kill()


def begin_session(run: Path, make: Callable[[Path], Starter], hangs_after: float | None) -> tuple[Path, Starter]:
    """Make the folder of a session, and remove those of killed ones, whose workers end at that.

    Args:
        run: The run folder.
        make: Makes what starts workers, given a folder for its own files.
        hangs_after: Seconds after which a trial hangs.

    Returns:
        The folder, and what starts workers.
    """
    workers = run.absolute() / "state" / "workers"
    shutil.rmtree(workers, ignore_errors=True)
    session = workers / secrets.token_hex(4)
    with storing(session):
        session.mkdir(parents=True)
        write_beat(session, 0)
    starter = make(session / "jobs")
    seconds = starter.job_seconds
    Session(
        run=str(run.absolute()),
        hangs_after=hangs_after,
        leaves_after=None if seconds is None else max(seconds / 2, seconds - _JOB_MARGIN_S),
        orphan_after=_ORPHAN_S,
    ).write(session)
    return session, starter


@contextlib.contextmanager
def beating(session: Path) -> Iterator[None]:
    """Show the workers of a session that this process lives, within the block; remove the session's folder after it."""
    ended = threading.Event()

    def beat() -> None:
        number = 0
        while not ended.wait(_BEAT_S):
            number += 1
            with contextlib.suppress(OSError):  # a disk that is full now may have room for the next
                write_beat(session, number)

    thread = threading.Thread(target=beat, name="beat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        shutil.rmtree(session.parent, ignore_errors=True)


def _read_log(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _where_it_hangs(log: str) -> str:
    """Return the innermost line of the thread that ran the trial, from what `faulthandler` wrote."""
    _, found, stacks = log.rpartition("Timeout (")
    blocks = re.split(r"\n(?=(?:Current thread|Thread) )", stacks) if found else []
    for block in blocks:
        lines = [line.strip() for line in block.splitlines() if line.startswith("  File ")]
        if lines and any(line.endswith(" in _run") for line in lines):
            return lines[0]
    return ""
