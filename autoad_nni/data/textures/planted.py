"""Defects planted into a crop of a texture, each with the mask of the pixels it may have touched."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import ndimage, spatial  # type: ignore[import-untyped]

from autoad_nni.data.textures.canvas import Canvas, Floats, Grey

__all__ = ["KINDS", "MIN_CHANGE", "Planted", "plant"]

# Mean change within the mask, in grey levels; below it the defect could not be seen.
MIN_CHANGE = 4.0
_EDGE = 0.2
_TRIES = 50


class Planted(NamedTuple):
    """A crop with a defect.

    Shape:
        ``image`` and ``mask`` ``(side, side)``; the mask is True where the defect is.
    """

    image: Grey
    mask: npt.NDArray[np.bool_]


# A maker gives what the crop would be if the defect covered all of it, and how much of it is seen where (0 to 1).
_Maker = Callable[[Canvas], tuple[Floats, Floats]]


def plant(kind: str, crop: Grey, other: Grey, strength: float, rng: np.random.Generator) -> Planted:
    """Plant one defect at a random place into a crop.

    A defect is blended in with an opacity that falls off at its edge. The mask is exactly where the opacity is 0.2 or
    more; elsewhere the crop is left as it was, to the bit. Within the mask single pixels may keep their value by
    chance, but the mean change is :data:`MIN_CHANGE` grey levels or more.

    Args:
        kind: One of :data:`KINDS`.
        crop: The crop, left as it is.
        other: A crop of another texture, of the same size; only ``foreign`` uses it.
        strength: From 0, hard to see, to 1, clear.
        rng: Determines place, shape and details.

    Shape:
        ``crop`` and ``other`` ``(side, side)``.

    Raises:
        RuntimeError: The crop is so flat that no noticeable defect of this kind can be made.

    Example:
        >>> crop = np.random.default_rng(0).integers(80, 160, (64, 64)).astype(np.uint8)
        >>> image, mask = plant("stain", crop, crop, 1.0, np.random.default_rng(0))
        >>> bool((image == crop)[~mask].all()), bool(image[mask].mean() < crop[mask].mean())
        (True, True)
    """
    canvas = Canvas(crop.astype(np.float64), other.astype(np.float64), strength, rng)
    for _ in range(_TRIES):
        covered, opacity = KINDS[kind](canvas)
        mask = opacity >= _EDGE
        blended = np.where(mask, canvas.crop + opacity * (covered - canvas.crop), canvas.crop)
        image = blended.round().clip(0, 255).astype(np.uint8)
        if mask.any() and np.abs(image[mask] - canvas.crop[mask]).mean() >= MIN_CHANGE:
            return Planted(image, mask)
    raise RuntimeError(f"no noticeable {kind} in {_TRIES} tries")


def _scratch(canvas: Canvas) -> tuple[Floats, Floats]:
    """A thin curved line, darker or lighter, that fades towards its ends."""
    side, rng = len(canvas.crop), canvas.rng
    length, turn = canvas.pixels(25, 100), rng.uniform(-1.6, 1.6)
    t = np.linspace(0, 1, 200)
    angle = rng.uniform(0, 2 * np.pi) + turn * t + np.cumsum(rng.normal(0, 0.03, len(t)))
    line = np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0) * length / len(t)
    points = line - line.mean(0) + rng.uniform(0.25, 0.75, 2) * side
    rows, columns = np.mgrid[:side, :side]
    distance, nearest = spatial.cKDTree(points).query(np.stack([rows, columns], axis=-1))
    # Pressure: full in the middle, nothing at the ends, uneven between.
    pressure = np.sin(np.pi * t) ** 0.4 * (0.8 + 0.2 * np.sin(rng.uniform(10, 30) * t + rng.uniform(0, 6)))
    half_width = (0.4 + canvas.between(0.2, 0.9)) * side / 128 * pressure
    opacity = pressure[nearest] * np.clip(half_width[nearest] + 0.7 - distance, 0, 1)
    covered = 0.5 * (canvas.crop + canvas.local_mean(3)) + canvas.tone(22, 75)
    return covered, opacity


def _blob(canvas: Canvas) -> tuple[Floats, Floats]:
    """A lump of something else: lit from one side, with a fine grain."""
    depth = canvas.outline(canvas.pixels(5, 13), roughness=0.12)
    opacity = np.clip(depth / 2 + 0.5, 0, 1) * canvas.between(0.6, 1.0)
    height = ndimage.gaussian_filter(np.sqrt(np.clip(depth, 0, None)), 1.0)
    light = np.stack(np.gradient(height))
    direction = canvas.rng.uniform(0, 2 * np.pi)
    shading = light[0] * np.sin(direction) + light[1] * np.cos(direction)
    grain = ndimage.gaussian_filter(canvas.rng.normal(0, 1, canvas.crop.shape), 0.7) * 8
    return canvas.local_mean(8) + canvas.tone(8, 40) + canvas.between(20, 50) * shading + grain, opacity


def _stain(canvas: Canvas) -> tuple[Floats, Floats]:
    """Something spilt: the texture shows through, darker, with a soft and mottled edge."""
    radius = canvas.pixels(12, 30)
    depth = canvas.outline(radius, roughness=0.2)
    opacity = np.clip(depth / (0.6 * radius) + 0.35, 0, 1) * (0.8 + 0.2 * canvas.clouds(6))
    return canvas.crop * (1 - canvas.between(0.14, 0.42)), opacity


def _missing_patch(canvas: Canvas) -> tuple[Floats, Floats]:
    """The texture is gone: its local mean is left, and of the weak ones some structure."""
    depth = canvas.outline(canvas.pixels(8, 22), roughness=0.15)
    opacity = np.clip(depth / 3 + 0.5, 0, 1) * canvas.between(0.7, 1.0)
    grain = canvas.rng.normal(0, 1.5, canvas.crop.shape)
    return canvas.local_mean(canvas.between(3, 10)) + grain, opacity


def _contrast(canvas: Canvas) -> tuple[Floats, Floats]:
    """The contrast is lower or higher, and the brightness shifts a little."""
    depth = canvas.outline(canvas.pixels(12, 30), roughness=0.15)
    mean = canvas.local_mean(12)
    # Upwards only so far that little of an uneven texture becomes black or white.
    upwards = min(canvas.between(1.4, 2.2), max(1.4, 60 / canvas.crop.std()))
    gain = canvas.between(0.65, 0.2) if canvas.sign() < 0 else upwards
    shift = canvas.sign() * canvas.between(3, 14)
    return mean + gain * (canvas.crop - mean) + shift, np.clip(depth / 5 + 0.5, 0, 1)


def _foreign(canvas: Canvas) -> tuple[Floats, Floats]:
    """A piece of another texture, in the brightness and contrast of its surroundings."""
    depth = canvas.outline(canvas.pixels(9, 24), roughness=0.1)
    inside = depth > -4
    crop, other = canvas.crop, canvas.other
    spread = crop[inside].std() / max(other[inside].std(), 1.0)
    matched = crop[inside].mean() + (other - other[inside].mean()) * min(spread, 2.0)
    return matched, np.clip(depth / 1.5 + 0.5, 0, 1) * canvas.between(0.5, 1.0)


KINDS: dict[str, _Maker] = {
    "blob": _blob,
    "contrast": _contrast,
    "foreign": _foreign,
    "missing_patch": _missing_patch,
    "scratch": _scratch,
    "stain": _stain,
}
