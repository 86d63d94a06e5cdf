"""Images of any size and 8 bits, as models take them, in operations that every ONNX runtime has."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["resized"]


def resized(images: Tensor, height: int, width: int) -> Tensor:
    """Return images in [0, 1], resized as all images are (:func:`autoad_nni.data.to_image_shape`).

    Antialiased bilinear resizing is a product with one matrix for the rows and one for the columns. ONNX has an
    operator for it, but in onnxruntime its pixels differ from torch's by up to 2e-5 (to 224 x 168 pixels); those of the
    matrices, whose weights are computed as torch computes them, by less than 1e-6. Logarithms of a contrast enlarge it.

    Args:
        images: uint8.
        height: Of the result.
        width: Of the result.

    Shape:
        ``(n, channels, any, any)`` to ``(n, channels, height, width)``, float32.

    Example:
        >>> resized(torch.tensor([[[[0, 0, 255, 255]]]], dtype=torch.uint8), 1, 2)
        tensor([[[[0.1429, 0.8571]]]])
    """
    rows, columns = _weights(images.shape[2], height), _weights(images.shape[3], width)
    return (rows @ (images / 255) @ columns.mT).clamp(0, 1)


def _weights(before: int, after: int) -> Tensor:
    """What each old pixel counts in each new one, ``(after, before)``: a triangle around the middle of the new one."""
    # In float32 and in torch's order: its rounding of the middles is larger than all that follows.
    old, new = torch.arange(before, dtype=torch.float32), torch.arange(after, dtype=torch.float32)
    scale = torch.ones_like(old).sum() / after  # as a tensor: in an export, `before` is left open
    offsets = (old - (scale * (new + 0.5))[:, None] + 0.5) * (1 / scale.clamp(min=1))
    weights = (1 - offsets.abs()).clamp(min=0)
    return weights / weights.sum(1, keepdim=True)
