"""The l2,1 distance."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.distances.base import Distance

__all__ = ["L21Distance"]


class L21Distance(Distance):
    r"""Mean over the image's columns of the root mean square of each column's difference.

    The difference :math:`d = \hat{x} - x` is read as a matrix with (channels x height) rows and ``width`` columns;
    its l2,1 norm is the sum over columns of the columns' l2 norms. Here, with means in place of sums,

    .. math:: r_x = \sqrt{\tfrac{1}{ch} \sum_{k,y} d_{kyx}^2}, \qquad s = \tfrac{1}{w} \sum_x r_x .

    The map is :math:`\tfrac{1}{c} \sum_k d_{kyx}^2 / r_x`, and 0 in a column without any difference; its mean is the
    distance :math:`s`. The gradient of such a column is 0, where the root alone would have an undefined one.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``; map: ``(batch, 1, height, width)``

    Not given by the paper: the axis of the inner norm. Over the channels of a pixel, the distance would equal l1 for
    grey images, so that two of the paper's four choices were the same; over columns it differs. Nor is the scale given:
    means, so that the distance does not grow with the image.

    Reference:
        Nie et al., "Efficient and Robust Feature Selection via Joint l2,1-Norms Minimization", NIPS 2010 (the norm).

    Example:
        >>> images = torch.tensor([[[[0.0, 3.0], [0.0, 4.0]]]])
        >>> L21Distance()(torch.zeros_like(images), images)  # columns: 0 and sqrt((9 + 16) / 2)
        tensor([1.7678])
    """

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return each pixel's share of its column's root mean square, ``(batch, 1, height, width)``."""
        square = (reconstruction - images).square()
        rms = _root(square.mean((1, 2), keepdim=True))
        return square.mean(1, keepdim=True) / torch.where(rms > 0, rms, 1.0)

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the mean root mean square of the columns, ``(batch,)``."""
        return _root((reconstruction - images).square().mean((1, 2))).mean(1)


def _root(mean_square: Tensor) -> Tensor:
    """The square root, with gradient 0 at 0."""
    positive = mean_square > 0
    return torch.where(positive, torch.where(positive, mean_square, 1.0).sqrt(), 0.0)
