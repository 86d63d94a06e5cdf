"""What defects are drawn on and with: lengths, steps in brightness, places, outlines, clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

__all__ = ["Canvas", "Covering", "Floats"]

Floats = npt.NDArray[np.float64]


class Covering(NamedTuple):
    """What a generator of defects makes.

    Attributes:
        covered: What the image would be if the defect covered all of it; values beyond 0 to 255 are clipped.
        opacity: How much of that is seen where, 0 to 1; the defect is where it is 0.2 or more.

    Shape:
        ``covered`` ``(height, width, channels)``, ``opacity`` ``(height, width)``.
    """

    covered: Floats
    opacity: Floats


class Canvas(NamedTuple):
    """An image that gets a defect, and what to draw it with.

    Values are 0 to 255: of images that are dark as a whole, or have little contrast, those of the set are stretched
    to that.

    Attributes:
        image: The image.
        other: Another good image of the set.
        foreign: A piece of a texture that has nothing to do with the set.
        strength: From 0, hard to see, to 1, clear.
        rng: Determines place, shape and details.
        side: What lengths are relative to, in pixels: the side of the object, or of the image.
        on: Where the object is; None where it cannot be told.
        background: What is behind the object; None where it cannot be told.

    Shape:
        ``image``, ``other`` and ``foreign`` ``(height, width, channels)``, ``on`` ``(height, width)``, ``background``
        ``(channels,)``.
    """

    image: Floats
    other: Floats
    foreign: Floats
    strength: float
    rng: np.random.Generator
    side: float
    on: npt.NDArray[np.bool_] | None = None
    background: Floats | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.image.shape[0], self.image.shape[1]

    @property
    def scale(self) -> float:
        """Lengths are given for a side of 128 pixels; this is how much longer they are here."""
        return self.side / 128

    def between(self, weakest: float, strongest: float) -> float:
        """A value that goes with the strength, give or take a tenth of the range."""
        share = np.clip(self.strength + self.rng.uniform(-0.1, 0.1), 0, 1)
        return float(weakest + (strongest - weakest) * share)

    def pixels(self, smallest: float, largest: float) -> float:
        """A random length, whatever the strength; at least a pixel."""
        return max(1.0, float(self.rng.uniform(smallest, largest)) * self.scale)

    def tone(self, weakest: float, strongest: float) -> float:
        """A step in brightness, up or down; the more uneven the image, the larger it is, as it would drown."""
        uneven = np.clip(self.image.std() / 25, 1, 1.8)
        return self.sign() * self.between(weakest, strongest) * float(uneven)

    def sign(self) -> int:
        """1 or -1."""
        return int(self.rng.choice((-1, 1)))

    def place(self, low: Floats, high: Floats) -> Floats:
        """Row and column of a random place: on the object or, where it cannot be told, from low to high; ``(2,)``."""
        if self.on is None:
            return self.rng.uniform(low, high)
        return np.asarray(self.rng.choice(np.argwhere(self.on)) + self.rng.uniform(-0.5, 0.5, 2))

    def outline(self, radius: float, roughness: float) -> Floats:
        """A rounded, uneven shape: about how many pixels a pixel lies inside (negative: outside) its edge."""
        rng = self.rng
        sides = np.array(self.size)
        room = np.minimum(radius * 1.2, sides / 2 - 1)
        centre = self.place(room, sides - 1 - room)
        rows, columns = np.mgrid[: self.size[0], : self.size[1]] - centre[:, None, None]
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
        """Soft noise from -1 to 1, ``(height, width)``."""
        noise: Floats = ndimage.gaussian_filter(self.rng.normal(0, 1, self.size), size * self.scale)
        noise /= np.abs(noise).max()
        return noise

    def grain(self, size: float) -> Floats:
        """Noise of variance 1 before it is blurred by a number of pixels; the same in all channels."""
        noise: Floats = ndimage.gaussian_filter(self.rng.normal(0, 1, self.size), size)[..., None]
        return noise

    def local_mean(self, size: float) -> Floats:
        """The image, blurred."""
        sigma = size * self.scale
        mean: Floats = ndimage.gaussian_filter(self.image, (sigma, sigma, 0))
        return mean

    def looked_up(self, places: Floats) -> Floats:
        """The values of the image at places between its pixels: rows and columns, ``(2, height, width)``."""
        planes = np.moveaxis(self.image, 2, 0)
        return np.stack([ndimage.map_coordinates(each, places, order=1, mode="nearest") for each in planes], axis=2)
