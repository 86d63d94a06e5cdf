"""Reads images and masks to the end, many at once, and keeps only what is needed to judge them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps

# One truth: what the folder data set can read is what is readable here.
from autoad_nni.data.decode import UNREADABLE, pixels_of, unreadable
from autoad_nni.data.masks import read_mask

__all__ = ["ImageFacts", "MaskFacts", "read_all", "read_image", "read_mask_facts"]


class ImageFacts(NamedTuple):
    """An image: its upright size, and a digest that images with the same pixels share; or what is wrong with it."""

    height: int = 0
    width: int = 0
    digest: bytes = b""
    fault: str = ""


class MaskFacts(NamedTuple):
    """A mask: its size and whether no pixel is marked; or what is wrong with it."""

    height: int = 0
    width: int = 0
    empty: bool = False
    fault: str = ""


_Facts = TypeVar("_Facts")


def read_all(read: Callable[[Path], _Facts], paths: Iterable[Path]) -> dict[Path, _Facts]:
    """Reads files, a few at a time in parallel: Pillow decodes without Python's lock."""
    paths = list(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(paths, pool.map(read, paths), strict=True))


def read_image(path: Path) -> ImageFacts:
    """Decodes an image completely, as the folder data set does."""
    try:
        with Image.open(path) as image:
            pixels = pixels_of(ImageOps.exif_transpose(image))[0]
    except UNREADABLE as error:
        return ImageFacts(fault=str(unreadable(path, error)))
    # The same grey picture, saved as grey and as RGB.
    if len(pixels) == 3 and np.array_equal(pixels[0], pixels[1]) and np.array_equal(pixels[0], pixels[2]):
        pixels = pixels[:1]
    found = hashlib.sha256(f"{pixels.dtype}{pixels.shape}".encode())
    found.update(np.ascontiguousarray(pixels).data)
    return ImageFacts(pixels.shape[1], pixels.shape[2], found.digest())


def read_mask_facts(path: Path) -> MaskFacts:
    """Decodes a mask completely."""
    try:
        mask = read_mask(path)
    except UNREADABLE as error:
        return MaskFacts(fault=str(unreadable(path, error, "mask")))
    return MaskFacts(mask.shape[0], mask.shape[1], not mask.any())
