"""Pictures of a refinement: image, score map, 1 - Grad-CAM, saliency and refined map side by side."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from autoad_nni.refinement.combine import Refinement
from autoad_nni.runs.drawing import enlarged, pixels_of, stacked, tile_row, title_row
from autoad_nni.runs.map_colours import heat

__all__ = ["picture"]


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
    tiles = {"image": pixels_of(image[0])}
    for title, values, highest in (
        (f"score map, up to {score_map.max():.3g}", score_map, score_map.max()),
        ("1 - Grad-CAM", kept, 1.0),
        ("saliency", saliency, 1.0),
        (f"refined map, up to {refined.max():.3g}", refined, refined.max()),
    ):
        # A map of zeros only has no scale.
        tiles[title] = heat(values, low=0.0, high=float(highest) or 1.0)
    tiles = {title: enlarged(tile) for title, tile in tiles.items()}
    return stacked([title_row(tiles), tile_row(tiles)])
