"""The test images that the winner finds hardest, its mistakes first, with what it saw in them."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from autoad_nni.runs.drawing import GAP, TEXT_SIZE, enlarged, slot_width
from autoad_nni.runs.mistakes import Group, group_images
from autoad_nni.runs.pictures import picture_files
from autoad_nni.runs.report.markup import Markup, element, paragraph
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.report.scale import short
from autoad_nni.runs.scores import ImageScores

__all__ = ["MOST_BYTES", "hardest", "tiles_in"]

MOST_BYTES: Final = 4_000_000
"""Of all pictures of a page, as they are written in it."""

_MOST_MISTAKES, _LEAST_SHOWN = 8, 4
_SIDE = 320
_TITLES = (("image", "reconstruction", "map", "map over image"), ("image", "map", "map over image"))


def hardest(data: ReportData) -> Markup:
    """Return the defects with the lowest and the good images with the highest scores; nothing without test scores."""
    if data.scores is None or data.scores.test is None or data.calibration is None or data.best is None:
        return Markup()
    test, words = data.scores.test, data.words
    if not np.isfinite(test.scores).all():
        return Markup()
    threshold = data.calibration.default().value
    missed, alarms, found, right = group_images(test.scores, test.labels, threshold)
    pictures = _Pictures(data.folder / "pictures", data.best.image_shape[1:], test)
    parts = [
        *_kind(
            f"{words.defects.capitalize()} with the lowest scores", missed, found, test, pictures, "missed", "found"
        ),
        *_kind(
            f"{words.good.capitalize()} with the highest scores", alarms, right, test, pictures, "false alarm", "passed"
        ),
    ]
    about = "Each image is shown with its map over it: the lighter, the more anomalous."
    if "pixel_auroc" in (data.best.validation or {}):
        about += " Green: contour of the defect's mask."
    if not os.path.exists(data.folder / "pictures"):
        about = "Pictures are drawn for sets with defects of their own only; this search has none."
    if pictures.is_full:
        about += " For the size of this page not all are shown; pictures/ has the others."
    return element("section", element("h2", "The hardest test images"), paragraph(about, kind="note"), *parts)


def _kind(
    title: str, wrong: Group, right: Group, test: ImageScores, pictures: _Pictures, mistake: str, otherwise: str
) -> list[Markup]:
    """The images of one kind that are hardest, or nothing if there are none of it."""
    if not wrong.n_of_kind:
        return []
    n_wrong, shown = len(wrong.images), list(wrong.images[:_MOST_MISTAKES])
    shown += right.images[: max(0, _LEAST_SHOWN - n_wrong)]
    counted = f"{n_wrong or 'None'} of {wrong.n_of_kind} {'is' if n_wrong == 1 else 'are'} {_plural(mistake, n_wrong)}"
    if n_wrong > len(shown):
        counted += f"; the worst {len(shown)} are shown"
    cards = [
        _card(i, test, pictures, element("b", mistake, class_="mistake") if i in wrong.images else otherwise)
        for i in shown
    ]
    return [element("h3", title), paragraph(f"{counted}."), element("ol", *cards, class_="cards")]


def _plural(mistake: str, n: int) -> str:
    return mistake if mistake == "missed" else f"{'a ' if n == 1 else ''}{mistake}{'' if n == 1 else 's'}"


def _card(i: int, test: ImageScores, pictures: _Pictures, said: str) -> Markup:
    name, score = test.names[i], short(float(test.scores[i]))
    images = [
        element("img", src=source, alt=f"{title} of {name}", width=width, height=height)
        for title, (source, width, height) in pictures.of(i).items()
    ]
    text = element("p", element("span", name, class_="name"), f" score {score}, ", said)
    return element("li", element("div", *images, class_="tiles-of"), text, class_="card")


class _Pictures:
    """Tiles of the pictures that the end of a search drew, as data within the page, up to `MOST_BYTES` together."""

    def __init__(self, folder: Path, sides: tuple[int, ...], test: ImageScores) -> None:
        self._folder, self._sides = folder, sides
        self._files = picture_files(test.names)
        self._left = MOST_BYTES
        self.is_full = False

    def of(self, i: int) -> Mapping[str, tuple[str, int, int]]:
        """Return source, width and height of an image and of its map, by title; none if they were not drawn."""
        try:
            with Image.open(self._folder / self._files[i]) as picture:
                tiles = tiles_in(picture.convert("RGB"), self._sides)
        except OSError:
            return {}
        found: dict[str, tuple[str, int, int]] = {
            title: _embedded(tiles[title]) for title in ("image", "map over image") if title in tiles
        }
        size = sum(len(source) for source, _, _ in found.values())
        if size > self._left:
            self.is_full = True
            return {}
        self._left -= size
        return found


def tiles_in(picture: Any, sides: tuple[int, ...]) -> dict[str, Any]:
    """Return the tiles of a picture of `autoad_nni.runs.pictures.write_pictures`, by title; none if it is no such one.

    Args:
        picture: A Pillow image.
        sides: Height and width of the model's images.
    """
    height, width = enlarged(np.zeros(sides, bool)).shape
    top = 3 * (TEXT_SIZE + 4 + GAP)  # two captions and the titles
    for titles in _TITLES:
        slot = slot_width(titles, width)
        if picture.width == len(titles) * (slot + GAP) - GAP and picture.height > top + height:
            lefts = [i * (slot + GAP) for i in range(len(titles))]
            boxes = [(left, top, left + width, top + height) for left in lefts]
            return {title: picture.crop(box) for title, box in zip(titles, boxes, strict=True)}
    return {}


def _embedded(tile: Any) -> tuple[str, int, int]:
    """A tile as a data URI, with width and height in pixels."""
    tile.thumbnail((_SIDE, _SIDE))
    content = io.BytesIO()
    tile.save(content, "JPEG", quality=85, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode()}", tile.width, tile.height
