"""Faults at the storage operations of a process: it is killed, the disk is full, the folder vanishes."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from autoad_nni.searches import search

Fault = Literal["killed", "torn", "full", "read-only", "removed"]

_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR
# What a full disk refuses; it lets files be removed, cut and renamed.
_GROWING = {"open", "fsync", "os.mkdir"}


@dataclass(frozen=True)
class FaultAt:
    """What to call in a process so that a fault meets one of its operations on files below ``folder``.

    An operation is a rename, a removal, a folder made, a file opened for writing or cut, or an fsync. A fault comes
    before it. Before an fsync, all of a write is in the file.

    Args:
        folder: Operations elsewhere are left alone.
        operation: The number of the operation, from 0.
        fault: "killed"; "torn" (killed, and of a write before an fsync half is there); from then on, the disk is "full"
            or "read-only"; the folder is "removed".
        log: A line for each operation goes there.
    """

    folder: Path
    operation: int = sys.maxsize
    fault: Fault = "killed"
    log: Path | None = None

    def __call__(self) -> None:
        # A short search has all the operations of a long one.
        vars(search)["_TRIALS_PER_SNAPSHOT"] = 2
        _Operations(self).watch()


class _Operations:
    def __init__(self, fault: FaultAt) -> None:
        self.fault = fault
        self.prefix = os.path.abspath(fault.folder)
        self.n = 0
        self.sizes: dict[str, int] = {}
        self.fsync = os.fsync
        self.striking = False

    def watch(self) -> None:
        os.fsync = self.before_fsync
        sys.addaudithook(self.heard)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before it does what the event says; what this raises is what the operation raises."""
        if self.striking:
            return
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | Path) and flags & _WRITING and self.is_inside(path):
                self.sizes[_real(path)] = os.path.getsize(path) if os.path.exists(path) else 0
                self.operate(event, _real(path))
        elif event in _EVENTS and any(self.is_inside(path) for path in arguments[:2] if isinstance(path, str | Path)):
            self.operate(event, _real(arguments[0]))

    def before_fsync(self, descriptor: int) -> None:
        path = os.path.realpath(f"/proc/self/fd/{descriptor}")
        if self.is_inside(path):
            self.operate("fsync", path)
        self.fsync(descriptor)

    def operate(self, name: str, path: str) -> None:
        number, self.n = self.n, self.n + 1
        if self.fault.log is not None:
            with self.fault.log.open("a") as file:
                file.write(f"{name} {path}\n")
        if number == self.fault.operation:
            self.strike(name, path)
        if number >= self.fault.operation:
            if self.fault.fault == "full" and name in _GROWING:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            if self.fault.fault == "read-only":
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

    def strike(self, name: str, path: str) -> None:
        if self.fault.fault == "removed":
            self.striking = True
            shutil.rmtree(self.fault.folder, ignore_errors=True)
            self.striking = False
        if self.fault.fault == "torn" and name == "fsync" and os.path.isfile(path):
            before = self.sizes.get(path, 0)  # a folder that is written as a whole opens its files anew
            self.striking = True
            os.truncate(path, before + (os.path.getsize(path) - before) // 2)
        if self.fault.fault in ("killed", "torn"):
            os.kill(os.getpid(), signal.SIGKILL)

    def is_inside(self, path: Any) -> bool:
        return Path(_real(path)).is_relative_to(self.prefix)


def _real(path: Any) -> str:
    return os.path.abspath(os.fsdecode(path))
