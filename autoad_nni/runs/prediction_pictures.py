"""Pictures of predictions for images that nobody has labelled: image, map, and the map over the image."""

from __future__ import annotations

from typing import Any

from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Scorer
from autoad_nni.runs.drawing import GAP, beside, framed, line, pixels_of, stacked, tile_row, title_row
from autoad_nni.runs.map_colours import colour_bar, map_scale, number, scored_by_highest
from autoad_nni.runs.prediction import ChosenThreshold, FilePrediction
from autoad_nni.runs.sheet import tiles_of

__all__ = ["PredictionPictures"]

_BAR_WIDTH = 480
_COLOUR = {"defective": "#b00020", "good": "black"}


class PredictionPictures:
    """Draws predictions of one model, all in the same colours.

    Args:
        scorer: The model.
        threshold: Of the decisions.
    """

    def __init__(self, scorer: Scorer | Ensemble, threshold: ChosenThreshold) -> None:
        self._scale = map_scale(scorer, threshold.value)
        self._mark = threshold.value if scored_by_highest(scorer) else None
        self._threshold = threshold

    def picture(self, prediction: FilePrediction, name: str) -> Any:
        """Return an image's picture, complete in itself."""
        brightness = self._scale.brightness(prediction.anomaly_map)
        tiles = tiles_of(pixels_of(prediction.image), None, brightness, None)
        row = tile_row(tiles)
        title = line("map", 34)
        bar = colour_bar(self._scale, min(row.width, _BAR_WIDTH) - 34 - GAP, threshold=self._mark)
        lines = [line(name, row.width), *self._captions(prediction, row.width)]
        parts = [*lines, title_row(tiles), row, beside([title, bar])]
        if self._mark is None:
            parts.append(line("The score is not a value of the map: the threshold has no colour.", row.width))
        return framed(stacked(parts, gap=GAP))

    def _captions(self, prediction: FilePrediction, width: int) -> list[Any]:
        compared = "above" if prediction.decision == "defective" else "not above"
        words = f"{prediction.decision}: score {number(prediction.score)}, {compared} the threshold"
        origin = f"threshold {number(self._threshold.value)}: {self._threshold.origin}"
        colour = _COLOUR[prediction.decision]
        return [line(words, width, colour=colour), line(origin, width)]
