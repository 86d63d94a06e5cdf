"""A hypothesis for autoad-nni: normal codes have near neighbours among the training codes."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["KnnHypothesis"]


class KnnHypothesis(Hypothesis):
    r"""A normal code has training codes near it; one without near neighbours is anomalous.

    The score of a code is the mean distance to its k nearest training codes, in units of u, the mean over the training
    codes of their own distance to their k nearest others. So it depends neither on the scale of the codes nor on their
    size. The regularizer of a batch is 0.1 times the mean squared score, which pulls the codes together around their
    neighbours of the last epoch; since u shrinks with the codes, shrinking them all gains nothing for long.

    At most `n_kept` training codes are kept, spread evenly over all, so that memory and time have a bound.

    Args:
        k: Neighbours; fewer when fewer codes are kept.
        n_kept: The most training codes to keep.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

    Reference:
        Ramaswamy, Rastogi and Shim, "Efficient Algorithms for Mining Outliers from Large Data Sets", SIGMOD 2000,
        rank points by the distance to the k-th nearest neighbour. Eskin et al., "A Geometric Framework for
        Unsupervised Anomaly Detection", 2002, take the sum of the distances to all k. Differs from both: the mean, its
        unit, and the regularizer, which they have no use for.

    Example:
        >>> hypothesis = KnnHypothesis(k=1)
        >>> hypothesis.fit(torch.tensor([[0.0], [2.0], [4.0]]))  # each has a neighbour at 2, so u = 2
        >>> hypothesis.score(torch.tensor([[1.0], [10.0]]))
        tensor([0.5000, 3.0000])
    """

    kept: Tensor
    unit: Tensor

    def __init__(self, k: int = 5, *, n_kept: int = 2000) -> None:
        super().__init__()
        self.k = k
        self.n_kept = n_kept
        # Buffers, not plain attributes: they are saved with the model and move to its device.
        self.register_buffer("kept", torch.empty(0))
        self.register_buffer("unit", torch.ones(()))

    def fit(self, codes: Tensor) -> None:
        """Keep training codes, and measure how far apart they are."""
        n_kept = min(self.n_kept, len(codes))
        self.kept = codes[torch.arange(n_kept, device=codes.device) * len(codes) // n_kept]
        unit = _distances(self.kept, self.kept).fill_diagonal_(torch.inf)
        unit = unit.topk(max(1, min(self.k, n_kept - 1)), largest=False).values.mean()
        # None when all codes are alike, and infinite when there is only one.
        self.unit = torch.where((unit > 0) & torch.isfinite(unit), unit, 1.0)

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return 0.1 times the mean squared score."""
        return 0.1 * self.score(codes).square().mean()

    def score(self, codes: Tensor) -> Tensor:
        """Return the mean distance to the nearest kept codes, in units, ``(batch,)``."""
        nearest = _distances(codes, self.kept).topk(min(self.k, len(self.kept)), largest=False).values
        return nearest.mean(1) / self.unit


def _distances(codes: Tensor, others: Tensor) -> Tensor:
    """Euclidean distances, ``(batch, others)``; by subtraction, as products lose the digits of near codes."""
    return torch.cdist(codes, others, compute_mode="donot_use_mm_for_euclid_dist")
