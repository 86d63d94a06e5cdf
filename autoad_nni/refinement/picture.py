"""Pictures of a refinement: image, score map, 1 - Grad-CAM, saliency and refined map side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from autoad_nni.refinement.combine import Refinement
from autoad_nni.runs.pictures import heat

__all__ = ["picture"]

_LEAST_TILE = 128
_GAP, _TEXT_HEIGHT = 4, 14


def picture(image: Tensor, refinement: Refinement) -> Any:
    """Draw the maps of one image.

    The two maps of scores have a scale each, black at 0 and yellow at their highest value, which stands above: what
    refinement changes is where a map is high, while its values shrink. The two weights go from 0 to 1.

    Args:
        image: In [0, 1].
        refinement: Of this image alone.

    Shape:
        image ``(1, 1 or 3, h, w)``; each map ``(1, 1, h, w)``.

    Returns:
        A Pillow image.
    """
    score_map, kept, saliency, refined = (values[0, 0].cpu().numpy() for values in refinement)
    pixels = (image[0].clamp(0, 1) * 255).round().expand(3, -1, -1).permute(1, 2, 0).cpu().numpy().astype(np.uint8)
    tiles = {"image": pixels}
    for title, values, highest in (
        (f"score map, up to {score_map.max():.3g}", score_map, score_map.max()),
        ("1 - Grad-CAM", kept, 1.0),
        ("saliency", saliency, 1.0),
        (f"refined map, up to {refined.max():.3g}", refined, refined.max()),
    ):
        # A map of zeros only has no scale.
        tiles[title] = heat(values, low=0.0, high=float(highest) or 1.0)
    scale = -(-_LEAST_TILE // min(pixels.shape[:2]))  # a whole number: pixels stay squares
    height, width = (side * scale for side in pixels.shape[:2])
    drawn = Image.new("RGB", (len(tiles) * (width + _GAP) - _GAP, height + _TEXT_HEIGHT), "white")
    write = ImageDraw.Draw(drawn)
    for number, (title, tile) in enumerate(tiles.items()):
        left = number * (width + _GAP)
        write.text((left + 2, 1), title, fill="black")
        drawn.paste(Image.fromarray(np.kron(tile, np.ones((scale, scale, 1), np.uint8))), (left, _TEXT_HEIGHT))
    return drawn
