"""The IDX files of MNIST and its relatives."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autoad_nni.errors import AutoADError

__all__ = ["read_images", "read_labels"]

# Two zero bytes, 8 = unsigned byte, then the number of dimensions.
_BYTES = bytes((0, 0, 8))


def read_images(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of images, gzipped or not.

    torchvision has a reader too, but importing torchvision takes two seconds in every trial process.

    Shape:
        ``(n, height, width)``, uint8.

    Raises:
        AutoADError: The file cannot be read, is no IDX file of byte images, or has the wrong length.

    Reference: the section "file formats" of the MNIST site (LeCun, Cortes, Burges).
    """
    return _read(path, 3, "images")


def read_labels(path: Path) -> npt.NDArray[np.uint8]:
    """Read an IDX file of labels; all else as `read_images`.

    Shape:
        ``(n,)``, uint8.
    """
    return _read(path, 1, "labels")


def _read(path: Path, n_dimensions: int, what: str) -> npt.NDArray[np.uint8]:
    magic, header = _BYTES + bytes((n_dimensions,)), 4 + 4 * n_dimensions
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = zlib.decompress(content, wbits=31)
    except (OSError, zlib.error) as error:
        raise AutoADError(f"cannot read {path}: {error}. Expected an IDX file. Fetch it again.") from error
    if content[:4] != magic or len(content) < header:
        raise AutoADError(
            f"{path} begins with {content[:4].hex(' ') or 'nothing'}. Expected {magic.hex(' ')}, an IDX file of "
            f"{what}. Fetch it again."
        )
    shape = tuple(int(size) for size in np.frombuffer(content, ">i4", count=n_dimensions, offset=4))
    n_bytes = len(content) - header
    if min(shape) < 0 or n_bytes != np.prod(shape, dtype=np.int64):
        raise AutoADError(
            f"{path} has {n_bytes} bytes of {'pixels' if what == 'images' else what}. Expected "
            f"{' x '.join(map(str, shape))} as its header says. Fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)
