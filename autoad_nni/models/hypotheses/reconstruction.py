"""The reconstruction hypothesis."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["ReconstructionHypothesis"]


class ReconstructionHypothesis(Hypothesis):
    r"""Normal images are those that the autoencoder can reconstruct; the distance alone decides.

    The regularizer and the score term are zero.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

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
