"""What is kept on disk between trials: decoded and resized images here, features in `autoad_nni.trial.features`."""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import re
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape
from autoad_nni.errors import AutoADError

__all__ = ["CacheFolder", "ImageCache", "cache_folder"]

# Part of every key: raised when decoding or resizing changes.
_VERSION = 2
_DEFAULT_MB = 4096
_CHECKSUM_BYTES = 4

# The user may have pointed the cache at a folder with files of their own.
_ENTRY = re.compile("[0-9a-f]{64}")
_TEMPORARY = re.compile(r"\.[0-9a-f]{64}-\w+")
_ABANDONED_S = 3600
_KINDS = ("images", "features")


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


class CacheFolder:
    """A folder of files of one kind, each named by a hash of all that determines its content.

    Files are written to a temporary one and renamed: parallel trials see a whole file or none. What is kept, of all
    kinds together, is kept below a size by removing the least recently used files.

    Args:
        kind: ``images`` or ``features``; the folder of that name in `cache_folder`.
        folder: Another folder, with a size of its own. Folders are made when the first file is written.
        max_bytes: Size to keep below; 0 for no cache. Default: ``$AUTOAD_NNI_CACHE_MB`` megabytes, or 4,096.

    Raises:
        AutoADError: ``$AUTOAD_NNI_CACHE_MB`` is not a number.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     cache, key = CacheFolder("features", Path(folder), max_bytes=2**20), "0" * 64
        ...     before = cache.find(key)
        ...     cache.write(key, lambda path: path.write_text("content"))
        ...     before, cache.find(key).read_text()
        (None, 'content')
    """

    def __init__(
        self, kind: Literal["images", "features"], folder: Path | None = None, *, max_bytes: int | None = None
    ) -> None:
        self._folder = folder or cache_folder() / kind
        self._trimmed = [folder] if folder else [cache_folder() / each for each in _KINDS]
        self.max_bytes = _limit_from_environment() if max_bytes is None else max_bytes

    def find(self, key: str) -> Path | None:
        """Return the file and count it as used now; None if there is none."""
        if not self.max_bytes:
            return None
        path = self._folder / key
        try:
            os.utime(path)
        except OSError:
            return None
        return path

    def write(self, key: str, write: Callable[[Path], object]) -> None:
        """Keep a file; where it cannot be written (no space, no permission), nothing happens.

        Args:
            key: 64 hexadecimal digits.
            write: Writes the content to a path; raises OSError if the disk refuses.
        """
        if not self.max_bytes:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self._folder, prefix=f".{key}-", delete=False) as file:
                file.close()
                try:
                    write(Path(file.name))
                    os.replace(file.name, self._folder / key)
                finally:
                    Path(file.name).unlink(missing_ok=True)

    def trim(self) -> None:
        """Remove the least recently used files until all are below the size; nothing at 0, for no cache.

        Temporary files of processes that were killed are removed too, after an hour. Other files are not ours: they
        stay, and do not count.
        """
        if not self.max_bytes:
            return
        with contextlib.suppress(OSError):
            folders = [folder for folder in self._trimmed if folder.is_dir()]
            files = [(file.stat(), file) for folder in folders for file in os.scandir(folder) if file.is_file()]
            for stat, file in files:
                if _TEMPORARY.fullmatch(file.name) and stat.st_mtime < time.time() - _ABANDONED_S:
                    Path(file.path).unlink(missing_ok=True)
            entries = [(stat, file.path) for stat, file in files if _ENTRY.fullmatch(file.name)]
            excess = sum(stat.st_size for stat, _ in entries) - self.max_bytes
            for stat, path in sorted(entries, key=lambda entry: entry[0].st_mtime):
                if excess <= 0:
                    return
                Path(path).unlink(missing_ok=True)
                excess -= stat.st_size


class ImageCache:
    """A folder of images in their final image shape, one file each.

    An entry's name is a hash of the file's content and of the image shape: an image that was changed, or is wanted in
    another size, is another entry. One whose checksum is wrong counts as missing. When the cache cannot be written,
    images are decoded each time.

    Args:
        folder: Where entries are; default: ``images`` in `cache_folder`.
        max_bytes: As for `CacheFolder`.

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
        self._files = CacheFolder("images", folder, max_bytes=max_bytes)

    def get(self, content: bytes, shape: ImageShape) -> Tensor | None:
        """Return the image of a file with this content, ``shape``, or None."""
        path = self._files.find(_key(content, shape))
        try:
            stored = path.read_bytes() if path else b""
        except OSError:
            return None
        pixels, checksum = stored[:-_CHECKSUM_BYTES], stored[-_CHECKSUM_BYTES:]
        if len(pixels) != 4 * math.prod(shape) or checksum != _checksum(pixels):
            return None
        return torch.frombuffer(bytearray(pixels), dtype=torch.float32).view(*shape)

    def put(self, content: bytes, shape: ImageShape, image: Tensor) -> None:
        """Store an image, ``shape`` float32."""

        def write(path: Path) -> None:
            pixels = image.contiguous().numpy().tobytes()
            path.write_bytes(pixels + _checksum(pixels))

        self._files.write(_key(content, shape), write)

    def trim(self) -> None:
        """Remove the least recently used entries until all that is kept is below its size."""
        self._files.trim()


def _key(content: bytes, shape: ImageShape) -> str:
    key = hashlib.sha256(f"{_VERSION} {tuple(shape)} ".encode())
    key.update(content)
    return key.hexdigest()
