"""Reads images and masks completely, many at once, and keeps only the facts that a check needs."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

# What the data set folder can read is what is readable here.
from autoad_nni.data.decode import UNREADABLE, is_16_bit, is_grey, pixels_of, resized, unreadable
from autoad_nni.data.image_file import bands, decoding, open_image
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.masks import marked, n_values, pixels_of_mask

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
        with open_image(path) as image, decoding(image):
            ImageOps.exif_transpose(image, in_place=True)
            return _facts(image)
    except UNREADABLE as error:
        return ImageFacts(fault=str(unreadable(path, error)))


def _facts(image: Image.Image) -> ImageFacts:
    # The same grey picture, saved as grey and as RGB, has one digest.
    colour, grey = hashlib.sha256(), hashlib.sha256()
    without_colour, peak = True, 0.0
    for band in bands(image):
        pixels = pixels_of(band)[0]
        head = f"{pixels.dtype}{pixels.shape[1:]}".encode()
        grey.update(head + np.ascontiguousarray(pixels[0]).tobytes())
        colour.update(head + np.ascontiguousarray(pixels).tobytes())
        without_colour = without_colour and all(np.array_equal(pixels[0], other) for other in pixels[1:])
        peak = max(peak, float(pixels.max()))
    return ImageFacts(
        height=image.height,
        width=image.width,
        digest=(grey if without_colour else colour).digest(),
        grey=is_grey(image),
        peak=round(peak * 65535) if is_16_bit(image) else None,
    )


def read_thumbnail(path: Path) -> Tensor:
    """Decode an image that can be read to ``(1, 1, 8, 8)``, grey in [0, 1]."""
    with open_image(path) as image, decoding(image):
        ImageOps.exif_transpose(image, in_place=True)
        return resized(image, ImageShape(1, 8, 8))[None]


def read_mask_facts(path: Path) -> MaskFacts:
    """Decode a mask completely."""
    try:
        with open_image(path) as image, decoding(image):
            return _mask_facts(image)
    except UNREADABLE as error:
        return MaskFacts(fault=str(unreadable(path, error, "mask")))


def _mask_facts(image: Image.Image) -> MaskFacts:
    defect = np.concatenate([marked(pixels_of_mask(band)) for band in bands(image)])
    return MaskFacts(
        height=defect.shape[0],
        width=defect.shape[1],
        marked=float(defect.mean()),
        corners=bool(defect[[0, 0, -1, -1], [0, -1, 0, -1]].all()),
        n_values=n_values(pixels_of_mask(band) for band in bands(image)),
    )
