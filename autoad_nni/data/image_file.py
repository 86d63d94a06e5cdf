"""Opens image files: regular files of bounded size, and no more pixels at once than memory bears."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from PIL import Image

from autoad_nni.opening import open_regular

__all__ = ["MAX_FILE_BYTES", "MAX_IMAGE_SIDE", "ImageTooLong", "bands", "decoding", "is_large", "open_image"]

MAX_IMAGE_SIDE: Final = 65_535
"""As JPEG has it. Resizing goes by way of an image of its height and of the wanted width."""

MAX_FILE_BYTES: Final = 600_000_000
"""RGB without compression, of as many pixels as Pillow decodes."""

_BAND_PIXELS: Final = 2**22
# A decoded image takes 4 bytes a pixel, one that is turned 8.
_PIXELS_AT_ONCE: Final = 2**26


class ImageTooLong(ValueError):
    """An image with more rows or columns than are read."""


@contextmanager
def open_image(source: Path | bytes) -> Iterator[Image.Image]:
    """Open an image and read its header only.

    Args:
        source: The file, or its content.

    Raises:
        OSError: There is no such file, it is a folder, a pipe, a socket or a device, or no image.
        ImageTooLong: It has more than `MAX_IMAGE_SIDE` rows or columns.
        PIL.Image.DecompressionBombError: It has more pixels than Pillow decodes.
    """
    with io.BytesIO(source) if isinstance(source, bytes) else open_regular(source) as file, Image.open(file) as image:
        if max(image.size) > MAX_IMAGE_SIDE:
            raise ImageTooLong(f"{image.width} x {image.height} pixels")
        yield image


def is_large(image: Image.Image) -> bool:
    """Whether an image is read in `bands`."""
    return image.width * image.height > _BAND_PIXELS


def bands(image: Image.Image) -> Iterator[Image.Image]:
    """Cut an image into bands of rows, from the top; images of one size into the same bands."""
    rows = max(1, _BAND_PIXELS // image.width)
    for top in range(0, image.height, rows):
        yield image.crop((0, top, image.width, min(top + rows, image.height)))


class _Pixels:
    """So many pixels that threads share; one image alone may have more."""

    def __init__(self, total: int) -> None:
        self._total = self._free = total
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        count = min(count, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._free >= count)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()


_pixels = _Pixels(_PIXELS_AT_ONCE)


@contextmanager
def decoding(image: Image.Image) -> Iterator[None]:
    """Wait until an image that was opened can be decoded beside those that other threads decode; not nested."""
    with _pixels.taken(image.width * image.height):
        yield
