"""Images that a user gives by hand: files, folders and patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from autoad_nni.data.files import EXTENSIONS, is_read, is_refused, walk
from autoad_nni.errors import AutoADError

__all__ = ["find_images"]


def find_images(given: Iterable[Path | str]) -> list[Path]:
    """Return the image files that are meant, each once, in the order in which they are given.

    A file is taken whatever its ending. Of a folder and all below it, those are taken that end as images do, also
    as images that no data set reads (gif, heic): skipped silently, nobody would notice. A pattern stands for what the
    shell would make of it; ``**`` for any folders.

    Args:
        given: Files, folders, and patterns such as ``"new/*.png"``.

    Raises:
        AutoADError: One of them stands for no image.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "a.jpg", "notes.txt"):
        ...         Path(folder, name).touch()
        ...     [file.name for file in find_images([f"{folder}/b.png", folder, f"{folder}/*.png"])]
        ['b.png', 'a.jpg']
    """
    found: dict[str, Path] = {}
    for each in given:
        for file in _meant_by(os.fspath(each)):
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _meant_by(given: str) -> Iterator[Path]:
    for name in (given, os.path.expanduser(given)):
        if os.path.lexists(name):
            yield from _at(name)
            return
    matches = sorted(glob.glob(os.path.expanduser(given), recursive=True))
    if not matches:
        raise AutoADError(
            f"there is no image {given!r}. Expected image files, folders, or patterns such as 'new/*.png'. Check the "
            "path."
        )
    for name in matches:
        yield from _at(name)


def _at(name: str) -> Iterator[Path]:
    if not os.path.isdir(name):
        yield Path(name)
        return
    files = sorted(file for _, files in walk(Path(name)) for file in files if is_read(file) or is_refused(file))
    if not files:
        raise AutoADError(
            f"the folder {name} has no images. Expected files that end in {', '.join(EXTENSIONS)}. Give another folder."
        )
    yield from files
