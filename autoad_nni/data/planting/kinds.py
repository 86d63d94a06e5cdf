"""The built-in generators of defects: plugins of the entry-point group ``autoad_nni.defects``.

Each gives what an image would be if the defect covered all of it, and how much of that is seen where
(:class:`autoad_nni.data.planting.canvas.Covering`).
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, spatial  # type: ignore[import-untyped]

from autoad_nni.data.planting.canvas import Canvas, Covering

__all__ = [
    "blob",
    "contrast",
    "cut_paste",
    "foreign",
    "missing_patch",
    "noise",
    "scratch",
    "stain",
    "tint",
    "warp",
]


def scratch(canvas: Canvas) -> Covering:
    """A thin curved line, darker or lighter, that fades towards its ends."""
    rng = canvas.rng
    length, turn = canvas.pixels(25, 100), rng.uniform(-1.6, 1.6)
    t = np.linspace(0, 1, 200)
    angle = rng.uniform(0, 2 * np.pi) + turn * t + np.cumsum(rng.normal(0, 0.03, len(t)))
    line = np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1), axis=0) * length / len(t)
    sides = np.array(canvas.size)
    points = line - line.mean(0) + canvas.place(0.25 * sides, 0.75 * sides)
    rows, columns = np.mgrid[: canvas.size[0], : canvas.size[1]]
    distance, nearest = spatial.cKDTree(points).query(np.stack([rows, columns], axis=-1))
    # Pressure: full in the middle, nothing at the ends, uneven between.
    pressure = np.sin(np.pi * t) ** 0.4 * (0.8 + 0.2 * np.sin(rng.uniform(10, 30) * t + rng.uniform(0, 6)))
    half_width = (0.4 + canvas.between(0.2, 0.9)) * canvas.scale * pressure
    opacity = pressure[nearest] * np.clip(half_width[nearest] + 0.7 - distance, 0, 1)
    covered = 0.5 * (canvas.image + canvas.local_mean(3)) + canvas.tone(22, 75)
    return Covering(covered, opacity)


def blob(canvas: Canvas) -> Covering:
    """A lump of something else: lit from one side, with a fine grain."""
    depth = canvas.outline(canvas.pixels(5, 13), roughness=0.12)
    opacity = np.clip(depth / 2 + 0.5, 0, 1) * canvas.between(0.6, 1.0)
    height = ndimage.gaussian_filter(np.sqrt(np.clip(depth, 0, None)), 1.0)
    light = np.stack(np.gradient(height))
    direction = canvas.rng.uniform(0, 2 * np.pi)
    shading = (light[0] * np.sin(direction) + light[1] * np.cos(direction))[..., None]
    grain = canvas.grain(0.7) * 8
    return Covering(canvas.local_mean(8) + canvas.tone(8, 40) + canvas.between(20, 50) * shading + grain, opacity)


def stain(canvas: Canvas) -> Covering:
    """Something spilt: the image shows through, darker, with a soft and mottled edge."""
    radius = canvas.pixels(12, 30)
    depth = canvas.outline(radius, roughness=0.2)
    opacity = np.clip(depth / (0.6 * radius) + 0.35, 0, 1) * (0.8 + 0.2 * canvas.clouds(6))
    return Covering(canvas.image * (1 - canvas.between(0.14, 0.42)), opacity)


def missing_patch(canvas: Canvas) -> Covering:
    """A part is gone: the background is seen or, where there is none, the local mean, of weak ones some structure."""
    depth = canvas.outline(canvas.pixels(8, 22), roughness=0.15)
    opacity = np.clip(depth / 3 + 0.5, 0, 1) * canvas.between(0.7, 1.0)
    grain = canvas.rng.normal(0, 1.5, canvas.size)[..., None]
    left = canvas.local_mean(canvas.between(3, 10)) if canvas.background is None else canvas.background
    return Covering(left + grain, opacity)


def contrast(canvas: Canvas) -> Covering:
    """The contrast is lower or higher, and the brightness shifts a little."""
    depth = canvas.outline(canvas.pixels(12, 30), roughness=0.15)
    mean = canvas.local_mean(12)
    # Upwards only so far that little of an uneven image becomes black or white.
    upwards = min(canvas.between(1.4, 2.2), max(1.4, 60 / max(canvas.image.std(), 1.0)))
    gain = canvas.between(0.65, 0.2) if canvas.sign() < 0 else upwards
    shift = canvas.sign() * canvas.between(3, 14)
    return Covering(mean + gain * (canvas.image - mean) + shift, np.clip(depth / 5 + 0.5, 0, 1))


def foreign(canvas: Canvas) -> Covering:
    """A piece of another texture, in the brightness and contrast of its surroundings."""
    depth = canvas.outline(canvas.pixels(9, 24), roughness=0.1)
    inside = depth > -4
    image, other = canvas.image, canvas.foreign
    spread = image[inside].std() / max(other[inside].std(), 1.0)
    matched = image[inside].mean() + (other - other[inside].mean()) * min(spread, 2.0)
    return Covering(matched, np.clip(depth / 1.5 + 0.5, 0, 1) * canvas.between(0.5, 1.0))


def cut_paste(canvas: Canvas) -> Covering:
    """A piece of another good image, from another place, a little darker or lighter.

    Reference:
        Li et al., "CutPaste: Self-Supervised Learning for Anomaly Detection and Localization", CVPR 2021.
    """
    depth = canvas.outline(canvas.pixels(6, 24), roughness=0.1)
    here = np.unravel_index(depth.argmax(), depth.shape)
    there = canvas.place(np.zeros(2), np.array(canvas.size) - 1.0)
    shift = np.array(here) - there.round().astype(np.int64)
    piece = np.roll(canvas.other, tuple(int(step) for step in shift), axis=(0, 1))
    change = canvas.sign() * canvas.between(0, 12)
    return Covering(piece + change, np.clip(depth / 1.5 + 0.5, 0, 1) * canvas.between(0.4, 1.0))


def noise(canvas: Canvas) -> Covering:
    """A rough spot: fine or coarse noise on the image."""
    depth = canvas.outline(canvas.pixels(5, 22), roughness=0.2)
    grain = canvas.grain(canvas.rng.uniform(0, 1.5))
    opacity = np.clip(depth / 3 + 0.5, 0, 1)
    return Covering(canvas.image + canvas.between(10, 50) * grain / grain.std(), opacity)


def tint(canvas: Canvas) -> Covering:
    """A smooth spot, lighter or darker, or of another colour, with a soft edge."""
    radius = canvas.pixels(5, 26)
    depth = canvas.outline(radius, roughness=0.1)
    channels = canvas.image.shape[2]
    # Half of the spots on colour images are of another colour; all on grey ones are of another grey.
    colour = canvas.rng.uniform(-1, 1, channels) if channels > 1 and canvas.sign() > 0 else np.ones(channels)
    step = canvas.tone(10, 60) * colour / np.abs(colour).max()
    return Covering(canvas.image + step, np.clip(depth / (0.5 * radius) + 0.3, 0, 1))


def warp(canvas: Canvas) -> Covering:
    """A dent: what is there is pushed aside, by nothing at the edge and most in the middle."""
    radius = canvas.pixels(8, 24)
    depth = canvas.outline(radius, roughness=0.1)
    push = canvas.between(0.15, 0.5) * radius * np.clip(depth / radius, 0, 1) ** 0.5
    direction = canvas.rng.uniform(0, 2 * np.pi)
    rows, columns = np.mgrid[: canvas.size[0], : canvas.size[1]].astype(np.float64)
    places = np.stack([rows + push * np.sin(direction), columns + push * np.cos(direction)])
    return Covering(canvas.looked_up(places), (depth > 0).astype(np.float64))
