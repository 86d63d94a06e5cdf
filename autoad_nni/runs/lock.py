"""Keeps a second search out of a run folder."""

from __future__ import annotations

import fcntl
import os
import weakref
from pathlib import Path

from autoad_nni.errors import AutoADError

__all__ = ["RunLock"]


class RunLock:
    """A lock on a run folder that is held until `release`, or the end of this process, however it ends.

    Args:
        run: The run folder.
        path: The lock file; made when missing, and left behind, since removing it would let two searches in.

    Raises:
        AutoADError: If another search holds the lock.
    """

    def __init__(self, run: Path, path: Path) -> None:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        self._close = weakref.finalize(self, os.close, descriptor)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise AutoADError(
                f"another search runs in {run}. Expected none: two would destroy each other's record. "
                "Wait for its end, or give another --output."
            ) from None
        except OSError:
            pass  # a file system without locks is no reason not to search

    def release(self) -> None:
        """Lets the next search in."""
        self._close()
