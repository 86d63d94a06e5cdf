"""The contact sheet of a model: what it sees in each image, the worst mistakes first."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data import LabelledImages
from autoad_nni.runs.drawing import (
    CONTOUR,
    GAP,
    Pixels,
    beside,
    contour,
    enlarged,
    framed,
    line,
    paragraph,
    pixels_of,
    stacked,
    tile_row,
    title_row,
)
from autoad_nni.runs.map_colours import MapScale, colour_bar, heat, number
from autoad_nni.runs.mistakes import Group, caption, choose, group_images, heading, summary

__all__ = ["DrawnImages", "contact_sheet", "explanations", "tiles_of"]

_MAX_ON_SHEET = 48
# Fits a screen, so that the text is read at its own size.
_SHEET_WIDTH = 1880
_CELL_GAP = 20
_BAR_WIDTH = 480
_WRONG, _OTHER = "#b00020", "#37474f"
# So that the image is still seen where the map is highest.
_OPACITY = 0.7


class DrawnImages:
    """A model's view of images, ready to be drawn.

    Args:
        images: What was predicted.
        scores: One per image.
        maps: One per image.
        reconstructions: As the images; None for a model without any.
        scale: The colours of the maps.
        threshold: Images that score more are called defects; None: no image is called anything.

    Shape:
        ``scores`` ``(n,)``; ``maps`` ``(n, height, width)``.
    """

    def __init__(
        self,
        *,
        images: LabelledImages,
        scores: npt.NDArray[np.floating[Any]],
        maps: npt.NDArray[np.floating[Any]],
        reconstructions: Tensor | None,
        scale: MapScale,
        threshold: float | None = None,
    ) -> None:
        self.images, self.scores, self.maps, self.reconstructions = images, scores, maps, reconstructions
        self.scale, self.threshold = scale, threshold
        labels = images.labels.numpy()
        self.names = images.names or tuple(f"{i:06d}" for i in range(len(maps)))
        self.groups = [group for group in group_images(scores, labels, threshold) if group.n_of_kind]
        self.scored_by_highest = bool(np.allclose(scores, maps.max((1, 2)), rtol=1e-4))
        self._group_of = {i: group for group in self.groups for i in group.images}

    def tiles(self, i: int) -> dict[str, Pixels]:
        """Return what is drawn of an image, by title."""
        return tiles_of(
            pixels_of(self.images.images[i]),
            None if self.reconstructions is None else pixels_of(self.reconstructions[i]),
            self.scale.brightness(self.maps[i]),
            None if self.images.masks is None else self.images.masks[i].numpy(),
        )

    def picture(self, i: int) -> Any:
        """Return one image's picture, complete in itself."""
        tiles = self.tiles(i)
        row = tile_row(tiles)
        return stacked([*self._captions(i, row.width), title_row(tiles), row, self.bar(row.width)], gap=GAP)

    def cell(self, i: int) -> Any:
        """Return one image's part of the sheet, where titles and bar are at the top."""
        row = tile_row(self.tiles(i))
        return stacked([*self._captions(i, row.width), row])

    def bar(self, width: int) -> Any:
        """Return the colour bar, with the threshold if it says something about colours."""
        mark = self.threshold if self.scored_by_highest else None
        title = line("map", 34)
        return beside([title, colour_bar(self.scale, min(width, _BAR_WIDTH) - 34 - GAP, threshold=mark)])

    def _captions(self, i: int, width: int) -> list[Any]:
        group = self._group_of[i]
        colour = _WRONG if group.is_mistake else "black"
        words = caption(group, float(self.scores[i]), self.threshold)
        return [line(self.names[i], width), line(words, width, colour=colour)]


def tiles_of(
    image: Pixels,
    reconstruction: Pixels | None,
    brightness: npt.NDArray[np.floating[Any]],
    mask: npt.NDArray[np.bool_] | None,
) -> dict[str, Pixels]:
    """Return the tiles of an image by title, enlarged: the more anomalous, the more of the map lies over the image.

    Args:
        image: The image.
        reconstruction: Of the same shape; None for a model without one.
        brightness: Of the map, ``(height, width)``, 0 to 1.
        mask: ``(height, width)``, its contour is drawn; or None.
    """
    colours = heat(brightness, low=0.0, high=1.0)
    opacity = _OPACITY * np.sqrt(brightness)[..., None]
    tiles = {"image": image} if reconstruction is None else {"image": image, "reconstruction": reconstruction}
    tiles |= {"map": colours, "map over image": ((1 - opacity) * image + opacity * colours).round().astype(np.uint8)}
    tiles = {title: enlarged(tile) for title, tile in tiles.items()}
    if mask is not None:
        tiles["map over image"][contour(enlarged(mask))] = CONTOUR
    return tiles


def contact_sheet(drawn: DrawnImages, *, title: str = "", origin: str = "") -> Any:
    """Return up to 48 of the images on one sheet, in groups, each with a line that counts its images.

    Args:
        drawn: The images.
        title: First line.
        origin: Where the threshold comes from.
    """
    chosen = choose(drawn.groups, _MAX_ON_SHEET)
    first = next(part[0] for part in chosen if part)
    cell_width = drawn.cell(first).width
    n_columns = max(1, (_SHEET_WIDTH + _CELL_GAP) // (cell_width + _CELL_GAP))
    width = n_columns * (cell_width + _CELL_GAP) - _CELL_GAP
    lines = [paragraph(text, width) for text in explanations(drawn, summary(drawn.groups, chosen), origin)]
    if title:
        lines.insert(0, line(title, width, size=24))
    parts = [stacked(lines, gap=GAP), drawn.bar(width)]
    for group, shown in zip(drawn.groups, chosen, strict=True):
        parts.append(_band(group, len(shown), width))
        rows = [shown[i : i + n_columns] for i in range(0, len(shown), n_columns)]
        if rows:
            parts.append(beside([title_row(drawn.tiles(first))] * len(rows[0]), gap=_CELL_GAP))
        parts += [beside([drawn.cell(i) for i in row], gap=_CELL_GAP) for row in rows]
    return framed(stacked(parts, gap=3 * GAP))


def _band(group: Group, n_shown: int, width: int) -> Any:
    background = _WRONG if group.is_mistake and group.images else _OTHER
    return line(heading(group, n_shown), width, size=18, colour="white", background=background, indent=2 * GAP)


def explanations(drawn: DrawnImages, shown: str, origin: str) -> list[str]:
    """Return the lines at the head of a sheet.

    Args:
        drawn: The images.
        shown: How many of how many are shown.
        origin: Where the threshold comes from; "" to leave it out.
    """
    lines = [shown]
    if drawn.threshold is not None:
        lines.append(f"Threshold {number(drawn.threshold)}{': ' if origin else ''}{origin}.")
    if drawn.scored_by_highest:
        lines.append("An image's score is the highest value of its map.")
    else:
        lines.append("An image's score is not the highest value of its map: a dark map can have a high score.")
    if drawn.images.masks is not None:
        lines.append("Green: contour of the defect's mask.")
    return lines
