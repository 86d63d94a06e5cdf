"""What defects are drawn on and with: lengths, steps in brightness, outlines, clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

__all__ = ["Canvas", "Floats", "Grey"]

Grey = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


class Canvas(NamedTuple):
    """A crop that gets a defect.

    Args:
        crop: The crop.
        other: A crop of another texture.
        strength: From 0, hard to see, to 1, clear.
        rng: Determines place, shape and details.

    Shape:
        ``crop`` and ``other``, and all that the methods return: ``(side, side)``.
    """

    crop: Floats
    other: Floats
    strength: float
    rng: np.random.Generator

    @property
    def scale(self) -> float:
        """Lengths are given for crops of 128 pixels; this is how much longer they are here."""
        return len(self.crop) / 128

    def between(self, weakest: float, strongest: float) -> float:
        """A value that goes with the strength, give or take a tenth of the range."""
        share = np.clip(self.strength + self.rng.uniform(-0.1, 0.1), 0, 1)
        return float(weakest + (strongest - weakest) * share)

    def pixels(self, smallest: float, largest: float) -> float:
        """A random length, whatever the strength."""
        return float(self.rng.uniform(smallest, largest)) * self.scale

    def tone(self, weakest: float, strongest: float) -> float:
        """A step in brightness, up or down; the more uneven the texture, the larger it is, as it would drown."""
        uneven = np.clip(self.crop.std() / 25, 1, 1.8)
        return self.sign() * self.between(weakest, strongest) * float(uneven)

    def sign(self) -> int:
        """1 or -1."""
        return int(self.rng.choice((-1, 1)))

    def outline(self, radius: float, roughness: float) -> Floats:
        """A rounded, uneven shape: about how many pixels a pixel lies inside (negative: outside) its edge."""
        side, rng = len(self.crop), self.rng
        room = min(radius * 1.2, side / 2 - 1)
        centre = rng.uniform(room, side - 1 - room, 2)
        rows, columns = np.mgrid[:side, :side] - centre[:, None, None]
        stretch, turn = np.exp(rng.uniform(-0.35, 0.35)), rng.uniform(0, np.pi)
        along = (rows * np.cos(turn) + columns * np.sin(turn)) / stretch
        across = (columns * np.cos(turn) - rows * np.sin(turn)) * stretch
        angle, reach = np.arctan2(across, along), np.hypot(across, along)
        edge = np.full_like(angle, radius)
        for waves in range(2, 8):
            height = 0.5 * radius * roughness * rng.normal() / waves**0.5
            edge += height * np.cos(waves * angle + rng.uniform(0, 2 * np.pi))
        depth: Floats = np.maximum(edge, 0.4 * radius) - reach
        return depth

    def clouds(self, size: float) -> Floats:
        """Soft noise from -1 to 1."""
        noise: Floats = ndimage.gaussian_filter(self.rng.normal(0, 1, self.crop.shape), size * self.scale)
        noise /= np.abs(noise).max()
        return noise

    def local_mean(self, size: float) -> Floats:
        """The crop, blurred."""
        mean: Floats = ndimage.gaussian_filter(self.crop, size * self.scale)
        return mean
