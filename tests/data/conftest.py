"""Tiny data sets in exactly the original formats."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from set_with_masks import write_masks

from autoad_nni.errors import AutoADError

Bytes = npt.NDArray[np.uint8]
Fails = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def fails() -> Fails:
    """Expects an AutoADError of one line that holds all the given words, what was expected, and some advice."""

    @contextmanager
    def check(*words: str) -> Iterator[None]:
        with pytest.raises(AutoADError) as caught:
            yield
        message = str(caught.value)
        assert "\n" not in message
        assert re.search(r"Expected|Looked in|Installed", message), message
        for word in words:
            assert word in message, message

    return check


def idx_bytes(images: Bytes) -> bytes:
    return struct.pack(">HBBiii", 0, 8, images.ndim, *images.shape) + images.tobytes()


@pytest.fixture
def write_idx() -> Callable[..., Bytes]:
    """Writes 40 training and 20 test images as MNIST's two files; gives all 60."""

    def write(folder: Path, *, gz: bool = False, seed: int = 0, n_train: int = 40, n_test: int = 20) -> Bytes:
        folder.mkdir(parents=True, exist_ok=True)
        images = np.random.default_rng(seed).integers(0, 256, (n_train + n_test, 28, 28), dtype=np.uint8)
        for name, part in (("train", images[:n_train]), ("t10k", images[n_train:])):
            path = folder / f"{name}-images-idx3-ubyte{'.gz' if gz else ''}"
            path.write_bytes(gzip.compress(idx_bytes(part)) if gz else idx_bytes(part))
        return images

    return write


@pytest.fixture
def write_cifar10() -> Callable[..., Bytes]:
    """Writes the six files of CIFAR-10's binary version, ten images each; gives all 60."""

    def write(folder: Path, *, seed: int = 0) -> Bytes:
        folder.mkdir(parents=True, exist_ok=True)
        images = np.random.default_rng(seed).integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
        names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
        for name, batch in zip(names, np.split(images, 6), strict=True):
            (folder / name).write_bytes(b"".join(bytes([i % 10]) + image.tobytes() for i, image in enumerate(batch)))
        return images

    return write


@pytest.fixture
def write_images() -> Callable[..., None]:
    """Writes n grey 12 x 10 PNG files, file i filled with the value ``first + i``."""

    def write(folder: Path, n: int, first: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(n):
            Image.new("L", (12, 10), first + i).save(folder / f"{i:03}.png")

    return write


@pytest.fixture
def mvtec(tmp_path: Path, write_images: Callable[..., None]) -> Path:
    """A category in the layout of MVTec-AD with nothing wrong."""
    root = tmp_path / "bottle"
    write_images(root / "train" / "good", 12, first=20)
    write_images(root / "test" / "good", 4, first=50)
    write_images(root / "test" / "crack", 3, first=60)
    write_images(root / "test" / "dent" / "deep", 2, first=70)
    write_masks(root / "ground_truth" / "crack", 3)
    write_masks(root / "ground_truth" / "dent" / "deep", 2)
    return root


@pytest.fixture
def plain(tmp_path: Path, write_images: Callable[..., None]) -> Path:
    """A plain folder with nothing wrong."""
    write_images(tmp_path / "screws" / "good", 12, first=20)
    write_images(tmp_path / "screws" / "bent", 3, first=60)
    return tmp_path / "screws"
