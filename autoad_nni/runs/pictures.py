"""Pictures of a model at work, a file for each image and a contact sheet."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoad_nni.data import LabelledImages
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Prediction, Scorer, reconstruct
from autoad_nni.runs.map_colours import map_scale
from autoad_nni.runs.sheet import DrawnImages, contact_sheet
from autoad_nni.storing import replace_file, storing

__all__ = ["picture_files", "save_picture", "write_pictures"]


def write_pictures(
    folder: Path,
    scorer: Scorer | Ensemble,
    images: LabelledImages,
    prediction: Prediction,
    *,
    title: str = "",
    threshold: float | None = None,
    origin: str = "",
) -> Path:
    """Write a PNG for each image into a folder, and a contact sheet of up to 48 of them beside it.

    The sheet has missed defects first, then false alarms, found defects and good images below the threshold; each
    group begins with the images that most look like the other class. All maps have one scale of colours, that of
    the model (:func:`autoad_nni.runs.map_colours.map_scale`).

    Args:
        folder: Created if missing; `picture_files` names the files in it.
        scorer: The model.
        images: Test images, drawn with the contours of their masks.
        prediction: What the model says of them.
        title: First line of the contact sheet.
        threshold: Images that score more are called defects; None: there are only defects and good images.
        origin: Where the threshold comes from.

    Returns:
        The contact sheet, ``FOLDER.png``.

    Raises:
        StorageError: A file cannot be written.
    """
    drawn = DrawnImages(
        images=images,
        scores=prediction.score.numpy(),
        maps=prediction.anomaly_map[:, 0].numpy(),
        reconstructions=reconstruct(scorer, images.images),
        scale=map_scale(scorer, threshold),
        threshold=threshold,
    )
    for i, file in enumerate(picture_files(drawn.names)):
        save_picture(drawn.picture(i), folder / file)
    sheet = folder.with_name(folder.name + ".png")
    save_picture(contact_sheet(drawn, title=title, origin=origin), sheet)
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


def save_picture(picture: Any, path: Path) -> None:
    """Write a PNG whole, with the folders that it is in; StorageError if the disk refuses."""
    content = io.BytesIO()
    picture.save(content, "PNG")
    with storing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, content.getvalue())
