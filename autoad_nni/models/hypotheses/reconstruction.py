"""The reconstruction hypothesis."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["ReconstructionHypothesis"]


class ReconstructionHypothesis(Hypothesis):
    r"""Normal images are those that the autoencoder can reconstruct: the distance alone is the training loss and score.

    The regularizer and the term of the score are zero.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

    Differs from the paper: Table I's term is the mean squared error of the reconstruction, which Eq. 2 would add to the
    distance. Here nothing is added: with l2 it would only double the distance, with the others mix two.

    Reference:
        Zhou and Paffenroth, "Anomaly Detection with Robust Deep Autoencoders", KDD 2017 (Table I of the paper).

    Example:
        >>> import torch
        >>> ReconstructionHypothesis().score(torch.ones(2, 5))
        tensor([0., 0.])
    """

    needs_codes: ClassVar[bool] = False

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return zero."""
        return codes.new_zeros(())

    def score(self, codes: Tensor) -> Tensor:
        """Return a zero per image, ``(batch,)``."""
        return codes.new_zeros(codes.shape[0])
