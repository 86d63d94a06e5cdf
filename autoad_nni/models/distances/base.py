"""The base class of distances."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

__all__ = ["Distance"]


class Distance(nn.Module):
    r"""How far a reconstruction is from its image, per pixel and per image.

    :meth:`map` is the distance per pixel, :math:`m`; that of the image is its mean,
    :math:`s = \frac{1}{hw} \sum_{y,x} m_{yx}`, so that the map shows which pixels it comes from. A subclass defines
    :meth:`map`; it may override :meth:`forward` with a faster or better conditioned form of the same number.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``
        - map: ``(batch, 1, height, width)``; distance: ``(batch,)``, both in the dtype of the images; higher is
          farther
    """

    @abstractmethod
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the distance per pixel, ``(batch, 1, height, width)``, none negative."""

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the distance per image, ``(batch,)``: the mean of the map."""
        return self.map(reconstruction, images).flatten(1).mean(1)
