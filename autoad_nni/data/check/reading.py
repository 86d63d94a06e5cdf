"""Reads images and masks completely, many at once, and keeps only the facts that a check needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

# What the data set folder can read is what is readable here.
from autoad_nni.data.decode import UNREADABLE, is_16_bit, is_grey, pixels_of, unreadable
from autoad_nni.data.image_shape import ImageShape, to_image_shape
from autoad_nni.data.masks import marked, mask_pixels, n_values

__all__ = ["ImageFacts", "MaskFacts", "read_all", "read_image", "read_mask_facts", "read_thumbnail"]


class ImageFacts(NamedTuple):
    """An image, or what is wrong with it.

    Args:
        height: Of the image as a viewer shows it.
        width: As ``height``.
        digest: Images with the same pixels share it.
        grey: Whether it is stored in grey.
        peak: The highest value, 0 to 65535, when it is stored in 16 bits; else None.
        fault: The line that says what is wrong.
    """

    height: int = 0
    width: int = 0
    digest: bytes = b""
    grey: bool = False
    peak: int | None = None
    fault: str = ""


class MaskFacts(NamedTuple):
    """A mask, or what is wrong with it.

    Args:
        height: Rows.
        width: Columns.
        marked: Share of the pixels that belong to the defect.
        corners: Whether all four corners do.
        n_values: Number of different greys or colours.
        fault: The line that says what is wrong.
    """

    height: int = 0
    width: int = 0
    marked: float = 0.0
    corners: bool = False
    n_values: int = 0
    fault: str = ""


_Facts = TypeVar("_Facts")


def read_all(read: Callable[[Path], _Facts], paths: Iterable[Path]) -> dict[Path, _Facts]:
    """Read files, a few at a time in parallel: Pillow releases the GIL while it decodes."""
    paths = list(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(paths, pool.map(read, paths), strict=True))


def read_image(path: Path) -> ImageFacts:
    """Decode an image completely, as the data set folder does."""
    try:
        with Image.open(path) as image:
            grey, deep = is_grey(image), is_16_bit(image)
            pixels = pixels_of(ImageOps.exif_transpose(image))[0]
    except UNREADABLE as error:
        return ImageFacts(fault=str(unreadable(path, error)))
    peak = round(float(pixels.max()) * 65535) if deep else None
    # The same grey picture, saved as grey and as RGB.
    if len(pixels) == 3 and np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]):
        pixels = pixels[:1]
    found = hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode())
    found.update(np.ascontiguousarray(pixels).data)
    return ImageFacts(pixels.shape[1], pixels.shape[2], found.digest(), grey, peak)


def read_thumbnail(path: Path) -> Tensor:
    """Decode an image that can be read to ``(1, 1, 8, 8)``, grey in [0, 1]."""
    with Image.open(path) as image:
        pixels = pixels_of(ImageOps.exif_transpose(image))
    return to_image_shape(torch.from_numpy(pixels), ImageShape(1, 8, 8))


def read_mask_facts(path: Path) -> MaskFacts:
    """Decode a mask completely."""
    try:
        pixels = mask_pixels(path)
    except UNREADABLE as error:
        return MaskFacts(fault=str(unreadable(path, error, "mask")))
    defect = marked(pixels)
    return MaskFacts(
        height=defect.shape[0],
        width=defect.shape[1],
        marked=float(defect.mean()),
        corners=bool(defect[[0, 0, -1, -1], [0, -1, 0, -1]].all()),
        n_values=n_values(pixels),
    )
