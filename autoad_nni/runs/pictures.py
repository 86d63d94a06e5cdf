"""Pictures of a model at work: image, reconstruction, map and overlay side by side."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw

from autoad_nni.data import LabelledImages
from autoad_nni.models.scoring import Scorer, predict, reconstruct
from autoad_nni.storing import replace_file, storing

__all__ = ["contact_sheet", "drawable", "heat", "picture_files", "shades", "side_by_side", "write_pictures"]

Pixels = npt.NDArray[np.uint8]

_LEAST_TILE, _MOST_TILE = 128, 512
_GAP, _TEXT_HEIGHT, _SHEET_COLUMNS = 4, 14, 2
_MAX_ON_SHEET = 48
_CONTOUR = (64, 255, 64)
# Black, violet, orange, yellow: brightness rises evenly, so that the order is visible in grey too.
_COLOURS: Final = np.array([(0, 0, 8), (84, 16, 108), (188, 54, 84), (248, 142, 8), (252, 254, 164)], np.float64)


def write_pictures(folder: Path, scorer: Scorer, images: LabelledImages, *, title: str = "") -> Path:
    """Write a PNG for each image into a folder, and a contact sheet of up to 48 of them beside it.

    All maps have one scale of colours, that of `shades`: black at the median of the normal images' pixels, yellow at
    the 99.5th percentile of the maps' highest values.

    Args:
        folder: Created if missing; `picture_files` names the files in it.
        scorer: The model.
        images: Test images, drawn with the contours of their masks.
        title: Begins the first line of the contact sheet.

    Returns:
        The contact sheet, ``FOLDER.png``.

    Raises:
        StorageError: A file cannot be written.
        RejectedTrial: A score or a map is not finite.
    """
    maps = predict(scorer, images.images).anomaly_map[:, 0].numpy()
    reconstructions = reconstruct(scorer, images.images)
    shaded = shades(maps, normal=maps[images.labels.numpy() == 0])
    high = max(float(np.quantile(shaded.max((1, 2)), 0.995)), 1e-12)
    names = images.names or tuple(f"{i:06d}" for i in range(len(maps)))
    tiles = []
    for i, (name, file) in enumerate(zip(names, picture_files(names), strict=True)):
        mask = None if images.masks is None else images.masks[i].numpy()
        picture = side_by_side(
            _pixels(images.images[i]), _pixels(reconstructions[i]), heat(shaded[i], low=0.0, high=high), mask
        )
        _save(picture, folder / file)
        tiles.append((name, picture))
    sheet = folder.with_name(folder.name + ".png")
    _save(contact_sheet(_spread(tiles), title=title, with_masks=images.masks is not None), sheet)
    return sheet


def picture_files(names: Sequence[str]) -> list[str]:
    """Return each image's file below the folder of pictures: its path, with ``.png`` added to other endings.

    Example:
        >>> picture_files(["dent/a.png", "dent/b.PNG", "dent/c.jpg", "dent/c.jpg.png"])
        ['dent/a.png', 'dent/b.PNG', 'dent/c.jpg.png.png', 'dent/c.jpg.png']
    """
    # A plugin's data set may have absolute names: a picture must not replace the image.
    paths = ["/".join(part for part in name.split("/") if part not in ("", ".", "..")) for name in names]
    own, taken = set(paths), set[str]()
    files = []
    for path in paths:
        file = path if path.lower().endswith(".png") else f"{path}.png"
        while file in taken or (file != path and file in own):
            file += ".png"
        taken.add(file)
        files.append(file)
    return files


def _save(picture: Any, path: Path) -> None:
    content = io.BytesIO()
    picture.save(content, "PNG")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())


def side_by_side(image: Pixels, reconstruction: Pixels, colours: Pixels, mask: npt.NDArray[np.bool_] | None) -> Any:
    """Return one picture: image, reconstruction, map, and the map over the image with the mask's contour.

    Args:
        image: ``(height, width, 3)``.
        reconstruction: Of the same shape.
        colours: The coloured map, of the same shape.
        mask: ``(height, width)``, or None.
    """
    overlay = (0.5 * image + 0.5 * colours).astype(np.uint8)
    # A whole number, so that pixels stay squares. Of a strip, the longer side is decisive.
    scale = max(1, min(-(-_LEAST_TILE // min(image.shape[:2])), _MOST_TILE // max(image.shape[:2])))
    tiles = [np.kron(tile, np.ones((scale, scale, 1), np.uint8)) for tile in (image, reconstruction, colours, overlay)]
    if mask is not None and mask.any():
        tiles[3][_contour(np.kron(mask, np.ones((scale, scale), bool)))] = _CONTOUR
    gap = np.full((tiles[0].shape[0], _GAP, 3), 255, np.uint8)
    row = [part for tile in tiles for part in (tile, gap)][:-1]
    return Image.fromarray(np.concatenate(row, 1))


def contact_sheet(pictures: Sequence[tuple[str, Any]], *, title: str = "", with_masks: bool = True) -> Any:
    """Return pictures of equal size on one sheet, two in a row, with their names above them.

    Args:
        pictures: Names and pictures.
        title: Begins the first line.
        with_masks: Whether that line mentions the contour of the mask.
    """
    width, height = pictures[0][1].size
    n_rows = -(-len(pictures) // _SHEET_COLUMNS)
    cell = (width + 4 * _GAP, height + _TEXT_HEIGHT + _GAP)
    sheet = Image.new("RGB", (cell[0] * min(_SHEET_COLUMNS, len(pictures)), cell[1] * n_rows + _TEXT_HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    contour = ", contour of the mask" if with_masks else ""
    heading = f"{title}  image | reconstruction | map | map over image{contour}"
    draw.text((2, 1), drawable(heading), fill="black")
    for i, (name, picture) in enumerate(pictures):
        x, y = cell[0] * (i % _SHEET_COLUMNS), cell[1] * (i // _SHEET_COLUMNS) + _TEXT_HEIGHT
        draw.text((x + 2, y + 1), drawable(name), fill="black")
        sheet.paste(picture, (x, y + _TEXT_HEIGHT))
    return sheet


def drawable(text: str) -> str:
    """Return the text with ``?`` for all but printable ASCII: Pillow's default font draws boxes for the rest.

    Example:
        >>> drawable("Löcher/孔.png")
        'L?cher/?.png'
    """
    return "".join(letter if " " <= letter <= "~" else "?" for letter in text)


def heat(values: npt.NDArray[np.floating[Any]], *, low: float, high: float) -> Pixels:
    """Return a map ``(height, width)`` in colours ``(height, width, 3)``: black up to ``low``, yellow from ``high`` on.

    Example:
        >>> heat(np.array([[0.0, 1.0]]), low=0.0, high=1.0).tolist()
        [[[0, 0, 8], [252, 254, 164]]]
    """
    place = np.clip((values - low) / (high - low), 0, 1) * (len(_COLOURS) - 1)
    channels = [np.interp(place, np.arange(len(_COLOURS)), channel) for channel in _COLOURS.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def shades(
    maps: npt.NDArray[np.floating[Any]], *, normal: npt.NDArray[np.floating[Any]]
) -> npt.NDArray[np.floating[Any]]:
    """Return the brightness that pixels are drawn with: about linear up to the usual score, logarithmic above.

    On a linear scale, beside a defect of a hundred times the usual score, one of ten times would be as black as the
    normal pixels, although it is found as well.

    Args:
        maps: Scores, of any shape.
        normal: Scores of normal images: their median has brightness 0, their 99th percentile is the usual score.

    Example:
        >>> shades(np.array([0.0, 1.0, 10.0, 100.0]), normal=np.array([0.0, 0.0, 1.0, 1.0])).round(2).tolist()
        [0.0, 0.69, 3.0, 5.3]
    """
    low, usual = np.quantile(normal, (0.5, 0.99))
    shaded: npt.NDArray[np.floating[Any]] = np.log1p(np.maximum(maps - low, 0) / max(usual - low, 1e-12))
    return shaded


def _pixels(image: torch.Tensor) -> Pixels:
    """``(1 or 3, height, width)`` in [0, 1] to ``(height, width, 3)``."""
    pixels = (image.clamp(0, 1) * 255).round().to(torch.uint8).expand(3, -1, -1)
    return pixels.permute(1, 2, 0).numpy()


def _contour(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The pixels of a mask that touch its outside, also at the border of the image."""
    around = np.pad(mask, 1)
    inside = around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    contour: npt.NDArray[np.bool_] = mask & ~inside
    return contour


def _spread(tiles: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """At most `_MAX_ON_SHEET`, spread evenly, so that every kind of defect is shown."""
    if len(tiles) <= _MAX_ON_SHEET:
        return tiles
    return [tiles[i] for i in np.linspace(0, len(tiles) - 1, _MAX_ON_SHEET).round().astype(int)]
