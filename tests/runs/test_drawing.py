from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from autoad_nni.runs.drawing import (
    TEXT_SIZE,
    beside,
    contour,
    drawable,
    enlarged,
    line,
    paragraph,
    pixels_of,
    shortened,
    stacked,
    tile_row,
    title_row,
    typeface,
)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("test/good/a b.png", "test/good/a b.png"),
        ("Löcher", "Locher"),
        ("孔\n1", "\\u5b54\\n1"),
        ("ß", "\\xdf"),
        ("\udcff", "\\udcff"),  # of a name that is no UTF-8
        ("", ""),
    ],
)
def test_letters_that_the_font_lacks(text: str, drawn: str) -> None:
    assert drawable(text) == drawn


def test_the_font_has_all_that_is_drawn() -> None:
    missing = bytes(typeface(TEXT_SIZE).getmask("\uffff"))
    assert all(bytes(typeface(TEXT_SIZE).getmask(chr(code))) != missing for code in range(ord("!"), ord("~") + 1))


def test_long_names_lose_their_middle() -> None:
    name = "scratch/" + 30 * "camera_" + "0123.png"
    short = shortened(name, 200)
    assert typeface(TEXT_SIZE).getlength(short) <= 200 < typeface(TEXT_SIZE).getlength(short + "__")
    left, right = short.split("...")
    assert name.startswith(left) and name.endswith(right) and right.endswith("0123.png")
    assert shortened("0123.png", 200) == "0123.png"


def ink(picture: Image.Image) -> int:
    return int((np.asarray(picture) < 128).any(2).sum())


def test_no_text_leaves_its_width() -> None:
    text = "word " * 30
    assert line(text, 100).size == (100, TEXT_SIZE + 4)
    broken = paragraph(text, 200)
    assert broken.width == 200 and broken.height > 3 * TEXT_SIZE
    assert 0.95 < ink(broken) / (30 * ink(line("word", 100))) < 1.05, "every word is there"


def test_pictures_below_and_beside_one_another() -> None:
    red, blue = Image.new("RGB", (3, 2), "red"), Image.new("RGB", (2, 4), "blue")
    below, side = np.asarray(stacked([red, blue], gap=1)), np.asarray(beside([red, blue], gap=1))
    assert below.shape == (7, 3, 3) and side.shape == (4, 6, 3)
    assert (below[:2, :, 0] == 255).all() and (below[2] == 0xEE).all() and (below[3:, :2] == (0, 0, 255)).all()
    assert (side[:2, :3] == (255, 0, 0)).all() and (side[:, 3] == 0xEE).all() and (side[:, 4:] == (0, 0, 255)).all()


def test_tiles_stand_below_their_titles() -> None:
    narrow = np.zeros((9, 20, 3), np.uint8)
    tiles = {"a": narrow, "a title that is wider than any tile": narrow + 100}
    titles, row = title_row(tiles), np.asarray(tile_row(tiles))
    assert titles.width == row.shape[1]
    starts = [x for x in range(1, row.shape[1]) if row[0, x, 0] < 0xEE and row[0, x - 1, 0] == 0xEE]
    assert (row[:, :20] == 0).all() and starts == [(titles.width + 4) // 2]
    assert ink(titles.crop((starts[0], 0, starts[0] + 10, 20))) > 0, "begins above its tile"


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((8, 8), (128, 128)),
        ((100, 100), (200, 200)),
        ((8, 224), (16, 448)),
        ((224, 40), (448, 80)),
        ((600, 9), (600, 9)),
    ],
)
def test_a_strip_is_enlarged_by_its_longer_side(shape: tuple[int, int], size: tuple[int, int]) -> None:
    assert enlarged(np.zeros((*shape, 3))).shape == (*size, 3)


def test_pixels_stay_squares() -> None:
    values = np.arange(64 * 64).reshape(64, 64)
    assert (enlarged(values) == np.kron(values, np.ones((2, 2), int))).all()


def test_the_contour_is_one_pixel_wide_and_closed_at_the_border() -> None:
    mask = np.zeros((9, 9), bool)
    mask[2:7, 3:9] = True
    assert contour(mask).sum() == 2 * (5 + 6) - 4 and not (contour(mask) & ~mask).any()


def test_grey_and_coloured_images() -> None:
    grey = pixels_of(torch.tensor([[[0.0, 0.5, 1.2]]]))
    assert grey.tolist() == [[[0, 0, 0], [128, 128, 128], [255, 255, 255]]]
    assert pixels_of(torch.tensor([[[1.0]], [[0.0]], [[-1.0]]])).tolist() == [[[255, 0, 0]]]
