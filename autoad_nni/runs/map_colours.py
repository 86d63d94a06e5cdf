"""Colours of maps: one scale for all maps of a model, and the bar that explains it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Scorer
from autoad_nni.runs.drawing import BACKGROUND, TEXT_SIZE, Pixels, typeface

__all__ = ["MapScale", "colour_bar", "heat", "map_scale", "number", "scored_by_highest"]

Values = npt.NDArray[np.floating[Any]]

# Black, violet, orange, yellow: brightness rises evenly, so that the order is visible in grey too.
_COLOURS: Final = np.array([(0, 0, 8), (84, 16, 108), (188, 54, 84), (248, 142, 8), (252, 254, 164)], np.float64)
# In deviations of normal images' pixels, above their mean. Smoothed maps of good images seldom exceed the middle one.
_LOW, _USUAL = 2.0, 6.0
# Of the way from the low to the usual value; what is above looks alike.
_HIGH = 4.0
_BAR_HEIGHT, _TICK, _N_TICKS = 14, 5, 5


def heat(values: Values, *, low: float, high: float) -> Pixels:
    """Return a map ``(height, width)`` in colours ``(height, width, 3)``: black up to ``low``, yellow from ``high`` on.

    Example:
        >>> heat(np.array([[0.0, 1.0]]), low=0.0, high=1.0).tolist()
        [[[0, 0, 8], [252, 254, 164]]]
    """
    place = np.clip((values - low) / (high - low), 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.stack(channels, -1).round().astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class MapScale:
    """The brightness that pixels of maps are drawn with: about linear up to the usual value, logarithmic above.

    On a linear scale, beside a defect of a hundred times the usual value, one of ten times would be as black as the
    normal pixels, although it is found as well.

    Args:
        low: Has brightness 0, as has everything below.
        usual: The usual highest value of normal pixels, above ``low``.
        high: Has brightness 1, as has everything above.

    Example:
        >>> scale = MapScale(low=0.0, usual=1.0, high=100.0)
        >>> scale.brightness(np.array([-1.0, 0.0, 1.0, 10.0, 1000.0])).round(2).tolist()
        [0.0, 0.0, 0.15, 0.52, 1.0]
    """

    low: float
    usual: float
    high: float

    def brightness(self, values: Values) -> Values:
        """Return the brightness of values, 0 to 1."""
        shares: Values = self._log(values) / self._log(np.array(self.high))
        return np.minimum(shares, 1)

    def _log(self, values: Values) -> Values:
        logs: Values = np.log1p(np.maximum(values - self.low, 0) / (self.usual - self.low))
        return logs

    def value(self, brightness: float) -> float:
        """Return the value that has this brightness, 0 to 1."""
        spread = self.usual - self.low
        return self.low + spread * math.expm1(brightness * float(self._log(np.array(self.high))))


def map_scale(scorer: Scorer | Ensemble, threshold: float | None = None) -> MapScale:
    """Return the colours of maps: those of the model, not of the images, so that a good image alone stays dark.

    Args:
        scorer: The model. Normal images that it was not trained on give the unit.
        threshold: Of scores, if there is one. Where the score is the highest value of the map, the usual highest value.
    """
    mean, deviation = (0.0, 1.0) if isinstance(scorer, Ensemble) else scorer.detector.normal_map.tolist()
    low = mean + _LOW * deviation
    spread = (_USUAL - _LOW) * deviation
    if threshold is not None and scored_by_highest(scorer):
        spread = max(threshold - low, deviation)
    spread = max(spread, max(abs(low), 1.0) * 1e-6)  # normal maps may be flat
    return MapScale(low=low, usual=low + spread, high=low + _HIGH * spread)


def scored_by_highest(scorer: Scorer | Ensemble) -> bool:
    """Whether an image's score is the highest value of its map, so that the threshold is a colour."""
    if isinstance(scorer, Ensemble):
        return False
    if scorer.settings.patch is not None:
        return True
    return scorer.reading.score_from_map and scorer.reading.pooling == "max"


def number(value: float) -> str:
    """Return a number with four significant digits, without an exponent where one can do without.

    Example:
        >>> [number(value) for value in (0.123456, 1.0, 98765.4, 1.5e-7)]
        ['0.1235', '1', '98765', '1.5e-07']
    """
    return f"{value:.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def colour_bar(scale: MapScale, width: int, *, threshold: float | None = None) -> Any:
    """Return a picture of the scale with the values of its colours below it.

    Args:
        scale: Of the maps.
        width: In pixels.
        threshold: Marked above the bar, if it lies on the scale.
    """
    top = 0 if threshold is None else TEXT_SIZE + 2 * _TICK
    drawn = Image.new("RGB", (width, top + _BAR_HEIGHT + _TICK + TEXT_SIZE + 2), BACKGROUND)
    bar = heat(np.linspace(0, 1, width)[None].repeat(_BAR_HEIGHT, 0), low=0.0, high=1.0)
    drawn.paste(Image.fromarray(bar), (0, top))
    draw = ImageDraw.Draw(drawn)
    bottom = top + _BAR_HEIGHT
    for brightness in np.linspace(0, 1, _N_TICKS):
        x = round(brightness * (width - 1))
        draw.line((x, bottom, x, bottom + _TICK - 2), fill="black")
        _centred(draw, x, bottom + _TICK, number(scale.value(brightness)), width)
    if threshold is not None and scale.low <= threshold <= scale.high:
        x = round(float(scale.brightness(np.array(threshold))) * (width - 1))
        draw.line((x, top - _TICK, x, top), fill="black", width=2)
        draw.line((x, top, x, bottom - 1), fill="white", width=2)
        _centred(draw, x, 0, f"threshold {number(threshold)}", width)
    return drawn


def _centred(draw: Any, x: int, y: int, text: str, width: int) -> None:
    """Write a text around ``x``, within the width."""
    length = typeface(TEXT_SIZE).getlength(text)
    draw.text((min(max(x - length / 2, 0), width - length), y), text, fill="black", font=typeface(TEXT_SIZE))
