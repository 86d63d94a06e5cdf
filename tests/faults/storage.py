"""Kills a process at one of its storage operations, and counts them."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoad_nni.searches import search

_EVENTS = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate"}
_WRITING = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class KillAt:
    """What to call in a process so that it kills itself before its ``operation`` on files below ``folder``.

    An operation is a rename, a removal, a folder made, a file opened for writing, or an fsync. Before that, all of a
    write is in the file; a torn one is half there.

    Args:
        folder: Operations elsewhere are left alone.
        operation: The number of the operation, from 0.
        torn: Whether the write before an fsync is torn. Other operations are whole or not there.
        log: A line for each operation goes there.
    """

    folder: Path
    operation: int = sys.maxsize
    torn: bool = False
    log: Path | None = None

    def __call__(self) -> None:
        # A short search has all the operations of a long one.
        vars(search)["_TRIALS_PER_SNAPSHOT"] = 2
        _Operations(self).watch()


class _Operations:
    def __init__(self, kill: KillAt) -> None:
        self.kill = kill
        self.prefix = os.path.abspath(kill.folder)
        self.n = 0
        self.sizes: dict[str, int] = {}
        self.fsync = os.fsync

    def watch(self) -> None:
        os.fsync = self.before_fsync
        sys.addaudithook(self.heard)

    def heard(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Called by Python before it does what the event says."""
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, str | bytes | Path) and flags & _WRITING and self.is_inside(path):
                self.sizes[self.real(path)] = os.path.getsize(path) if os.path.exists(path) else 0
                self.operate(event, self.real(path))
        elif event in _EVENTS and any(self.is_inside(path) for path in arguments[:2] if isinstance(path, str | Path)):
            self.operate(event, self.real(arguments[0]))

    def before_fsync(self, descriptor: int) -> None:
        path = os.path.realpath(f"/proc/self/fd/{descriptor}")
        if self.is_inside(path):
            self.operate("fsync", path, descriptor)
        self.fsync(descriptor)

    def operate(self, name: str, path: str, descriptor: int | None = None) -> None:
        number, self.n = self.n, self.n + 1
        if self.kill.log is not None and not self.is_inside(self.kill.log):
            with self.kill.log.open("a") as file:
                file.write(f"{name} {path}\n")
        if number == self.kill.operation:
            if self.kill.torn and descriptor is not None and os.path.isfile(path):
                before = self.sizes[path]
                os.truncate(path, before + (os.path.getsize(path) - before) // 2)
            os.kill(os.getpid(), signal.SIGKILL)

    def is_inside(self, path: Any) -> bool:
        return self.real(path).startswith(self.prefix)

    @staticmethod
    def real(path: Any) -> str:
        return os.path.abspath(os.fsdecode(path))
