"""The l1 distance."""

from __future__ import annotations

from torch import Tensor

from autoad_nni.models.distances.base import Distance

__all__ = ["L1Distance"]


class L1Distance(Distance):
    r"""Mean absolute difference, :math:`s = \frac{1}{chw} \sum |\hat{x} - x|`.

    The map is :math:`|\hat{x} - x|`, averaged over the channels.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``; map: ``(batch, 1, height, width)``

    Not given by the paper: the scale. The mean, not the sum, so that the distance does not grow with the image.

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Section IV-A.

    Example:
        >>> import torch
        >>> images = torch.tensor([[[[0.0, 0.5], [1.0, 0.5]]]])
        >>> L1Distance()(torch.zeros_like(images), images)
        tensor([0.5000])
    """

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the absolute difference per pixel, ``(batch, 1, height, width)``."""
        return (reconstruction - images).abs().mean(1, keepdim=True)
