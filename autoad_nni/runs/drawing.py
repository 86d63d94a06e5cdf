"""Parts of pictures: pixels, text and rows of titled tiles, put beside or below one another."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps

__all__ = [
    "BACKGROUND",
    "CONTOUR",
    "GAP",
    "TEXT_SIZE",
    "Pixels",
    "beside",
    "contour",
    "drawable",
    "enlarged",
    "framed",
    "line",
    "paragraph",
    "pixels_of",
    "shortened",
    "slot_width",
    "stacked",
    "tile_row",
    "title_row",
    "typeface",
]

Pixels = npt.NDArray[np.uint8]
"""``(height, width, 3)``."""

TEXT_SIZE: Final = 16
GAP: Final = 4
CONTOUR: Final = (64, 255, 64)
# Not white: many photographs are, and where they end would not be seen.
BACKGROUND: Final = "#eeeeee"

_LEAST_TILE, _MOST_TILE = 128, 512
# With three of them, the line about a score fits above.
_LEAST_SLOT = 140


@cache
def typeface(size: int) -> Any:
    """Return Pillow's own font, the same on every machine."""
    return ImageFont.load_default(size=size)


def drawable(text: str) -> str:
    r"""Return the text in printable ASCII, all that the font has: accents are dropped, other letters escaped.

    Example:
        >>> print(drawable("Löcher/孔.png"))
        Locher/\u5b54.png
    """
    return "".join(_in_ascii(letter) for letter in text)


def _in_ascii(letter: str) -> str:
    base = "".join(part for part in unicodedata.normalize("NFKD", letter) if not unicodedata.combining(part))
    if base and all(" " <= part <= "~" for part in base):
        return base
    return letter.encode("unicode_escape").decode("ascii")


def shortened(text: str, width: int, size: int = TEXT_SIZE) -> str:
    """Return the text without its middle if it is wider than ``width`` pixels: names differ at their ends.

    Example:
        >>> shortened("test/scratch/0001.png", 120)
        'test/sc...001.png'
    """
    measure = typeface(size).getlength
    if measure(text) <= width:
        return text

    def without_middle(n_left: int) -> str:
        return f"{text[: n_left // 2]}...{text[len(text) - (n_left - n_left // 2) :]}"

    fits = bisect_right(range(len(text)), width, key=lambda n_left: measure(without_middle(n_left)))
    return without_middle(max(fits - 1, 0))


def line(
    text: str,
    width: int,
    *,
    size: int = TEXT_SIZE,
    colour: str = "black",
    background: str = BACKGROUND,
    indent: int = 0,
) -> Any:
    """Return a picture of one line of text, shortened if it is too long."""
    drawn = Image.new("RGB", (width, size + 4), background)
    fitting = shortened(drawable(text), width - indent, size)
    ImageDraw.Draw(drawn).text((indent, (size + 4) // 2), fitting, fill=colour, font=typeface(size), anchor="lm")
    return drawn


def paragraph(text: str, width: int, *, size: int = TEXT_SIZE) -> Any:
    """Return a picture of a text, broken into lines where it is too long."""
    lines = [""]
    for word in drawable(text).split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and typeface(size).getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return stacked([line(words, width, size=size) for words in lines])


def stacked(pictures: Sequence[Any], *, gap: int = 0) -> Any:
    """Return pictures below one another."""
    height = sum(picture.height for picture in pictures) + gap * (len(pictures) - 1)
    drawn = Image.new("RGB", (max(picture.width for picture in pictures), height), BACKGROUND)
    top = 0
    for picture in pictures:
        drawn.paste(picture, (0, top))
        top += picture.height + gap
    return drawn


def beside(pictures: Sequence[Any], *, gap: int = GAP) -> Any:
    """Return pictures beside one another."""
    width = sum(picture.width for picture in pictures) + gap * (len(pictures) - 1)
    drawn = Image.new("RGB", (width, max(picture.height for picture in pictures)), BACKGROUND)
    left = 0
    for picture in pictures:
        drawn.paste(picture, (left, 0))
        left += picture.width + gap
    return drawn


def framed(picture: Any, width: int = 12) -> Any:
    """Return a picture with a margin."""
    return ImageOps.expand(picture, width, BACKGROUND)


def tile_row(tiles: Mapping[str, Pixels]) -> Any:
    """Return tiles of equal size beside one another, by title, as far apart as the titles need."""
    pictures = [Image.new("RGB", (_slot_of(tiles), tile.shape[0]), BACKGROUND) for tile in tiles.values()]
    for picture, tile in zip(pictures, tiles.values(), strict=True):
        picture.paste(Image.fromarray(tile), (0, 0))
    return beside(pictures)


def title_row(tiles: Mapping[str, Pixels]) -> Any:
    """Return the titles of tiles, to go above `tile_row`."""
    return beside([line(title, _slot_of(tiles)) for title in tiles])


def slot_width(titles: Iterable[str], width: int) -> int:
    """Return the width of the place that each tile of a row has, for tiles of a width."""
    slot: int = max(_LEAST_SLOT, width, *(math.ceil(typeface(TEXT_SIZE).getlength(title)) for title in titles))
    return slot


def _slot_of(tiles: Mapping[str, Pixels]) -> int:
    return slot_width(tiles, max(tile.shape[1] for tile in tiles.values()))


def pixels_of(image: torch.Tensor) -> Pixels:
    """Return an image ``(1 or 3, height, width)`` in [0, 1] as ``(height, width, 3)``."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
    return pixels.permute(1, 2, 0).cpu().numpy()


def enlarged(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return pixels ``(height, width, ...)`` as large as they are drawn.

    The factor is a whole number, so that pixels stay squares: the shorter side has 128 pixels or more, unless the
    longer one then had more than 512.

    Example:
        >>> [enlarged(np.zeros(shape)).shape for shape in ((28, 28, 3), (40, 224), (224, 224))]
        [(140, 140, 3), (80, 448), (224, 224)]
    """
    height, width = values.shape[:2]
    factor = max(1, min(-(-_LEAST_TILE // min(height, width)), _MOST_TILE // max(height, width)))
    return values.repeat(factor, 0).repeat(factor, 1)


def contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """Return the pixels of a mask that touch its outside, also at the border of the image."""
    around = np.pad(mask, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    edge: npt.NDArray[np.bool_] = mask & ~inside
    return edge
