"""The role of a hypothesis."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor, nn

__all__ = ["Hypothesis"]


class Hypothesis(nn.Module):
    r"""A statement of where normal images lie in latent space, used in training and in the score.

    With the codes :math:`z = f(x)` of an autoencoder and a distance :math:`\mathrm{DIST}`, the detector minimises the
    mean of :math:`\mathrm{DIST}(\hat{x}, x)` plus :meth:`regularizer`, and scores an image by
    :math:`\mathrm{DIST}(\hat{x}, x)` plus :meth:`score` (Eq. 2 of the paper, DEFINEREG).

    State lives in buffers and parameters, so that it is saved with the model. Parameters are trained together with
    the autoencoder.

    Shape:
        - codes: ``(batch, d)``, the flattened output of the encoder
    """

    needs_codes: ClassVar[bool] = True
    """Whether :meth:`fit` is to be called; when False, training gathers no codes and spends no time on it."""

    def fit(self, codes: Tensor) -> None:
        """Estimate the statistics anew from all training codes, ``(n, d)``.

        Called in evaluation mode and without gradients: before the first epoch and after each epoch, so the last
        call sees the codes of the trained encoder.
        """

    @abstractmethod
    def regularizer(self, codes: Tensor) -> Tensor:
        """Return the scalar that is added to the training loss of a batch."""

    @abstractmethod
    def score(self, codes: Tensor) -> Tensor:
        """Return the term that is added to each image's score, ``(batch,)``; higher is more anomalous."""
