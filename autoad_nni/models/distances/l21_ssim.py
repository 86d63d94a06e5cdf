"""The sum of the l2,1 distance and the structural dissimilarity."""

from __future__ import annotations

from torch import Tensor

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.distances.l21 import L21Distance
from autoad_nni.models.distances.ssim import SsimDistance

__all__ = ["L21SsimDistance"]


class L21SsimDistance(Distance):
    r"""Sum of the l2,1 distance and the structural dissimilarity, :math:`s = s_{2,1} + (1 - \mathrm{SSIM}) / 2`.

    For images in [0, 1] each term lies in [0, 1]. The map is the sum of the two maps, so its mean is the distance.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``; map: ``(batch, 1, height, width)``

    Not given by the paper: the weights of the two; Table IV reports "l2,1 + SSIM", read here as the plain sum. It is
    not among the four distances of the paper's search space, so it is registered beside them.

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Table IV.

    Example:
        >>> import torch
        >>> images = torch.ones(1, 1, 16, 16)
        >>> round(L21SsimDistance()(torch.zeros_like(images), images).item(), 3)  # 1 + (1 - 0.0001 / 1.0001) / 2
        1.5
    """

    def __init__(self) -> None:
        super().__init__()
        self.l21 = L21Distance()
        self.ssim = SsimDistance()

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the sum of both maps, ``(batch, 1, height, width)``."""
        return self.l21.map(reconstruction, images) + self.ssim.map(reconstruction, images)

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the sum of both distances, ``(batch,)``."""
        distance: Tensor = self.l21(reconstruction, images) + self.ssim(reconstruction, images)
        return distance
