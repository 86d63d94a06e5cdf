"""Readings: how the maps of distance and code become one map and one number for each image."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni.errors import AutoADError
from autoad_nni.models.fitted import FittedModule

__all__ = ["PARTS", "POOLINGS", "READINGS", "WHOLE", "Reader", "Reading", "pool"]

PARTS: Final = ("distance", "code", "both")
POOLINGS: Final = ("max", "top1", "top5", "mean")
_SHARES: Final = {"top1": 0.01, "top5": 0.05}

# Statistics of a place count as much as those of all places when they rest on so many images.
_EQUAL_WEIGHT = 10
# Of the deviation at all places; a place where normal images hardly differ must not outweigh all others.
_LEAST_DEVIATION = 0.05


@dataclass(frozen=True)
class Reading:
    """How the map and the score of an image come from a trained model.

    Attributes:
        part: ``distance``, ``code`` (the hypothesis's score at each location) or ``both``, their sum. ``whole``: the
            score is that of Eq. 2 for the whole image, and does not come from the map that is shown.
        by_place: Whether a location is measured by the mean and deviation of normal images at that location, instead
            of those at all locations.
        pooling: The image's score: the highest value of its map, the mean of its highest 1 or 5 %, or the mean.
        two_sided: Whether a location below the mean of normal images is anomalous too: a smooth spot in a rough texture
            is more probable than the texture, but it is not normal.

    Example:
        >>> Reading("both", True, "top1").name
        'both/by_place/top1'
        >>> Reading.parse("both/by_place/top1") == Reading("both", True, "top1"), WHOLE.name
        (True, 'whole')
    """

    part: str
    by_place: bool = False
    pooling: str = "max"
    two_sided: bool = False

    @property
    def name(self) -> str:
        """The form in which it is recorded."""
        if self.part == "whole":
            return "whole"
        sides = "_two_sided" if self.two_sided else ""
        return f"{self.part}/{'by_place' if self.by_place else 'raw'}{sides}/{self.pooling}"

    @property
    def score_from_map(self) -> bool:
        """Whether the score is a number of the map that is shown."""
        return self.part != "whole"

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts whose maps its map is made of."""
        return {"whole": ("distance",), "both": ("distance", "code")}.get(self.part, (self.part,))

    @classmethod
    def parse(cls, name: str) -> Reading:
        """Read a `name`; AutoADError if it is none."""
        for reading in (WHOLE, *READINGS):
            if reading.name == name:
                return reading
        raise AutoADError(
            f"The reading is {name!r}. Expected whole, or PART/PLACE/POOLING with {', '.join(PARTS)}, raw or by_place, "
            f"also raw_two_sided and by_place_two_sided, and {', '.join(POOLINGS)}. Restore the file that has it."
        )


WHOLE: Final = Reading("whole")
READINGS: Final = tuple(
    Reading(part, by_place, pooling, two_sided)
    for part, by_place, two_sided, pooling in itertools.product(PARTS, (False, True), (False, True), POOLINGS)
)


class Reader(FittedModule):
    r"""Measures the maps of a model by those of normal images, and joins them.

    With mean :math:`\mu` and deviation :math:`\sigma` of a part over normal images, at all locations or at each, a map
    is :math:`(m - \mu) / \sigma`, or its absolute value: so distance and code are on one scale. Those of a location
    rest on one value of each image, so they are shrunk to those of all locations: mean and variance are weighted means,
    the weight of the location's own is :math:`n / (n + 10)`.

    Maps of different sizes are enlarged to the image bilinearly before they are added. A part that is equal everywhere
    on normal images tells nothing: no reading has it.

    Not given by the paper, which has no maps of codes.

    Shape:
        - maps of parts: ``(batch, 1, h, w)``, of any size
        - output of `join`: the same, of the parts' size; of the image's size where theirs differ
    """

    reading: Reading

    def __init__(self) -> None:
        super().__init__()
        self.reading = WHOLE
        for part in ("distance", "code"):
            for name in ("mean", "deviation", "place_mean", "place_deviation"):
                self.register_buffer(f"{part}_{name}", torch.empty(0))

    def fit(self, maps: Mapping[str, Tensor]) -> None:
        """Take the statistics of normal images that the model was not trained on.

        Args:
            maps: ``distance`` and, where there is a map of the code, ``code``.
        """
        for part, values in maps.items():
            mean, variance = values.mean(), values.var(correction=0)
            weight = len(values) / (len(values) + _EQUAL_WEIGHT)
            place_variance = weight * values.var(0, correction=0) + (1 - weight) * variance
            self._set(part, "mean", mean)
            self._set(part, "deviation", variance.sqrt())
            self._set(part, "place_mean", weight * values.mean(0) + (1 - weight) * mean)
            deviation = place_variance.sqrt()
            self._set(part, "place_deviation", deviation.clamp(min=float(_LEAST_DEVIATION * deviation.mean())))

    @property
    def parts(self) -> tuple[str, ...]:
        """The parts that have statistics, and are not equal everywhere on normal images."""
        return tuple(part for part in ("distance", "code") if self._tells(part))

    def readings(self) -> tuple[Reading, ...]:
        """The readings that can be told apart with these parts, the whole image's number first."""
        parts = self.parts
        known = (*parts, "both") if len(parts) == 2 else parts
        return (WHOLE, *(reading for reading in READINGS if reading.part in known))

    def join(self, maps: Mapping[str, Tensor], reading: Reading, size: tuple[int, int]) -> Tensor:
        """Return the map of a reading, before it is smoothed.

        Args:
            maps: As in `fit`; at least those of the reading's parts.
            reading: Other than `WHOLE`.
            size: Height and width of the image.

        Returns:
            ``(batch, 1, h, w)``, of the size of the maps; of the image's size where theirs differ.
        """
        standardized = [self._standardized(part, maps[part], reading) for part in reading.parts]
        if any(each.shape != standardized[0].shape for each in standardized):
            standardized = [
                F.interpolate(each, size=size, mode="bilinear", align_corners=False) for each in standardized
            ]
        return torch.stack(standardized).sum(0)

    def get_extra_state(self) -> Tensor:
        """The reading's name, so that weights on disk are read as they were chosen to be."""
        return torch.tensor(list(self.reading.name.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Tensor) -> None:
        """Take the reading from a saved state."""
        self.reading = Reading.parse(bytes(state.tolist()).decode())

    def _standardized(self, part: str, values: Tensor, reading: Reading) -> Tensor:
        prefix = f"{part}_place_" if reading.by_place else f"{part}_"
        mean, deviation = getattr(self, f"{prefix}mean"), getattr(self, f"{prefix}deviation")
        standardized: Tensor = (values - mean.to(values.device)) / deviation.to(values.device)
        return standardized.abs() if reading.two_sided else standardized

    def _set(self, part: str, name: str, value: Tensor) -> None:
        before: Tensor = getattr(self, f"{part}_{name}")
        setattr(self, f"{part}_{name}", value.detach().clone().to(before.device))

    def _tells(self, part: str) -> bool:
        deviation = getattr(self, f"{part}_deviation")
        if deviation.numel() == 0:
            return False
        # Of the mean: below it is rounding.
        return bool(deviation > 1e-6 * getattr(self, f"{part}_mean").abs())


def pool(maps: Tensor, pooling: str) -> Tensor:
    """Return one number for each map, ``(batch,)``.

    Args:
        maps: ``(batch, 1, height, width)``.
        pooling: One of `POOLINGS`.

    Example:
        >>> maps = torch.arange(200.0).view(1, 1, 10, 20)
        >>> [pool(maps, pooling).item() for pooling in POOLINGS]
        [199.0, 198.5, 194.5, 99.5]
    """
    values = maps.flatten(1)
    if pooling == "max":
        return values.amax(1)
    if pooling == "mean":
        return values.mean(1)
    return values.topk(max(1, round(_SHARES[pooling] * values.shape[1])), 1).values.mean(1)
