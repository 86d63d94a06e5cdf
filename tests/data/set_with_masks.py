"""What the tests of ``data check`` share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from autoad_nni.data.check import check_layout


def write_masks(folder: Path, n: int) -> None:
    """Writes masks of one pixel for the first n images of the fixture ``write_images``."""
    folder.mkdir(parents=True)
    mask = np.zeros((10, 12), np.uint8)
    mask[3, 4] = 255
    for i in range(n):
        Image.fromarray(mask).save(folder / f"{i:03}_mask.png")


def write_photographs(folder: Path, n: int, seed: int = 0) -> None:
    """Writes images with as many values as photographs have."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, pixels in enumerate(np.random.default_rng(seed).integers(0, 256, (n, 10, 12), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i:03}.png")


def only_problem(path: Path, *words: str) -> None:
    """There is one problem; it holds the words, names what was expected and what to do."""
    (problem,) = map(str, check_layout(path).problems)
    assert "\n" not in problem
    assert "Expected" in problem and problem.endswith(".")
    for word in words:
        assert word in problem, problem
