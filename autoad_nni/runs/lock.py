"""Keeps a second process out of a folder."""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock, Timeout

from autoad_nni.errors import AutoADError

__all__ = ["lock_run", "take"]


def lock_run(run: Path, path: Path) -> FileLock:
    """Lock a run folder until ``release()``, or until this process ends, however it ends.

    Args:
        run: The run folder.
        path: The lock file; made when missing, and left behind, since removing it would let two searches in.

    Raises:
        AutoADError: If another search holds the lock.
    """
    lock = FileLock(path)
    take(
        lock,
        f"another search runs in {run}. Expected none: two would destroy each other's record. Wait for its end, or "
        "give another [[output]].",
    )
    return lock


def take(lock: FileLock, taken: str) -> None:
    """Take a lock without waiting; AutoADError with the message ``taken`` if another process holds it."""
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AutoADError(taken) from None
    except NotImplementedError:
        pass  # a file system without locks is no reason not to go on
