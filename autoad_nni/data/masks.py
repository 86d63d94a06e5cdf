"""Masks of defects: where they lie in the MVTec-AD layout, and how they are read and resized."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

__all__ = ["MAX_VALUES", "marked", "mask_path", "mask_pixels", "n_values", "read_mask", "resize_mask"]

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
    return marked(mask_pixels(path))


def mask_pixels(path: Path) -> npt.NDArray[Any]:
    """Read the values of a mask, ``(height, width)`` or ``(height, width, channels)``; raises as `read_mask`."""
    with Image.open(path) as image:
        # The numbers of a palette are no colours; alpha is no defect. By way of RGBA: palettes with transparency
        # warn otherwise.
        is_plain = image.mode not in ("P", "RGBA", "LA", "PA")
        return np.asarray(image if is_plain else image.convert("RGBA").convert("RGB"))


def marked(pixels: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Return whether each pixel of `mask_pixels` belongs to the defect, ``(height, width)``."""
    found: npt.NDArray[np.bool_] = np.any(pixels != 0, axis=2) if pixels.ndim == 3 else pixels != 0
    return found


def n_values(pixels: npt.NDArray[Any]) -> int:
    """Return the number of different greys or colours of `mask_pixels`."""
    # A colour as one number.
    return len(np.unique(pixels @ 256 ** np.arange(pixels.shape[2]) if pixels.ndim == 3 else pixels))


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
    numbers = torch.from_numpy(np.asarray(regions, np.float32))[None, None]
    resized = F.interpolate(numbers, (height, width), mode="nearest-exact")
    lost = np.setdiff1d(np.arange(1, count + 1), np.unique(resized.numpy()).astype(int))
    if len(lost):
        touched = torch.from_numpy(np.isin(regions, lost).astype(np.float32))[None, None]
        resized = torch.maximum(resized, F.adaptive_max_pool2d(touched, (height, width)))
    return resized[0, 0] > 0
