"""The IDX files of MNIST and its relatives."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["read_images"]

_HEADER_BYTES = 16
# Two zero bytes, 8 = unsigned byte, 3 = three dimensions.
_MAGIC = bytes((0, 0, 8, 3))


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of images, gzipped or not.

    torchvision has a reader too, but importing torchvision takes two seconds in every trial process.

    Shape:
        ``(n, height, width)``, uint8.

    Raises:
        AutoADError: The file cannot be read, is no IDX file of byte images, or has the wrong length.

    Reference: the section "file formats" of the MNIST site (LeCun, Cortes, Burges).
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = zlib.decompress(content, wbits=31)
    except (OSError, zlib.error) as error:
        raise AutoADError(f"cannot read {path}: {error}. Expected an IDX file. Fetch it again.") from error
    if content[:4] != _MAGIC or len(content) < _HEADER_BYTES:
        raise AutoADError(
            f"{path} begins with {content[:4].hex(' ') or 'nothing'}. Expected {_MAGIC.hex(' ')}, an IDX file of "
            "images. Fetch it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", count=3, offset=4))
    n_bytes = len(content) - _HEADER_BYTES
    if min(shape) < 0 or n_bytes != np.prod(shape, dtype=np.int64):
        raise AutoADError(
            f"{path} has {n_bytes} bytes of pixels. Expected {' x '.join(map(str, shape))} as its header says. "
            "Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=_HEADER_BYTES).reshape(shape)
