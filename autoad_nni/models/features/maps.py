"""Features of images, as extractors compute them and the cache keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

__all__ = ["FeatureMaps", "to_half"]

_MOST: Final = torch.finfo(torch.half).max


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of n images.

    Half precision on disk and in memory, until `to`.

    Args:
        maps: One for each stage, ``(n, channels, h, w)``, finest first.
        image_size: Height and width of the images that they were computed from.

    Example:
        >>> features = FeatureMaps((torch.zeros(5, 8, 4, 4).half(), torch.zeros(5, 16, 2, 2).half()), (16, 16))
        >>> len(features[:3]), features.nbytes, features.to(torch.device("cpu")).maps[1].dtype
        (3, 1920, torch.float32)
    """

    maps: tuple[Tensor, ...]
    image_size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes of all maps."""
        return sum(each.nbytes for each in self.maps)

    @property
    def device(self) -> torch.device:
        """Where the maps are."""
        return self.maps[0].device

    def __len__(self) -> int:
        return len(self.maps[0])

    def __getitem__(self, index: slice | Tensor) -> FeatureMaps:
        return FeatureMaps(tuple(each[index] for each in self.maps), self.image_size)

    def to(self, device: torch.device) -> FeatureMaps:
        """Return the features in float32 on a device."""
        return FeatureMaps(tuple(each.to(device, torch.float32) for each in self.maps), self.image_size)


def to_half(maps: Tensor) -> Tensor:
    """Return maps in half precision, as they are kept on disk; numbers outside its range become its largest.

    Example:
        >>> to_half(torch.tensor([0.1, 1e6]))
        tensor([9.9976e-02, 6.5504e+04], dtype=torch.float16)
    """
    return maps.clamp(-_MOST, _MOST).half()
