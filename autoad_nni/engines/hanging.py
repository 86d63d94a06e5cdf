"""Ends the process when a trial hangs, since nothing in it could stop a plugin that loops in C."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import subprocess
import sys
from collections.abc import Iterator

__all__ = ["HangWatch", "hangs_after"]

# Between two checks of --max-seconds lies a batch, or a fit: long on a slow machine, but no hour.
_FACTOR, _GRACE_S = 2.0, 30.0
# Python's own watch, the only one that needs no lock of the interpreter, writes where each thread is, and exits with 1.
# This process, at the other end of the pipe, makes one line of it; without a word in the pipe it ends silently.
_TELL = """
import sys
trial, blocks = "", []
for line in sys.stdin:
    if line.startswith("trial "):
        trial, blocks = line.strip(), []
    elif line.lstrip().startswith("File "):
        blocks[-1:] = [blocks[-1] + [line.strip()]] if blocks else [[line.strip()]]
    else:
        blocks.append([])
blocks = [block for block in blocks if any(" in _evaluate" in line for line in block)]
if blocks:
    sys.stderr.write(
        f"autoad-nni: {trial}, and hangs, at {blocks[0][0]}. Expected it to end by itself. The same command with "
        "--resume goes on; should it hang again, it counts as crashed.\\n"
    )
"""


def hangs_after(max_seconds: float | None) -> float | None:
    """Return how long a trial takes that hangs; None for one without a limit.

    Example:
        >>> hangs_after(60.0)
        150.0
    """
    return None if max_seconds is None else _FACTOR * max_seconds + _GRACE_S


class HangWatch:
    """Ends this process, with exit code 1 and one line on stderr, if a trial takes far longer than it may.

    Twice ``max_seconds`` and half a minute more: a trial stops by itself at ``max_seconds``, unless it hangs. What has
    ended is on disk by then. Within a block.

    Args:
        max_seconds: What a trial may take; None to watch none.
    """

    def __init__(self, max_seconds: float | None) -> None:
        self._max_seconds = max_seconds
        self._teller: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> HangWatch:
        if self._max_seconds is not None:
            # A session of its own: Ctrl-C is not for it.
            command = [sys.executable, "-I", "-S", "-c", _TELL]
            self._teller = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(self, *error: object) -> None:
        if self._teller is not None and self._teller.stdin is not None:
            self._teller.stdin.close()
            self._teller.wait()

    @contextlib.contextmanager
    def trial(self, number: int) -> Iterator[None]:
        """Watch a trial within the block."""
        limit = hangs_after(self._max_seconds)
        if self._teller is None or self._teller.stdin is None or limit is None:
            yield
            return
        pipe = self._teller.stdin.fileno()
        text = f"trial {number} has taken {limit:g} s with --max-seconds {self._max_seconds:g}\n"
        with contextlib.suppress(OSError):  # somebody killed it
            os.write(pipe, text.encode(errors="backslashreplace"))
        faulthandler.dump_traceback_later(limit, exit=True, file=pipe)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
