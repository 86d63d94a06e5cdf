"""The program of a worker: ``python -m autoad_nni.engines.workers.worker FOLDER`` runs the trials it finds there."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import TypeVar

from autoad_nni.data import Task, load_task
from autoad_nni.engines.workers.messages import AtRung, Box, Order, Outcome, Session, pause_s
from autoad_nni.errors import AutoADError
from autoad_nni.runs.one_trial import crashed_by, run_in_folder
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.winner import save_weights
from autoad_nni.storing import StorageError
from autoad_nni.trial.plugins import check_plugins
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import Rungs

__all__ = ["main"]

_T = TypeVar("_T")
_LOOK_S = 1.0
_SHARE = 0.1
_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Run trials until the searching process has no more, or is gone."""
    box = Box(Path(arguments[0]))
    _write_to(box.log)
    began = time.monotonic()
    session = Session.read(box.session)
    threading.Thread(target=_watch, args=(box, session, os.getppid()), daemon=True).start()
    _end_with_parent()
    try:
        task, request = _load(Path(session.run))
    except AutoADError as error:
        box.say_unable(str(error))
        return
    box.say_ready()
    longest = 0.0
    for turn in count(1):
        order = _poll(partial(box.order, turn))
        started = time.monotonic()
        with _hanging(session.hangs_after):
            outcome = _run(order, session, task, request, box, turn)
        now = time.monotonic()
        longest = max(longest, now - started)
        # Not into a trial that the end of its job would cut off.
        leaves = session.leaves_after is not None and now - began + longest > session.leaves_after
        box.answer(turn, outcome._replace(leaves=leaves))
        if leaves:
            return


def _write_to(log: Path) -> None:
    """Let this process, and what it starts, write to a file."""
    with log.open("ab") as file:
        for descriptor in (1, 2):
            os.dup2(file.fileno(), descriptor)


def _load(run: Path) -> tuple[Task, TrialRequest]:
    start = RunStart.read(run)
    if start is None:
        raise AutoADError(f"{run} holds no search. Expected the run folder. Share it with all machines.")
    check_plugins(start.plugins)
    task = load_task(start.request.task)
    if task.digest() != start.images:
        raise AutoADError(
            f"the images on {os.uname().nodename} have the digest {task.digest()}. Expected {start.images}, as where "
            "the search was started. Give all machines the same."
        )
    return task, start.request


def _poll(look: Callable[[], _T | None]) -> _T:
    """Wait for what the searching process writes."""
    began = time.monotonic()
    while True:
        try:
            found = look()
        except OSError:  # the search has ended, and removed the folder
            os._exit(0)
        if found is not None:
            return found
        time.sleep(pause_s(time.monotonic() - began, _SHARE))


def _run(order: Order, session: Session, task: Task, request: TrialRequest, box: Box, turn: int) -> Outcome:
    def goes_on(rung: int, record: TrialRecord) -> bool:
        box.ask(turn, AtRung(rung, record.reward))
        return _poll(lambda: box.reply(turn, rung))

    limited = replace(request, settings=replace(request.settings, max_seconds=order.max_seconds))
    try:
        result = run_in_folder(
            Path(session.run),
            order.sample,
            task,
            limited,
            number=order.number,
            report=lambda figures: None,
            rungs=Rungs(order.rungs, goes_on) if order.rungs else None,
        )
        if result.detector is not None:
            save_weights(result.detector, box.weights(turn))
    except StorageError as error:
        return Outcome(None, str(error))
    except (Exception, SystemExit) as error:
        return Outcome(crashed_by(error, order.number, order.sample, request))
    return Outcome(result.record)


@contextlib.contextmanager
def _hanging(limit: float | None) -> Iterator[None]:
    """End this process, and write where it is, if the block takes longer; also while a plugin holds Python's lock."""
    if limit is not None:
        faulthandler.dump_traceback_later(limit, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


def _watch(box: Box, session: Session, parent: int) -> None:
    """End this process when nobody is left who would take a result."""
    last, changed = "", time.monotonic()
    while True:
        time.sleep(_LOOK_S)
        try:
            beat = box.beat()
        except OSError:
            beat = last
            if not box.folder.exists():
                os._exit(0)
        if beat != last:
            last, changed = beat, time.monotonic()
        if os.getppid() != parent or time.monotonic() - changed > session.orphan_after:
            os._exit(0)


def _end_with_parent() -> None:
    """Have Linux end this process with the one that started it, even while a plugin holds Python's lock."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
