"""Guesses rewards before training: the filter from M candidates to the few that are trained (Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoad_nni_strategies.spaces import Action

__all__ = ["RewardPredictor"]

# Length scales that are compared: the correlation of two architectures that differ in every decision.
_CORRELATIONS = (0.5, 0.2, 0.05, 0.01)
_NOISES = (0.02, 0.1, 0.4)


class RewardPredictor:
    r"""A Gaussian process over architectures, alike as far as they choose alike.

    .. math:: k(a, a') = \exp\Big(-\sum_t \ell_t [a_t \ne a'_t]\Big)

    with :math:`\ell_t` in proportion to how much of the rewards' variance the decision explains alone. Their sum and
    the noise are those of the largest marginal likelihood on a small grid. Rewards are standardised.

    Args:
        n_choices: Number of choices of each decision.

    Not in the paper, which leaves open how M candidates become K.

    Example:
        >>> predictor = RewardPredictor([2, 2])
        >>> predictor.fit([(0, 0), (0, 1), (1, 0)], [0.9, 0.8, 0.1])
        >>> mean, deviation = predictor.predict([(0, 0), (1, 1)])
        >>> bool(mean[0] > mean[1]), bool(deviation[0] < deviation[1])
        (True, True)
    """

    def __init__(self, n_choices: Sequence[int]) -> None:
        self._n_choices = tuple(n_choices)

    def fit(self, actions: Sequence[Action], rewards: Sequence[float]) -> None:
        """Learn from measured architectures, one or more."""
        self._actions = torch.tensor(actions)
        values = torch.tensor(rewards, dtype=torch.float64)
        self._mean = values.mean()
        deviation = values.std(correction=0)
        self._scale = torch.where(deviation > 1e-9, deviation, 1.0)
        targets = (values - self._mean) / self._scale
        self._shares = self._importances(targets)
        differs = self._differences(self._actions, self._actions)
        best = -math.inf
        for correlation in _CORRELATIONS:
            kernel = torch.exp(math.log(correlation) * differs)
            for noise in _NOISES:
                factor = torch.linalg.cholesky(kernel + noise * torch.eye(len(values), dtype=torch.float64))
                weights = torch.cholesky_solve(targets[:, None], factor)[:, 0]
                likelihood = -0.5 * (targets @ weights).item() - factor.diagonal().log().sum().item()
                if likelihood > best:
                    best, self._log_correlation, self._factor, self._weights = (
                        likelihood, math.log(correlation), factor, weights,
                    )  # fmt: skip

    def predict(self, actions: Sequence[Action]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of the reward of each architecture, float64, ``(n,)``."""
        kernel = torch.exp(self._log_correlation * self._differences(torch.tensor(actions), self._actions))
        mean = kernel @ self._weights
        explained = torch.linalg.solve_triangular(self._factor, kernel.mT, upper=False).square().sum(0)
        return self._mean + self._scale * mean, self._scale * (1 - explained).clamp(min=0.0).sqrt()

    def expected_improvement(self, actions: Sequence[Action], *, over: float) -> Tensor:
        """Return the expected part of each reward above ``over``, float64, ``(n,)``; doubt counts in favour."""
        mean, deviation = self.predict(actions)
        deviation = deviation.clamp(min=1e-12)
        z = (mean - over) / deviation
        density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
        improvement: Tensor = deviation * (z * torch.special.ndtr(z) + density)
        return improvement

    def _differences(self, some: Tensor, others: Tensor) -> Tensor:
        """The share of importance of the decisions in which two architectures differ, ``(n, m)``, in [0, 1]."""
        return ((some[:, None] != others[None]).double() * self._shares).sum(2)

    def _importances(self, targets: Tensor) -> Tensor:
        """How much each decision matters: the variance between its choices' mean rewards, shrunk; sums to 1."""
        between = []
        for decision, n_choices in enumerate(self._n_choices):
            chosen = torch.nn.functional.one_hot(self._actions[:, decision], n_choices).double()
            counts = chosen.sum(0)
            means = (chosen.mT @ targets) / (counts + 2.0)  # as if two more had the mean reward, 0
            between.append((counts * means.square()).sum() / len(targets))
        shares = torch.stack(between) + 0.02
        return shares / shares.sum()
