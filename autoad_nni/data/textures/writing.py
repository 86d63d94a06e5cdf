"""Writes the set atomically, whichever other process writes it."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path

from autoad_nni.data.textures.recipe import TEXTURES, Recipe, write_texture
from autoad_nni.errors import AutoADError

__all__ = ["ensure_textures", "write_textures"]

_RECIPE = "textures.json"

_README = """\
Images in the MVTec-AD layout, written by "autoad-nni data textures" with seed {seed}.

Crops of {side} x {side} pixels of the photographs brick, grass and gravel that scikit-image comes with; scikit-image's
documentation names the Creative Commons CC0 License for all three. The defects below test/ are planted by a program.
ground_truth/ has a mask for each: 255 where the defect is, 0 where the photograph was left as it was.

train/good is from the left 60 % of a photograph, test/ from the right 40 %: a_NNN.png from its upper half, b_NNN.png
from its lower half. These three regions share no pixel; crops of one region overlap.
"""


def write_textures(
    out: Path, *, seed: int = 0, side: int = 128, n_train: int = 100, n_good: int = 24, n_per_defect: int = 8
) -> None:
    """Write the categories brick, grass and gravel in the MVTec-AD layout: real texture, planted defects, exact masks.

    ``OUT/TEXTURE/train/good/NNN.png``, ``test/good/H_NNN.png``, ``test/KIND/H_NNN.png`` and
    ``ground_truth/KIND/H_NNN_mask.png``; H is ``a`` or ``b``, NNN counts from 000 in each half, KIND is one of
    :data:`autoad_nni.data.textures.KINDS`. Images are grey, 8 bits; masks are 0 or 255 (see
    :func:`~autoad_nni.data.textures.plant` for what a mask covers). Beside the categories lie ``README.txt`` and
    ``textures.json`` with the arguments.

    The left 308 columns of a photograph give the training crops, the right 204 the test crops: ``a`` from rows 0 to
    255, ``b`` from rows 256 to 511, half of the images of every kind each. So no pixel of a photograph is both in an
    ``a`` and a ``b`` image, nor in a training and a test image: with ``a`` for validation and ``b`` for test nothing
    leaks. A foreign piece comes from the same region of the other photograph. Crops of one region overlap, so the
    images are fewer independent samples than their number says.

    The set is written beside ``out`` and renamed, so it is there completely or not at all; a process that is killed
    leaves a hidden folder ``.NAME-*`` behind. Of two that write to one place at once, one ends with the error.

    Args:
        out: The folder to make, or an empty one.
        seed: Determines places and defects; the same seed gives the same bytes.
        side: Side of the images, 64 to 204 pixels; defects grow with it.
        n_train: Training images of each texture.
        n_good: Good test images of each texture.
        n_per_defect: Images of each kind of defect of each texture; from faint to clear in each half.

    Raises:
        AutoADError: ``out`` is a file, holds something or cannot be written, or a number is out of its range.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_textures(Path(folder, "set"), n_train=10, n_good=2, n_per_defect=2)
        ...     sorted(path.name for path in Path(folder, "set/brick/test/scratch").iterdir())
        ['a_000.png', 'b_000.png']
    """
    _write(out, Recipe(seed, side, n_train, n_good, n_per_defect))


def ensure_textures(
    out: Path, *, seed: int = 0, side: int = 128, n_train: int = 100, n_good: int = 24, n_per_defect: int = 8
) -> None:
    """Write the set as :func:`write_textures` does unless it is there; several processes may call it at once.

    Args:
        out: The folder of the set.
        seed: As in :func:`write_textures`, like all others.
        side: Side of the images.
        n_train: Training images of each texture.
        n_good: Good test images of each texture.
        n_per_defect: Images of each kind of defect of each texture.

    Raises:
        AutoADError: As in :func:`write_textures`; or ``out`` has a set of other arguments, or one that lacks files.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for _ in range(2):
        ...         ensure_textures(Path(folder, "set"), n_train=10, n_good=2, n_per_defect=2)
    """
    recipe = Recipe(seed, side, n_train, n_good, n_per_defect)
    if _is_there(out, recipe):
        return
    try:
        _write(out, recipe)
    except AutoADError:
        # Another process may have been first.
        if not _is_there(out, recipe):
            raise


def _is_there(out: Path, recipe: Recipe) -> bool:
    try:
        found = json.loads((out / _RECIPE).read_text())
    except (OSError, ValueError):
        return False
    if found != asdict(recipe):
        raise AutoADError(
            f"{out} has textures of {found}. Expected {asdict(recipe)}. Give another folder, or remove this one."
        )
    missing = [name for name in recipe.files() if not os.path.isfile(out / name)]
    if missing:
        raise AutoADError(
            f"{out} lacks {len(missing)} of its files, first {missing[0]}. Expected a complete set. Remove the folder "
            "to have it written again."
        )
    return True


def _write(out: Path, recipe: Recipe) -> None:
    # A link to a folder cannot be replaced by a rename, its target can.
    place = out.resolve()
    try:
        if os.path.exists(place) and not os.path.isdir(place):
            raise AutoADError(f"{out} is a file. Expected a new or empty folder. Give another one.")
        if os.path.isdir(place) and any(place.iterdir()):
            raise AutoADError(f"{out} holds files. Expected a new or empty folder. Give another one.")
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as beside:
            # One level deeper: the temporary folder itself is for its owner's eyes only.
            made = Path(beside, place.name)
            for name in recipe.files():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
            for texture in TEXTURES:
                write_texture(made / texture, texture, recipe)
            (made / "README.txt").write_text(_README.format(**asdict(recipe)))
            (made / _RECIPE).write_text(json.dumps(asdict(recipe), indent=2) + "\n")
            os.rename(made, place)
    except OSError as error:
        raise AutoADError(
            f"{out} cannot be written: {error.strerror}. Expected a new or empty folder that nobody else writes to. "
            "Give another one."
        ) from error
