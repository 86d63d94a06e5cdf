"""Brightness and contrast of small windows as features: a defect of a texture is often smoother or rougher than it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni.models.features.base import FeatureExtractor

__all__ = ["ContrastFeatures"]

# The finer details, and those of twice the size.
_SCALES = (1, 2)
# Below one grey level of 8 bits, a contrast is rounding.
_LEAST = 1 / 255
# The constant of SSIM's contrast term, (0.03)^2: deviations of about 0.03 and less count as smooth.
_SMOOTH = 0.03


class ContrastFeatures(FeatureExtractor):
    r"""Mean, contrast and smoothness of a window around each location, of 2 x 2 times the stride.

    Around each pixel, :math:`\sigma^2` is the mean square of 3 x 3 differences, each of a pixel in [0, 1] from the mean
    of the 3 x 3 around it. Contrast is the window's mean of :math:`\log(\sigma^2 + 1 / 255^2) / 2`, smoothness that of
    :math:`c / (\sigma^2 + c)` with SSIM's constant :math:`c = 0.03^2`. Both at full size and at half of it, so that a
    colour has five channels. Logarithm and quotient come before the window's mean, so that an edge does not hide the
    smooth spot beside it.

    Args:
        download: Ignored, there are no weights.
        weights: Ignored.

    Example:
        >>> rough = torch.rand(1, 1, 32, 32)
        >>> [maps] = ContrastFeatures()(torch.cat([rough, rough / 10]), [8])
        >>> maps.shape
        torch.Size([2, 5, 4, 4])
        >>> (maps[0, 1] > maps[1, 1]).all() and (maps[0, 2] < maps[1, 2]).all()
        tensor(True)
    """

    strides = (4, 8, 16, 32)

    def __init__(self, download: bool = False, weights: Path | None = None) -> None:
        super().__init__()

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the windows of each stride."""
        details = [_details(_reduced(images, scale)) for scale in _SCALES]
        for stride in self.strides:
            height, width = (-(-side // stride) for side in images.shape[-2:])
            means = [_windows(images, stride)]
            means += [_windows(each, stride // scale) for scale, each in zip(_SCALES, details, strict=True)]
            yield stride, torch.cat([each[:, :, :height, :width] for each in means], 1)


def _reduced(images: Tensor, scale: int) -> Tensor:
    return F.avg_pool2d(images, scale, ceil_mode=True, count_include_pad=False)


def _details(images: Tensor) -> Tensor:
    """Contrast and smoothness around each pixel."""
    # Not the mean of squares less the square of the mean, which rounding can make negative.
    variance = _around((images - _around(images)) ** 2)
    return torch.cat([(variance + _LEAST**2).log() / 2, _SMOOTH**2 / (variance + _SMOOTH**2)], 1)


def _around(maps: Tensor) -> Tensor:
    """Means of 3 x 3 pixels; at the border, the image goes on with its edge pixels."""
    return F.avg_pool2d(F.pad(maps, (1, 1, 1, 1), mode="replicate"), 3, 1)


def _windows(maps: Tensor, stride: int) -> Tensor:
    """Means over windows of twice the stride; at the border, over what there is of them."""
    return F.avg_pool2d(maps, 2 * stride, stride, stride // 2, ceil_mode=True, count_include_pad=False)
