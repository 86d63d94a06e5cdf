"""Looks for the files of a set below the folder that the user named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

__all__ = ["first_with", "places"]


def first_with(folders: Iterable[Path], files: Sequence[str]) -> Path | None:
    """Return the first folder that has all of these files; None if none has."""
    return next((folder for folder in folders if all(os.path.isfile(folder / name) for name in files)), None)


def places(folders: Sequence[Path]) -> str:
    """Name the folders that were looked in, for the message that nothing was found.

    Example:
        >>> places([Path("sets/svhn"), Path("sets")]), places([])
        ('sets/svhn, sets', 'no folder, as [[root]] is missing')
    """
    return ", ".join(map(str, folders)) if folders else "no folder, as [[root]] is missing"
