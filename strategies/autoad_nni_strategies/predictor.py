"""Guesses how architectures rank before training: the filter from M candidates to the few that are trained (Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoad_nni_strategies.adam import Adam
from autoad_nni_strategies.spaces import Action, Decision

__all__ = ["RewardPredictor"]

_STEPS = 20
_STEP_SIZE = 0.15
# Of the logarithms of length scales and noise: what is thought before anything is measured, and how firmly.
_MEAN_SCALE, _MEAN_NOISE, _FIRMNESS = math.log(0.3), math.log(0.05), 1.0


class RewardPredictor:
    r"""A Gaussian process over architectures, alike as far as they choose alike.

    .. math:: k(a, a') = \exp\Big(-\sum_t \ell_t\, d_t(a_t, a'_t)\Big)

    with :math:`d_t` 0 for equal choices and 1 for others; where all choices are numbers, the share of the order that
    lies between them. The scales :math:`\ell_t` and the noise climb the marginal likelihood, with a log-normal prior,
    from where the last fit left them. Rewards are replaced by the normal scores of their ranks: the zeros of rejected
    trials would otherwise stretch the scale until the good ones look alike.

    Args:
        decisions: The decisions with their values.

    Not in the paper, which leaves open how M candidates become K.

    Example:
        >>> predictor = RewardPredictor([Decision("width", (8, 16, 32)), Decision("bias", (True, False))])
        >>> predictor.fit([(0, 0), (0, 1), (1, 0)], [0.9, 0.8, 0.6])
        >>> mean, deviation = predictor.predict([(0, 0), (2, 1)])
        >>> bool(mean[0] > mean[1]), bool(deviation[0] < deviation[1])
        (True, True)
    """

    def __init__(self, decisions: Sequence[Decision]) -> None:
        self._distances = [_distances_of(decision) for decision in decisions]
        self._log_scales = torch.full((len(decisions),), _MEAN_SCALE, dtype=torch.float64)
        self._log_noise = torch.full((), _MEAN_NOISE, dtype=torch.float64)

    def fit(self, actions: Sequence[Action], rewards: Sequence[float]) -> None:
        """Learn from measured architectures, one or more."""
        self._actions = torch.tensor(actions)
        targets = normal_scores(torch.tensor(rewards, dtype=torch.float64))
        self._best = targets.max().item()
        apart = self._apart(self._actions, self._actions)
        self._climb(apart, targets)
        self._factor = self._factorise(apart)
        self._weights = torch.cholesky_solve(targets[:, None], self._factor)[:, 0]

    def predict(self, actions: Sequence[Action]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each architecture's normal score, float64, ``(n,)``."""
        apart = self._apart(torch.tensor(actions), self._actions)
        kernel = torch.exp(-apart @ self._log_scales.exp())
        explained = torch.linalg.solve_triangular(self._factor, kernel.mT, upper=False).square().sum(0)
        return kernel @ self._weights, (1 - explained).clamp(min=0.0).sqrt()

    def expected_improvement(self, actions: Sequence[Action]) -> Tensor:
        """Return the expected part of each score above the best one, float64, ``(n,)``; doubt counts in favour."""
        mean, deviation = self.predict(actions)
        deviation = deviation.clamp(min=1e-12)
        z = (mean - self._best) / deviation
        density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
        improvement: Tensor = deviation * (z * torch.special.ndtr(z) + density)
        return improvement

    def state_dict(self) -> dict[str, Tensor]:
        """Return what the next fit starts from."""
        return {"log_scales": self._log_scales.clone(), "log_noise": self._log_noise.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take over what the next fit starts from."""
        self._log_scales, self._log_noise = state["log_scales"].clone(), state["log_noise"].clone()

    def _apart(self, some: Tensor, others: Tensor) -> Tensor:
        """The distances d_t of every pair, ``(n, m, T)``."""
        pairs = [table[some[:, [t]], others[:, t]] for t, table in enumerate(self._distances)]
        return torch.stack(pairs, 2)

    def _factorise(self, apart: Tensor) -> Tensor:
        kernel = torch.exp(-apart @ self._log_scales.exp())
        noise = self._log_noise.exp() * torch.eye(len(apart), dtype=kernel.dtype)
        factor: Tensor = torch.linalg.cholesky(kernel + noise)
        return factor

    def _climb(self, apart: Tensor, targets: Tensor) -> None:
        """Take some steps of Adam towards the scales and the noise that explain the rewards best."""
        self._log_scales.requires_grad_()
        self._log_noise.requires_grad_()
        optimizer = Adam([self._log_scales, self._log_noise], lr=_STEP_SIZE)
        for _ in range(_STEPS):
            factor = self._factorise(apart)
            fit = 0.5 * torch.linalg.solve_triangular(factor, targets[:, None], upper=False).square().sum()
            prior = (self._log_scales - _MEAN_SCALE).square().sum() + (self._log_noise - _MEAN_NOISE).square()
            loss = fit + factor.diagonal().log().sum() + 0.5 * _FIRMNESS * prior
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self._log_scales = self._log_scales.detach()
        self._log_noise = self._log_noise.detach().clamp(min=math.log(1e-4))


def normal_scores(values: Tensor) -> Tensor:
    """Return the quantiles of the normal distribution that belong to the ranks; equal values share one.

    Example:
        >>> normal_scores(torch.tensor([0.0, 0.9, 0.0]))  # of the shares 1/3, 5/6, 1/3
        tensor([-0.4307,  0.9674, -0.4307])
    """
    below = (values < values[:, None]).sum(1) + 0.5 * (values == values[:, None]).sum(1)
    scores: Tensor = torch.special.ndtri(below.double() / len(values)).to(values.dtype)
    return scores


def _distances_of(decision: Decision) -> Tensor:
    """How far two choices of a decision are apart, ``(n, n)``, in [0, 1]."""
    n = len(decision.values)
    if n > 1 and all(isinstance(value, int | float) and not isinstance(value, bool) for value in decision.values):
        ranks = torch.tensor(decision.values, dtype=torch.float64).argsort().argsort().double() / (n - 1)
        return (ranks[:, None] - ranks).abs()
    return 1.0 - torch.eye(n, dtype=torch.float64)
