"""Plants defects into the good images of a set, whatever they show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from autoad_nni.data.planting.canvas import Canvas, Floats
from autoad_nni.data.planting.foreground import Foreground, find_object, have_background
from autoad_nni.data.planting.photograph import TEXTURES, photograph
from autoad_nni.data.planting.plant import Generator, plant
from autoad_nni.data.planting.settings import SIZES, STRENGTHS, WHOLE_SHARE
from autoad_nni.data.planting.whole import WHOLE
from autoad_nni.errors import AutoADError
from autoad_nni.registry import DEFECTS

__all__ = ["PlantedImage", "Planter"]

# Of the values of good images: a hot pixel would otherwise make all others dark.
_RANGE: Final = (0.001, 0.999)
_LEAST_RANGE: Final = 4 / 255
_LOOKED_AT: Final = 64
_TRIES: Final = 10
_WHOLE_TRIES: Final = 3


class PlantedImage(NamedTuple):
    """A good image that got a defect, or is wrong as a whole.

    Attributes:
        image: Values in [0, 1].
        mask: True where the defect is.
        kind: Name of the generator, or of one of `autoad_nni.data.planting.whole`.
        strength: From 0, hard to see, to 1, clear.

    Shape:
        ``image`` ``(channels, height, width)`` float32, ``mask`` ``(height, width)`` bool.
    """

    image: Tensor
    mask: Tensor
    kind: str
    strength: float


class Planter:
    """Plants defects into images of one set.

    Half of the images get a local defect. It lies on the object, where good images have an empty background; else
    anywhere. The other half are wrong as a whole (:mod:`autoad_nni.data.planting.whole`). Kind, size and strength are
    drawn (:mod:`autoad_nni.data.planting.settings`).

    Args:
        good: Good images of the set, of which pieces are pasted; some tens will do.
        kinds: Names of generators and of ways to be wrong as a whole; None for all there are.
        sizes: Smallest and largest factor by which lengths are multiplied.

    Shape:
        ``good`` ``(n, channels, height, width)`` in [0, 1].

    Example:
        >>> from autoad_nni.data import TaskOptions, load_task
        >>> good = load_task(TaskOptions(data="digits", abnormal=("uniform",), image_size=32)).train
        >>> planted = Planter(good[1:]).plant(good[0], np.random.default_rng(0))
        >>> planted.image.shape, bool(((planted.image == good[0]) | planted.mask).all())
        (torch.Size([1, 32, 32]), True)
    """

    def __init__(self, good: Tensor, kinds: Sequence[str] | None = None, sizes: tuple[float, float] = SIZES) -> None:
        self._good = good
        self.sizes = sizes
        self.kinds = (*DEFECTS.names(), *WHOLE) if kinds is None else tuple(kinds)
        self._generators: Mapping[str, Generator] = {
            kind: WHOLE[kind] if kind in WHOLE else DEFECTS.load(kind) for kind in self.kinds
        }
        looked_at = good[:: -(-len(good) // _LOOKED_AT)]
        low, high = np.quantile(looked_at.numpy(), _RANGE)
        self._low, self._span = float(low), max(float(high - low), _LEAST_RANGE)
        self.has_background = have_background([self._stretched(image) for image in looked_at])

    def plant(self, image: Tensor, rng: np.random.Generator) -> PlantedImage:
        """Plant one defect into a good image, or change all of it.

        Args:
            image: ``(channels, height, width)``, values in [0, 1].
            rng: Determines all about the defect.

        Raises:
            AutoADError: The image is so flat that no noticeable defect comes about.
        """
        pixels = self._stretched(image)
        found = find_object(pixels) if self.has_background else None
        for kind in self._in_random_order(rng):
            strength = float(rng.uniform(*STRENGTHS))
            if is_whole := kind in WHOLE:
                strength = 1.0
            canvas = self._canvas(pixels, None if is_whole else found, strength, rng)
            planted = plant(self._generators[kind], canvas, tries=_WHOLE_TRIES if is_whole else _TRIES)
            if planted is not None:
                mask = torch.from_numpy(planted.mask)
                changed = torch.from_numpy(planted.image / 255 * self._span + self._low).clamp(0, 1).movedim(2, 0)
                return PlantedImage(torch.where(mask, changed.float(), image), mask, kind, strength)
        raise AutoADError(
            "an image is so flat that no defect planted in it can be seen. Expected images that show something. "
            "Take it out, or give [[abnormal]]."
        )

    def _in_random_order(self, rng: np.random.Generator) -> list[str]:
        """All kinds: those of one sort, then the others, should none of these do."""
        is_whole = rng.random() < WHOLE_SHARE
        kinds = map(str, rng.permutation(self.kinds))
        return sorted(kinds, key=lambda kind: (kind in WHOLE) != is_whole)

    def _stretched(self, image: Tensor) -> Floats:
        return (image.movedim(0, 2).numpy().astype(np.float64) - self._low) / self._span * 255

    def _canvas(self, pixels: Floats, found: Foreground | None, strength: float, rng: np.random.Generator) -> Canvas:
        other = self._stretched(self._good[int(rng.integers(len(self._good)))])
        whole = float(min(pixels.shape[:2]))
        size = np.exp(rng.uniform(*np.log(self.sizes)))
        return Canvas(
            image=pixels,
            other=other,
            foreign=_piece_of_texture(pixels.shape, rng),
            strength=strength,
            rng=rng,
            side=size * (whole if found is None else min(found.side, whole)),
            on=None if found is None else found.on,
            background=None if found is None else found.background,
        )


def _piece_of_texture(shape: tuple[int, ...], rng: np.random.Generator) -> Floats:
    """A crop of a photograph of a texture, of a random size; in all channels the same."""
    pixels = photograph(str(rng.choice(TEXTURES)))
    height, width, channels = shape
    share = rng.uniform(0.25, 1) * len(pixels) / max(height, width)
    high, wide = max(1, int(height * share)), max(1, int(width * share))
    top, left = (int(rng.integers(len(pixels) - side + 1)) for side in (high, wide))
    crop = Image.fromarray(pixels[top : top + high, left : left + wide])
    resized = np.asarray(crop.resize((width, height), Image.Resampling.BILINEAR), np.float64)
    return np.repeat(resized[..., None], channels, axis=2)
