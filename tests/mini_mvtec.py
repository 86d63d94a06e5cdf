"""A miniature set in exactly the layout of MVTec-AD: RGB files of 96 x 96, masks of 0 and 255."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def write_mini_mvtec(root: Path, *, category: str = "bottle", side: int = 96) -> None:
    rng = np.random.default_rng(0)

    def image() -> np.ndarray:
        stripes = 90 + 60 * np.sin(np.arange(side) / 5 + rng.uniform(0, 6))
        return np.clip(stripes[:, None, None] + rng.normal(0, 8, (side, side, 3)), 0, 255)

    def save(place: str, pixels: np.ndarray) -> None:
        path = root / category / place
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(path)

    for number in range(12):
        save(f"train/good/{number:03d}.png", image())
    for number in range(4):
        save(f"test/good/{number:03d}.png", image())
    for defect, value in (("broken_large", 0), ("contamination", 250)):
        for number in range(4):
            pixels, mask = image(), np.zeros((side, side))
            top, left = rng.integers(0, side - 24, 2)
            mask[top : top + 24, left : left + 20] = 255
            pixels[mask > 0] = value
            save(f"test/{defect}/{number:03d}.png", pixels)
            save(f"ground_truth/{defect}/{number:03d}_mask.png", mask)
