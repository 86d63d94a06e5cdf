"""Image files: their image shape, and their pixels in a given one."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from autoad_nni.data.cache import ImageCache
from autoad_nni.data.image_file import (
    MAX_FILE_BYTES,
    MAX_IMAGE_SIDE,
    ImageTooLong,
    bands,
    decoding,
    is_large,
    open_image,
)
from autoad_nni.data.image_shape import MAX_SIDE, MIN_SIDE, ImageShape, to_image_shape
from autoad_nni.data.masks import read_mask, resize_mask
from autoad_nni.errors import AutoADError
from autoad_nni.opening import read_bytes

__all__ = [
    "UNREADABLE",
    "full_image_shape",
    "image_shape_of",
    "image_shape_of_set",
    "is_16_bit",
    "is_grey",
    "pixels_of",
    "read_image",
    "read_images",
    "read_masks",
    "resized",
    "unreadable",
]

UNREADABLE: Final = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
"""What Pillow raises for files that are cut off, corrupt, or no image at all."""

_GREY_MODES = ("1", "L", "LA", "La", "F")


def image_shape_of(path: Path) -> ImageShape:
    """Return the image shape of a file: its channels, and its size, shrunk to fit into 224 x 224 in proportion.

    Raises:
        AutoADError: The file is not an image.
    """
    channels, height, width = full_image_shape(path)
    scale = min(1.0, MAX_SIDE / max(width, height))
    return ImageShape(channels, *(max(MIN_SIDE, round(side * scale)) for side in (height, width)))


def image_shape_of_set(paths: Sequence[Path]) -> ImageShape:
    """Return the image shape of a set: RGB if any image is, else grey; the size of the first.

    Judged by the first image alone, one grey file would turn a set in colour grey. Only headers are read, up to the
    first image in RGB; an image stored as RGB counts as RGB even if its channels are equal.

    Raises:
        AutoADError: A file is not an image; it is named.
    """
    shape = image_shape_of(paths[0])
    all_grey = shape.channels == 1 and all(_is_grey_file(path) for path in paths[1:])
    return shape._replace(channels=1 if all_grey else 3)


def _is_grey_file(path: Path) -> bool:
    try:
        with open_image(path) as image:
            return is_grey(image)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def read_images(paths: Sequence[Path], shape: ImageShape) -> Tensor:
    """Decode files, a few at a time in parallel, and convert each; or take them from the cache.

    Shape:
        ``(len(paths), *shape)``, float32 in [0, 1].

    Raises:
        AutoADError: A file is not an image; it is named.
    """
    cache = ImageCache()
    out = torch.empty(len(paths), *shape)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        decoded = pool.map(lambda row, path: _read_into(row, path, shape, cache), out, paths)
        n_decoded = sum(decoded)
    if n_decoded:
        cache.trim()
    return out


def read_image(path: Path, shape: ImageShape) -> Tensor:
    """Decode and convert a file as `read_images` does, without the cache: for images that are read once.

    Shape:
        ``shape``, float32 in [0, 1].

    Raises:
        AutoADError: It is not an image.
    """
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    return _decode(content, path, shape)


def read_masks(images: Sequence[Path], masks: Sequence[Path | None], shape: ImageShape) -> Tensor:
    """Read the masks of images; None stands for an image without a defect.

    Shape:
        ``(len(images), height, width)``, bool.

    Raises:
        AutoADError: A file is missing, no image, of another size than its image, or shows no defect; names it.
    """
    out = torch.zeros(len(images), shape.height, shape.width, dtype=torch.bool)
    for row, image, path in zip(out, images, masks, strict=True):
        if path is not None:
            row.copy_(resize_mask(_mask(path, image), shape.height, shape.width))
    return out


def _mask(path: Path, image: Path) -> npt.NDArray[np.bool_]:
    try:
        mask = read_mask(path)
    except FileNotFoundError:
        raise AutoADError(
            f"There is no mask {path}. Expected one for every image with a defect, or no ground_truth folder. "
            "'autoad-nni data check' lists what is missing."
        ) from None
    except UNREADABLE as error:
        raise unreadable(path, error, "mask") from error
    size = full_image_shape(image)[1:]
    if mask.shape != size:
        raise AutoADError(
            f"the mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {size[1]} x {size[0]}. "
            "Expected the same size. Correct the mask."
        )
    if not mask.any():
        raise AutoADError(f"the mask {path} is empty. Expected pixels other than 0 where the defect is. Correct it.")
    return mask


def full_image_shape(path: Path) -> ImageShape:
    """Return channels and size as a viewer shows the image."""
    try:
        with open_image(path) as image:
            width, height = image.size
            if image.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8):
                if image.format == "TIFF":  # turned by Pillow itself, the size at once or when it is read
                    with decoding(image):
                        image.load()
                    width, height = image.size
                else:
                    width, height = height, width
            return ImageShape(1 if is_grey(image) else 3, height, width)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def _read_into(out: Tensor, path: Path, shape: ImageShape, cache: ImageCache) -> bool:
    """Write an image to ``out``; return whether it was decoded."""
    try:
        content = read_bytes(path, MAX_FILE_BYTES)
    except OSError as error:
        raise unreadable(path, error) from error
    kept = cache.get(content, shape)
    if kept is not None:
        out.copy_(kept)
        return False
    out.copy_(_decode(content, path, shape))
    cache.put(content, shape, out)
    return True


def _decode(content: bytes, path: Path, shape: ImageShape) -> Tensor:
    try:
        with open_image(content) as image:
            # JPEG only: decodes at a half, a quarter or an eighth, but never below the wanted size.
            image.draft(None, (max(shape[1:]), max(shape[1:])))
            with decoding(image):
                ImageOps.exif_transpose(image, in_place=True)
                return resized(image, shape)
    except UNREADABLE as error:
        raise unreadable(path, error) from error


def resized(image: Image.Image, shape: ImageShape) -> Tensor:
    """Convert an upright image that was opened, ``shape``; raises as `pixels_of`."""
    if not is_large(image):
        return to_image_shape(torch.from_numpy(pixels_of(image)), shape)[0]
    # Across first, as torch does: in floating point, only a band of a large image is there in full width.
    narrow = [
        to_image_shape(torch.from_numpy(pixels_of(band)), ImageShape(shape.channels, band.height, shape.width))
        for band in bands(image)
    ]
    return to_image_shape(torch.cat(narrow, 2), shape)[0]


def unreadable(path: Path, error: Exception, what: str = "image") -> AutoADError:
    """Return the error that names a file, ``what`` it should be, why it cannot be read, and what to do."""
    if isinstance(error, _OutOfRange):
        return AutoADError(
            f"the {what} {path} has {error}. Expected 0 to 65535 in grey of 16 bits, 0 to 1 in float images. Scale the "
            "values, or save it with 8 bits."
        )
    if isinstance(error, ImageTooLong):
        return AutoADError(
            f"the {what} {path} has {error}. Expected at most {MAX_IMAGE_SIDE:,} a side. Cut it into parts."
        )
    if isinstance(error, Image.DecompressionBombError):
        return AutoADError(
            f"the {what} {path} is too large to decode. Expected at most {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels. "
            "Shrink it, or cut it into parts."
        )
    if isinstance(error, UnidentifiedImageError):
        reason = "cannot identify image file"  # Pillow's own words go on with the name of an object in memory
    elif isinstance(error, OSError) and error.strerror:
        reason = error.strerror  # without the path, which is in the message already
    else:
        reason = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    return AutoADError(f"cannot read the {what} {path}: {reason}. Expected an image file. Replace or remove it.")


class _OutOfRange(ValueError):
    def __init__(self, values: npt.NDArray[np.float32], limit: int) -> None:
        super().__init__(f"values from {values.min():g} to {values.max():g}, not from 0 to {limit}")


def is_grey(image: Image.Image) -> bool:
    """Whether an image is stored in grey, of any depth."""
    return image.mode in _GREY_MODES or is_16_bit(image)


def is_16_bit(image: Image.Image) -> bool:
    """Whether an image is stored in grey of 16 bits, which Pillow opens as "I" or "I;16", whatever the file type."""
    return image.mode.startswith("I")


def pixels_of(image: Image.Image) -> npt.NDArray[np.generic]:
    """Return the pixels of an upright image, ``(1, 1 or 3, height, width)``; ValueError for values out of range."""
    if image.mode == "F" or is_16_bit(image):
        values = np.asarray(image).astype(np.float32)
        scaled = values if image.mode == "F" else values / 65535
        if not (scaled.min() >= 0 and scaled.max() <= 1):
            raise _OutOfRange(values, 1 if image.mode == "F" else 65535)
        return scaled[None, None]
    if is_grey(image):
        return np.array(image.convert("L"))[None, None]
    # By way of RGBA: palettes with transparency warn otherwise.
    rgb = (image.convert("RGBA") if image.mode == "P" else image).convert("RGB")
    # A copy always: of one pixel the transposed view is contiguous too, and torch warns of an array it cannot write to.
    return np.array(np.asarray(rgb).transpose(2, 0, 1), order="C")[None]
