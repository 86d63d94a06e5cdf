"""Decoded and resized images, kept between trials, so that no trial decodes large files again."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import tempfile
import time
import zlib
from pathlib import Path

import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.errors import AutoADError

__all__ = ["ImageCache", "cache_folder"]

# Part of every key: raised when decoding or resizing changes.
_VERSION = 2
_DEFAULT_MB = 4096
_CHECKSUM_BYTES = 4

# The user may have pointed the cache at a folder with files of their own.
_ENTRY = re.compile("[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}-\w+")
_ABANDONED_S = 3600


def cache_folder() -> Path:
    """Return ``$AUTOAD_NNI_CACHE``, or ``autoad-nni`` in the user's cache folder."""
    own = os.environ.get("AUTOAD_NNI_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "autoad-nni"


def _limit_from_environment() -> int:
    value = os.environ.get("AUTOAD_NNI_CACHE_MB", str(_DEFAULT_MB))
    if not value.isdecimal():
        raise AutoADError(
            f"AUTOAD_NNI_CACHE_MB is {value!r}. Expected a whole number of megabytes, 0 for no cache. Correct it."
        )
    return int(value) * 2**20


def _checksum(pixels: bytes) -> bytes:
    return zlib.crc32(pixels).to_bytes(_CHECKSUM_BYTES, "big")


class ImageCache:
    """A folder of images in their final image shape, one file each.

    An entry's name is a hash of the file's content and of the image shape: an image that was changed, or is wanted in
    another size, is another entry. Entries are written to a temporary file and renamed: parallel trials see a whole
    entry or none; one whose checksum is wrong counts as missing. The folder is kept below a size by removing the least
    recently used entries. When the cache cannot be written (no space, no permission), images are decoded each time.

    Args:
        folder: Where entries are; made when the first one is written. Default: ``images`` in `cache_folder`.
        max_bytes: Size to keep below; 0 for no cache. Default: ``$AUTOAD_NNI_CACHE_MB`` megabytes, or 4,096.

    Raises:
        AutoADError: ``$AUTOAD_NNI_CACHE_MB`` is not a number.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache, shape = ImageCache(Path(folder), max_bytes=2**20), ImageShape(1, 8, 8)
        ...     cache.put(b"content of a file", shape, torch.ones(shape))
        ...     cache.get(b"content of a file", shape).sum(), cache.get(b"another", shape)
        (tensor(64.), None)
    """

    def __init__(self, folder: Path | None = None, *, max_bytes: int | None = None) -> None:
        self._folder = folder or cache_folder() / "images"
        self._max_bytes = _limit_from_environment() if max_bytes is None else max_bytes

    def get(self, content: bytes, shape: ImageShape) -> Tensor | None:
        """Return the image of a file with this content, ``shape``, or None."""
        if not self._max_bytes:
            return None
        path = self._path(content, shape)
        try:
            stored = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        pixels, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        if len(pixels) != 4 * math.prod(shape) or checksum != _checksum(pixels):
            return None
        return torch.frombuffer(bytearray(pixels), dtype=torch.float32).view(*shape)

    def put(self, content: bytes, shape: ImageShape, image: Tensor) -> None:
        """Store an image, ``shape`` float32."""
        path = self._path(content, shape)
        if not self._max_bytes:
            return
        with contextlib.suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-", delete=False) as file:
                try:
                    pixels = image.contiguous().numpy().tobytes()
                    file.write(pixels + _checksum(pixels))
                    file.close()
                    os.replace(file.name, path)
                finally:
                    Path(file.name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Remove the least recently used entries until the folder is below its size; nothing at 0, for no cache.

        Temporary files of processes that were killed are removed too, after an hour. Other files are not ours: they
        stay, and do not count.
        """
        if not self._max_bytes:
            return
        with contextlib.suppress(OSError):
            files = [(entry.stat(), entry) for entry in os.scandir(self._folder) if entry.is_file()]
            for stat, file in files:
                if _TEMPORARY.fullmatch(file.name) and stat.st_mtime < time.time() - _ABANDONED_S:
                    Path(file.path).unlink(missing_ok=True)
            entries = [(stat, file.path) for stat, file in files if _ENTRY.fullmatch(file.name)]
            excess = sum(stat.st_size for stat, _ in entries) - self._max_bytes
            for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
                if excess <= 0:
                    return
                Path(path).unlink(missing_ok=True)
                excess -= stat.st_size

    def _path(self, content: bytes, shape: ImageShape) -> Path:
        key = hashlib.sha256(f"{_VERSION} {tuple(shape)} ".encode())
        key.update(content)
        return self._folder / key.hexdigest()
