"""Square windows of images, for textures: what is normal there fits into a small window."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Windows", "cut_windows"]


def cut_windows(images: Tensor, side: int, *, seed: int) -> Tensor:
    """Cut square windows at random places, from each image as many as fit into it side by side.

    Args:
        images: ``(n, channels, height, width)``, sides not below ``side``.
        side: Of a window, in pixels.
        seed: Of the places.

    Returns:
        The windows, ``(n k, channels, side, side)``, those of an image one after the other.

    Example:
        >>> cut_windows(torch.zeros(2, 1, 20, 33), 8, seed=0).shape  # 2 x 4 of each
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


class Windows:
    """Windows all over an image, overlapping by half; the last ones end at the border.

    What is computed of each is joined as a mean, weighted by a pyramid that falls off towards a window's border and
    leaves no seams. Its weight is a product of one for the row and one for the column, so a matrix for each joins all.

    Args:
        height: Of the image, not below ``side``.
        width: Likewise.
        side: Of a window, in pixels.

    Example:
        >>> windows = Windows(20, 9, 8)
        >>> images = torch.rand(2, 3, 20, 9)
        >>> windows.number, windows.cut(images).shape
        (8, torch.Size([16, 3, 8, 8]))
        >>> torch.allclose(windows.joined(windows.cut(images)), images)
        True
    """

    def __init__(self, height: int, width: int, side: int) -> None:
        self.size = (height, width)
        self.side = side
        self.tops, self.lefts = _starts(height, side), _starts(width, side)

    @property
    def number(self) -> int:
        """How many an image has."""
        return len(self.tops) * len(self.lefts)

    def cut(self, images: Tensor) -> Tensor:
        """Return the windows of images ``(n, c, height, width)``, ``(n number, c, side, side)``."""
        rows, columns = (self._pixels(starts).to(images.device) for starts in (self.tops, self.lefts))
        pixels = images.index_select(2, rows).index_select(3, columns)
        grid = pixels.reshape(-1, images.shape[1], len(self.tops), self.side, len(self.lefts), self.side)
        return grid.permute(0, 2, 4, 1, 3, 5).flatten(0, 2)

    def joined(self, windows: Tensor) -> Tensor:
        """Return what is computed of windows, ``(n number, c, side, side)``, as maps ``(n, c, height, width)``."""
        rows, columns = (
            self._shares(starts, size, windows) for starts, size in zip((self.tops, self.lefts), self.size, strict=True)
        )
        grid = windows.reshape(-1, len(self.tops), len(self.lefts), *windows.shape[1:]).permute(0, 3, 1, 4, 2, 5)
        return rows @ grid.flatten(4).flatten(2, 3) @ columns.mT

    def _pixels(self, starts: list[int]) -> Tensor:
        """Rows or columns of all windows, one window after the other."""
        return (torch.tensor(starts)[:, None] + torch.arange(self.side)).flatten()

    def _shares(self, starts: list[int], size: int, like: Tensor) -> Tensor:
        """What each row or column of the windows counts in one of the image, ``(size, windows side)``."""
        ramp = torch.arange(1, self.side + 1)
        weights = torch.minimum(ramp, ramp.flip(0)).repeat(len(starts))
        shares = torch.zeros(size, len(weights)).scatter(0, self._pixels(starts)[None], weights[None].float())
        return (shares / shares.sum(1, keepdim=True)).to(like.device, like.dtype)


def _starts(size: int, side: int) -> list[int]:
    """Where windows begin along a side: every half window, the last one ending at the border."""
    return [*range(0, size - side, max(1, side // 2)), size - side]
