"""The memory hypothesis."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["MemoryHypothesis"]

# Codes that the memory is chosen from; more would take longer and change little.
_MOST_CANDIDATES = 20_000
# Whose distances are compared exactly: of codes that are alike, rounding may put the second nearest first.
_NEAREST = 2


class MemoryHypothesis(Hypothesis):
    r"""Normal codes are near codes that were seen; a code far from all of them is anomalous.

    The score is the distance to the nearest code of the memory M,

    .. math:: \min_{m \in M} \|z - m\| .

    M is a coreset of the training codes: the one nearest to their mean first, then again and again the code that is
    farthest from all that are in it (greedy k-centre), of at most 20,000 codes, spread evenly. Nothing is trained
    towards it: the regularizer is zero.

    Args:
        size: Codes in the memory; fewer where there are fewer.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

    Differs from the source, which reweights the score of an image by the neighbours of its nearest code, and takes 1 %
    to 25 % of all codes, found in a random projection to fewer numbers.

    Reference:
        Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022.

    Example:
        >>> hypothesis = MemoryHypothesis(size=2)
        >>> hypothesis.fit(torch.tensor([[0.0], [1.0], [9.0]]))  # 1 is nearest to the mean, 9 is farthest from it
        >>> hypothesis.score(torch.tensor([[0.0], [9.0], [7.0]]))
        tensor([1., 0., 2.])
    """

    memory: Tensor

    def __init__(self, size: int = 2000) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("memory", torch.empty(0))

    def fit(self, codes: Tensor) -> None:
        """Choose the memory anew."""
        candidates = codes[:: -(-len(codes) // _MOST_CANDIDATES)]
        offsets = candidates - candidates.mean(0)  # far from zero, differences of squares lose their digits
        squares = offsets.square().sum(1)
        chosen = squares.argmin()
        nearest = torch.full_like(squares, float("inf"))
        order = []
        for _ in range(min(self.size, len(candidates))):
            order.append(chosen)
            distance = squares - 2 * (offsets @ offsets[chosen]) + squares[chosen]
            nearest = torch.minimum(nearest, distance)
            nearest[chosen] = -float("inf")  # rounding must not choose it twice
            chosen = nearest.argmax()
        self.memory = candidates[torch.stack(order)]

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return zero."""
        return codes.new_zeros(())

    def score(self, codes: Tensor) -> Tensor:
        """Return the distance to the nearest code of the memory, ``(batch,)``."""
        centre = self.memory.mean(0)
        offsets = self.memory - centre
        squares = offsets.square().sum(1)
        order = torch.addmm(squares, codes - centre, offsets.mT, alpha=-2)
        nearest = order.topk(min(_NEAREST, len(squares)), 1, largest=False, sorted=False).indices
        return (codes[:, None] - self.memory[nearest]).square().sum(2).amin(1).sqrt()
