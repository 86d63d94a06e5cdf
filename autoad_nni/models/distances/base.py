"""The role of a distance."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

__all__ = ["Distance"]


class Distance(nn.Module):
    r"""How far a reconstruction is from its image, per pixel and per image.

    A distance gives a map :math:`m` over the pixels; its score is the mean of that map,
    :math:`s = \frac{1}{hw} \sum_{y,x} m_{yx}`. So the map tells which pixels make up the score. A subclass defines
    :meth:`map`; it may override :meth:`forward` with a faster or better conditioned form of the same number.

    Shape:
        - reconstruction, images: ``(batch, channels, height, width)``
        - score: ``(batch,)``, in the dtype of the images; higher is farther
    """

    @abstractmethod
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the distance per pixel, ``(batch, 1, height, width)``, none negative."""

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        """Return the score per image, ``(batch,)``: the mean of the map."""
        return self.map(reconstruction, images).flatten(1).mean(1)
