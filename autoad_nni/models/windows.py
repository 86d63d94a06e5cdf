"""Patches of training images, for textures: what is normal there fits into a small window."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["cut_patches"]


def cut_patches(images: Tensor, side: int, *, seed: int) -> Tensor:
    """Cuts square patches at random places, from each image as many as fit into it side by side.

    Args:
        images: ``(n, channels, height, width)``, sides not below ``side``.
        side: Of a patch, in pixels.
        seed: Of the places.

    Returns:
        The patches, ``(n k, channels, side, side)``, those of an image one after the other.

    Example:
        >>> cut_patches(torch.zeros(2, 1, 20, 33), 8, seed=0).shape  # 2 x 4 of each
        torch.Size([16, 1, 8, 8])
    """
    height, width = images.shape[-2:]
    generator = torch.Generator().manual_seed(seed)
    per_image = (height // side) * (width // side)
    tops = torch.randint(height - side + 1, (len(images), per_image), generator=generator)
    lefts = torch.randint(width - side + 1, (len(images), per_image), generator=generator)
    places = [
        (image, top, left)
        for image, *corners in zip(images, tops.tolist(), lefts.tolist(), strict=True)
        for top, left in zip(*corners, strict=True)
    ]
    return torch.stack([image[:, top : top + side, left : left + side] for image, top, left in places])
