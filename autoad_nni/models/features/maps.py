"""Features of images, as extractors compute them and the cache keeps them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["FeatureMaps"]


@dataclass(frozen=True, eq=False)
class FeatureMaps:
    """Features of n images.

    Args:
        maps: One for each stage, ``(n, channels, h, w)``, finest first.
        image_size: Height and width of the images that they were computed from.

    Example:
        >>> features = FeatureMaps((torch.zeros(5, 8, 4, 4), torch.zeros(5, 16, 2, 2)), (16, 16))
        >>> len(features[:3]), features.nbytes, features.to(torch.device("cpu")).maps[1].dtype
        (3, 3840, torch.float32)
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
        """Return the features on a device."""
        return FeatureMaps(tuple(each.to(device) for each in self.maps), self.image_size)
