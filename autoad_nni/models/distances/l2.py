"""The l2 distance."""

from __future__ import annotations

from torch import Tensor

from autoad_nni.models.distances.base import Distance

__all__ = ["L2Distance"]


class L2Distance(Distance):
    r"""Mean squared difference, :math:`s = \frac{1}{chw} \sum (\hat{x} - x)^2`.

    The map is :math:`(\hat{x} - x)^2`, averaged over the channels.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``; map: ``(batch, 1, height, width)``

    Not given by the paper: the scale, and whether the root is taken. The square without root, averaged over pixels
    and channels, as autoencoders are usually trained.

    Reference:
        Li et al., "Automated Anomaly Detection via Curiosity-Guided Search and Self-Imitation Learning", TNNLS 2022,
        Section IV-A.

    Example:
        >>> import torch
        >>> images = torch.tensor([[[[0.0, 0.5], [1.0, 0.5]]]])
        >>> L2Distance()(torch.zeros_like(images), images)
        tensor([0.3750])
    """

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the squared difference per pixel, ``(batch, 1, height, width)``."""
        return (reconstruction - images).square().mean(1, keepdim=True)
