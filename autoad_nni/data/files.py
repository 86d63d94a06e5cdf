"""Image files below a folder: which are read, and how they are found."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import features

__all__ = [
    "EXTENSIONS",
    "NOT_READ",
    "files_in",
    "image_files",
    "is_read",
    "is_refused",
    "refused_files",
    "sub_folders",
    "walk",
]

EXTENSIONS: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", *((".webp",) if features.check("webp") else ()))
NOT_READ: Final = (
    ".apng", ".arw", ".avif", ".cr2", ".cr3", ".dib", ".dng", ".exr", ".fits", ".gif", ".heic", ".heif", ".ico", ".j2k",
    ".jfif", ".jp2", ".jpe", ".jpeg2000", ".jpf", ".jpx", ".jxl", ".nef", ".nrw", ".orf", ".pbm", ".pcx", ".pef",
    ".pfm", ".pgm", ".pnm", ".ppm", ".psd", ".qoi", ".raf", ".rw2", ".srw", ".svg", ".tga", ".webp",
)  # fmt: skip
"""Endings of images that are not read: skipped silently, nobody would notice that they are missing.

Not ``.raw`` and ``.hdr``, which also stand for other things than images.
"""


def walk(folder: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Give a folder and all below it, each with the files in it, without hidden ones, in the order of their names.

    Links to folders are followed, each folder once: a link that leads back up ends there.
    """
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield Path(parent), [Path(parent, name) for name in sorted(files) if not name.startswith(".")]


def files_in(folder: Path) -> list[Path]:
    """Return the files in a folder itself, sorted, without hidden ones; none when there is no such folder."""
    return next((files for _, files in walk(folder)), [])


def is_read(file: Path) -> bool:
    """Whether a file is an image that is read, by its ending."""
    return file.name.lower().endswith(EXTENSIONS)


def is_refused(file: Path) -> bool:
    """Whether a file is an image of a kind that is not read, by its ending."""
    return file.name.lower().endswith(NOT_READ) and not is_read(file)


def image_files(folder: Path) -> list[Path]:
    """Return the images in a folder and below, sorted; none when there is no such folder."""
    return sorted(file for _, files in walk(folder) for file in files if is_read(file))


def refused_files(folder: Path) -> list[Path]:
    """Return the images in a folder and below that are of a kind that is not read, sorted."""
    return sorted(file for _, files in walk(folder) for file in files if is_refused(file))


def sub_folders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, without hidden ones; none when there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
