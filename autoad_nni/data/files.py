"""Image files below a folder: which are read, and how they are found."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from PIL import features

from autoad_nni.errors import AutoADError

__all__ = [
    "EXTENSIONS",
    "NOT_READ",
    "files_in",
    "image_files",
    "is_folder",
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

    Links to folders are followed, also out of the folder, each folder once: one that leads round in a circle ends.

    Raises:
        AutoADError: A folder cannot be listed, or a link leads to one that ``folder`` is in: what is beside that
            would be taken for a part of it.
    """
    seen = set()
    for parent, folders, files in os.walk(folder, followlinks=True, onerror=_cannot_be_listed):
        place = os.path.realpath(parent)
        if place in seen:
            folders.clear()
            continue
        seen.add(place)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            _check_link(Path(parent, name), folder)
        yield Path(parent), [Path(parent, name) for name in sorted(files) if not name.startswith(".")]


def _cannot_be_listed(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError | NotADirectoryError):
        raise AutoADError(
            f"the folder {error.filename} cannot be listed: {error.strerror}. Expected to read what is in it. Give "
            "read access, or move it away."
        ) from None


def _check_link(link: Path, top: Path) -> None:
    """Raise if a folder below ``top`` is a link to one that ``top`` is in, also if ``top`` is a link itself."""
    if not os.path.islink(link):
        return
    target = os.path.realpath(link)
    above = (Path(os.path.realpath(top)).parent, *top.absolute().parents)
    if any(Path(os.path.realpath(place)).is_relative_to(target) for place in above):
        raise AutoADError(
            f"the link {link} leads to {target}, which {top} is in. Expected links to other folders: what is beside "
            f"{top} would count as in it. Remove the link."
        )


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
    """Return the folders in a folder, sorted, without hidden ones; none when there is no such folder.

    Raises:
        AutoADError: It cannot be listed.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except OSError as error:
        _cannot_be_listed(error)
        return []
    return [folder / name for name in sorted(names)]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether it is a folder, or a link to one; known without access to it, unless it is a link."""
    return os.path.isdir(entry) if entry.is_symlink() else entry.is_dir()


def is_folder(path: Path) -> bool:
    """Whether a path is a folder, or a link to one.

    Raises:
        AutoADError: That cannot be found out.
    """
    try:
        return stat.S_ISDIR(os.stat(path).st_mode)
    except OSError as error:
        _cannot_be_listed(error)
        return False
    except ValueError:  # a name with a null byte
        return False
