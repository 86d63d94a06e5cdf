"""Data of fewer bits in files of 16: nearly black, so refused by ``search`` and named by ``data check``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from set_with_masks import only_problem

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.data.check import check_layout

Write = Callable[..., None]


def write_deep(folder: Path, n: int, highest: int, seed: int = 0) -> None:
    """Writes noise of 16 bits; the highest value is in the last image only."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(np.random.default_rng(seed).integers(0, highest, (n, 10, 12), dtype=np.uint16)):
        pixels[4:6] = highest if i == n - 1 else highest - 1
        Image.fromarray(pixels).save(folder / f"{i:03}.png")


def load(root: Path, **options: Any) -> Task:
    return load_task(TaskOptions(data="folder", root=root, **options))


@pytest.mark.parametrize(("highest", "bits", "factor"), [(255, 8, 256), (1000, 10, 64), (4095, 12, 16)])
def test_too_few_bits_are_refused(tmp_path: Path, fails: Any, highest: int, bits: int, factor: int) -> None:
    write_deep(tmp_path / "good", 12, highest)
    write_deep(tmp_path / "bent", 4, highest // 2, seed=1)
    words = (
        f"{tmp_path} has {bits}-bit data in files of 16 bits: no value is above {highest}, so the images are nearly",
        f"Multiply them by {factor}, or save them with 8 bits.",
    )
    only_problem(tmp_path, *words)
    for size in (None, 8):
        with fails(*words):
            load(tmp_path, image_size=size)
    with fails(*words):
        load(tmp_path, image_size=8)  # now from the cache


@pytest.mark.parametrize(("highest", "factor"), [(4096, 4), (16383, 4), (16384, None), (65535, None)])
def test_more_bits_are_read_as_they_are(tmp_path: Path, highest: int, factor: int | None) -> None:
    write_deep(tmp_path / "good", 12, highest)
    write_deep(tmp_path / "bent", 4, highest // 2, seed=1)
    report = check_layout(tmp_path)
    assert report.problems == () and len(report.remarks) == (factor is not None)
    for remark in report.remarks:
        assert f"14-bit data in files of 16 bits, no value is above {highest} of 65535" in remark
        assert f"multiply them by {factor}" in remark
    assert load(tmp_path).train.max() * 65535 == pytest.approx(highest, abs=2)


@pytest.mark.parametrize("dark", ["good/000.png", "bent/001.png"])
def test_a_dark_image_among_bright_ones_is_right(tmp_path: Path, dark: str) -> None:
    """As when a lamp is off."""
    write_deep(tmp_path / "good", 12, 65535)
    write_deep(tmp_path / "bent", 4, 60000, seed=1)
    with Image.open(tmp_path / dark) as image:
        pixels = np.asarray(image) // 100
    Image.fromarray(pixels).save(tmp_path / dark)
    assert check_layout(tmp_path).problems == ()
    load(tmp_path)


def test_a_few_bright_pixels_are_no_less_bright_for_being_shrunk(tmp_path: Path) -> None:
    write_deep(tmp_path / "good", 12, 3000)
    write_deep(tmp_path / "bent", 4, 3000, seed=1)
    stars = np.zeros((100, 100), np.uint16)
    stars[50, 50] = 65535
    Image.fromarray(stars).save(tmp_path / "good" / "stars.png")
    assert check_layout(tmp_path).problems == ()
    load(tmp_path)


def test_defects_alone_of_too_few_bits(tmp_path: Path, write_images: Write, fails: Any) -> None:
    """Another camera: to tell them from good images would be all too easy."""
    write_images(tmp_path / "good", 12, first=100)
    write_deep(tmp_path / "bent", 4, 4000)
    only_problem(tmp_path, "has 12-bit data")
    with fails("has 12-bit data"):
        load(tmp_path)


def test_dark_images_of_8_bits_are_read_as_they_are(tmp_path: Path, write_images: Write) -> None:
    write_images(tmp_path / "good", 12)
    write_images(tmp_path / "bent", 3, first=12)
    assert check_layout(tmp_path).problems == ()
    assert load(tmp_path).train.max() * 255 <= 15
