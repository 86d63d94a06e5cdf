"""The centroid hypothesis."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.hypotheses._scale import root_mean_square_deviation
from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["CentroidHypothesis"]

# In units; a mean of float32 is not more exact.
_ZERO = 1e-4


class CentroidHypothesis(Hypothesis):
    r"""Normal codes lie in a ball around one centre; a code outside is anomalous.

    With centre c and radius R, the regularizer of a batch is 0.1 times the soft-boundary objective (Table I,
    centroid)

    .. math:: R^2 + \frac{1}{\nu n} \sum_i \max(0, \|z_i - c\|^2 - R^2) ,

    and the score is :math:`\|z - c\|^2 - R^2`. Squared distances are per number of the code and in units of the first
    training codes' mean square deviation, so that they depend neither on the autoencoder's scale nor on d.

    The centre is the mean of the first training codes and stays; components within 0.1 units of zero are pushed to
    0.1 or -0.1, because a zero is reached by zero weights. :math:`R^2` is the :math:`1 - \nu` quantile of the training
    codes' squared distances, anew after each epoch. In the objective R is 0 during the warm-up, which lasts until the
    first epoch that begins when a share `warm_up` of the training is over: at least one epoch, unless it is 0.

    Args:
        nu: The share of training codes that may lie outside, in (0, 1].
        weight: Weight of the objective.
        warm_up: Share of the training before the radius enters the objective, in [0, 1]; 1 for never.

    Shape:
        - codes: ``(batch, d)``; regularizer: scalar; score: ``(batch,)``

    Differs from the paper: Table I leaves out :math:`1 / (\nu n)`; it stands in the source. Table I's term, as a
    score, would be :math:`\max(0, \|z - c\|^2 - R^2)`; here it is not clipped at 0, so that codes within the ball are
    ranked too, as in the source. Differs from the source: the units; a radius that is updated once per epoch instead
    of in each step; a warm-up of half of the training instead of 10 of 150 epochs, because trainings are much shorter
    here (figures in docs/decisions/hypotheses.md); and an autoencoder that goes on reconstructing, which hinders
    collapse.

    Reference:
        Ruff et al., "Deep One-Class Classification", ICML 2018.

    Example:
        >>> hypothesis = CentroidHypothesis(nu=0.5)
        >>> hypothesis.fit(torch.tensor([[4.0], [6.0], [4.0], [6.0]]))  # centre 5, unit 1, radius 1
        >>> hypothesis.score(torch.tensor([[5.0], [8.0]]))
        tensor([-1.,  8.])
    """

    centre: Tensor
    unit: Tensor
    squared_radius: Tensor
    warmed_up: Tensor

    def __init__(self, nu: float = 0.1, *, weight: float = 0.1, warm_up: float = 0.5) -> None:
        super().__init__()
        self.nu = nu
        self.weight = weight
        self.warm_up = warm_up
        self.register_buffer("centre", torch.empty(0))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("squared_radius", torch.zeros(()))
        self.register_buffer("warmed_up", torch.zeros((), dtype=torch.bool))

    def fit(self, codes: Tensor) -> None:
        """Set centre and unit on the first call, the radius on every call."""
        if len(self.centre) == 0:
            self.unit = root_mean_square_deviation(codes)
            centre, least = codes.mean(0), 0.1 * self.unit
            # The sign of what is zero but for rounding, as in whitened codes, is not the codes' own.
            pushed = torch.where(centre < -_ZERO * self.unit, -least, least)
            self.centre = torch.where(centre.abs() < least, pushed, centre)
        self.squared_radius = torch.quantile(self._squared_distance(codes).double(), 1 - self.nu).to(codes.dtype)

    def begin_epoch(self, progress: float) -> None:
        """Let the radius enter the objective once the warm-up is over."""
        self.warmed_up = torch.full_like(self.warmed_up, self.warm_up <= progress)

    def regularizer(self, codes: Tensor) -> Tensor:
        """Return the weighted soft-boundary objective."""
        squared_radius = torch.where(self.warmed_up, self.squared_radius, 0.0)
        outside = torch.relu(self._squared_distance(codes) - squared_radius).mean()
        return self.weight * (squared_radius + outside / self.nu)

    def score(self, codes: Tensor) -> Tensor:
        """Return how far outside the ball each code is, ``(batch,)``; negative inside."""
        return self._squared_distance(codes) - self.squared_radius

    def _squared_distance(self, codes: Tensor) -> Tensor:
        """Squared distance to the centre per number of the code, in squared units, ``(batch,)``."""
        return ((codes - self.centre) / self.unit).square().mean(1)
