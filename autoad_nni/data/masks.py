"""Masks of defects: where they lie in the MVTec-AD layout, and how they are read and resized."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from autoad_nni.data.image_file import bands, decoding, open_image

__all__ = ["MAX_VALUES", "marked", "mask_path", "mask_pixels", "n_values", "pixels_of_mask", "read_mask", "resize_mask"]

MAX_VALUES: Final = 8
"""With more, it is more likely a photograph or a blurred mask. MVTec-AD's masks have two."""


def mask_path(root: Path, image: Path) -> Path:
    """Return where the mask of an image with a defect belongs: ``root/ground_truth/DEFECT/NAME_mask.png``.

    Args:
        root: The folder of one category.
        image: ``root/test/DEFECT/NAME.EXT``, or ``root/DEFECT/NAME.EXT`` in the plain layout.

    Example:
        >>> mask_path(Path("bottle"), Path("bottle/test/broken/000.png")).as_posix()
        'bottle/ground_truth/broken/000_mask.png'
    """
    parts = image.relative_to(root).with_name(f"{image.stem}_mask.png").parts
    return root.joinpath("ground_truth", *(parts[1:] if parts[0] == "test" else parts))


def read_mask(path: Path) -> npt.NDArray[np.bool_]:
    """Read a mask: every pixel that is not 0 belongs to the defect, whether masks are 0/255, 0/1, grey or RGB.

    Shape:
        ``(height, width)``.

    Raises:
        OSError: The file is missing or no image; or what else Pillow raises for a corrupt file.
    """
    with open_image(path) as image, decoding(image):
        return np.concatenate([marked(pixels_of_mask(band)) for band in bands(image)])


def mask_pixels(path: Path) -> npt.NDArray[Any]:
    """Read the values of a mask, ``(height, width)`` or ``(height, width, channels)``; raises as `read_mask`."""
    with open_image(path) as image, decoding(image):
        return pixels_of_mask(image)


def pixels_of_mask(image: Image.Image) -> npt.NDArray[Any]:
    """Return the values of a mask that was opened."""
    # The numbers of a palette are no colours; alpha is no defect. By way of RGBA: palettes with transparency warn
    # otherwise.
    is_plain = image.mode not in ("P", "RGBA", "LA", "PA")
    return np.asarray(image if is_plain else image.convert("RGBA").convert("RGB"))


def marked(pixels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether each pixel of `mask_pixels` belongs to the defect, ``(height, width)``."""
    found: npt.NDArray[np.bool_] = np.any(pixels != 0, axis=2) if pixels.ndim == 3 else pixels != 0
    return found


def n_values(parts: Iterable[npt.NDArray[Any]]) -> int:
    """Return the number of different greys or colours of a mask, given by the `mask_pixels` of its parts."""
    return len(np.unique(np.concatenate([_values(pixels) for pixels in parts])))


def _values(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    # A colour as one number.
    return np.unique(pixels @ 256 ** np.arange(pixels.shape[2]) if pixels.ndim == 3 else pixels)


def resize_mask(mask: npt.NDArray[np.bool_], height: int, width: int) -> Tensor:
    """Resize a mask by the nearest pixel; a region that would vanish keeps every pixel that it touches.

    Regions are 8-connected.

    Shape:
        ``(height, width)`` bool.

    Example:
        >>> mask = np.zeros((64, 64), bool)
        >>> mask[1, 1] = True
        >>> int(resize_mask(mask, 8, 8).sum())
        1
    """
    from scipy import ndimage  # type: ignore[import-untyped]  # here, as it takes longer to import than all the rest

    regions, count = ndimage.label(mask, structure=np.ones((3, 3), bool))
    nearest = [_nearest(*sides) for sides in zip(mask.shape, (height, width), strict=True)]
    resized = np.asarray(regions)[np.ix_(*nearest)]
    lost = np.setdiff1d(np.arange(1, count + 1), resized)
    kept = torch.from_numpy(resized > 0)
    if len(lost):
        touched = torch.from_numpy(np.isin(regions, lost).astype(np.float32))[None, None]
        kept |= F.adaptive_max_pool2d(touched, (height, width))[0, 0] > 0
    return kept


def _nearest(side: int, wanted: int) -> npt.NDArray[np.int64]:
    """The rows or columns that torch takes as the nearest."""
    positions = torch.arange(side, dtype=torch.float32)[None, None]
    return F.interpolate(positions, wanted, mode="nearest-exact")[0, 0].long().numpy()
