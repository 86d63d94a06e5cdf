"""One's own images, in a folder."""

from __future__ import annotations

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageOps
from torch import Tensor

from autoad_nni.data.form import MAX_SIDE, MIN_SIDE, Form, to_form
from autoad_nni.data.source import Catalogue, ImageSource, IntArray, SourceOptions
from autoad_nni.errors import AutoADError

__all__ = ["EXTENSIONS", "Folder"]

EXTENSIONS = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_GREY_MODES = ("1", "L", "LA", "La", "I", "F")
# What Pillow raises for files that are cut off, garbled, or no image at all.
_UNREADABLE = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class _Item(NamedTuple):
    path: Path
    defect: str
    held_out: bool


class Folder(ImageSource):
    """A folder of images in one of two layouts; ``--category NAME`` takes the sub-folder NAME of ``--root``.

    MVTec-AD: ``train/good``, ``test/good``, ``test/DEFECT...``. Train is ``train/good``; the images below ``test`` are
    halved into validation and test, each type of defect as evenly as it goes. Without ``test/good``, ``train/good``
    is split 6:2:2 instead.

    Plain: ``good``, and optional sub-folders of any other name (``defect``, say) with defects. ``good`` is split
    6:2:2, the defects are halved.

    The defects are all used, whatever the contamination: they are few. Without any, ``--abnormal`` must name a set;
    with some, it must not, as the many strangers would drown the few defects.

    Images are png, jpg, bmp or tif, of any size and mode, also in sub-folders; hidden files and ``ground_truth`` are
    left out. Grey images of 16 bits are divided by 65535, float images must lie in [0, 1]; alpha is dropped; an EXIF
    orientation is applied. Without ``--image-size`` the first normal image by name decides the form: its channels, and
    its size, shrunk to fit into 224 x 224 in proportion.
    """

    can_be_abnormal: ClassVar[bool] = False

    def __init__(self, options: SourceOptions) -> None:
        if options.root is None:
            raise AutoADError("--data folder without --root. Expected the folder of your images. Give --root DIR.")
        self.where = options.root if options.category is None else options.root / options.category
        self._items = _list(self.where)
        self.form = _form_of(self._items[0].path)

    def catalogue(self, form: Form) -> Catalogue:
        """All images; those below ``test`` are held out when there is a ``test/good``."""
        held_out = np.array([item.held_out for item in self._items])
        normal = np.array([not item.defect for item in self._items])
        return Catalogue(
            n_images=len(self._items),
            held_out=held_out if (held_out & normal).any() else None,
            defects=tuple(item.defect for item in self._items),
        )

    def paths(self, indices: IntArray) -> list[Path]:
        """The files of the images."""
        return [self._items[index].path for index in indices]

    def read(self, indices: IntArray, form: Form) -> Tensor:
        """Decodes the files, a few at a time in parallel, and converts each."""
        out = torch.empty(len(indices), *form)
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for row, image in zip(out, pool.map(lambda path: _read(path, form), self.paths(indices)), strict=True):
                row.copy_(image[0])
        return out


def _list(root: Path) -> list[_Item]:
    if not root.is_dir():
        names = ", ".join(folder.name for folder in _sub_folders(root.parent)[:8]) or "none"
        raise AutoADError(
            f"{root} is no folder. Expected a folder of images; those beside it: {names}. Correct --root or --category."
        )
    if (root / "train" / "good").is_dir():
        good, tested = root / "train" / "good", root / "test"
        items = [_Item(path, "", False) for path in _images(good)]
        if (tested / "good").is_dir():
            held_out = _images(tested / "good")
            if len(held_out) < 2:
                raise AutoADError(
                    f"{tested / 'good'} has 1 image. Expected 2 or more: one for validation, one for test. Add images, "
                    "or remove the folder to have train/good split 6:2:2."
                )
            items += [_Item(path, "", True) for path in held_out]
        return items + _defects(tested)
    if (root / "good").is_dir():
        return [_Item(path, "", False) for path in _images(root / "good")] + _defects(root)
    raise _no_layout(root)


def _defects(root: Path) -> list[_Item]:
    folders = [folder for folder in _sub_folders(root) if folder.name not in ("good", "ground_truth")]
    return [
        _Item(path, path.parent.relative_to(root).as_posix(), True) for folder in folders for path in _images(folder)
    ]


def _sub_folders(root: Path) -> list[Path]:
    if not root.is_dir():
        return []
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _images(folder: Path) -> list[Path]:
    found = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(parent, name) for name in files if not name.startswith(".") and name.lower().endswith(EXTENSIONS)
        ]
    if not found:
        raise AutoADError(
            f"{folder} has no images. Expected files that end in {', '.join(EXTENSIONS)}. Add some or remove "
            "the folder."
        )
    return sorted(found)


def _no_layout(root: Path) -> AutoADError:
    folders = _sub_folders(root)
    names = ", ".join(folder.name for folder in folders[:8]) or "none"
    categories = [folder.name for folder in folders if any((folder / d).is_dir() for d in ("good", "train/good"))]
    advice = f"Give --category {categories[0]}." if categories else "Put the normal images into a sub-folder good."
    return AutoADError(
        f"{root} has neither good nor train/good; its sub-folders: {names}. Expected good/ and optional folders of "
        f"defects, or the MVTec layout. {advice}"
    )


def _unreadable(path: Path, error: Exception) -> AutoADError:
    reason = " ".join(str(error).split())
    return AutoADError(f"cannot read the image {path}: {reason}. Expected an image file. Replace or remove it.")


def _is_grey(image: Image.Image) -> bool:
    return image.mode in _GREY_MODES or image.mode.startswith("I;16")


def _form_of(path: Path) -> Form:
    try:
        with Image.open(path) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation, 1) >= 5:
                width, height = height, width
            channels = 1 if _is_grey(image) else 3
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    scale = min(1.0, MAX_SIDE / max(width, height))
    return Form(channels, *(max(MIN_SIDE, round(side * scale)) for side in (height, width)))


def _read(path: Path, form: Form) -> Tensor:
    try:
        with Image.open(path) as image:
            # JPEG only: decodes at a half, a quarter or an eighth, but never below the wanted size.
            image.draft(None, (max(form[1:]), max(form[1:])))
            pixels = _pixels(ImageOps.exif_transpose(image))
    except _UNREADABLE as error:
        raise _unreadable(path, error) from error
    return to_form(torch.from_numpy(pixels), form)


def _pixels(image: Image.Image) -> npt.NDArray[np.generic]:
    """``(1, 1 or 3, height, width)``."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float32)
        # Pillow opens 16-bit grey as "I" in old versions, as "I;16" in new ones.
        scaled = values if image.mode == "F" else values / 65535
        if not (scaled.min() >= 0 and scaled.max() <= 1):
            limit = 1 if image.mode == "F" else 65535
            raise ValueError(f"values from {values.min():g} to {values.max():g}, not from 0 to {limit}")
        return scaled[None, None]
    if _is_grey(image):
        return np.array(image.convert("L"))[None, None]
    # By way of RGBA: palettes with transparency warn otherwise.
    rgb = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    return np.ascontiguousarray(np.asarray(rgb).transpose(2, 0, 1))[None]
