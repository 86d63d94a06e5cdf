"""Predicts how candidates rank before they are trained: the filter from M to the few that are (Fig. 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from autoad_nni_strategies.adam import Adam
from autoad_nni_strategies.spaces import Action, Decision

__all__ = ["RewardPredictor", "normal_scores"]

_STEPS = 20
_STEP_SIZE = 0.15
# Prior of the hyperparameters: means of the logarithms of scales and noise, and the precision of both.
_MEAN_SCALE, _MEAN_NOISE, _PRECISION = math.log(0.3), math.log(0.05), 1.0


class RewardPredictor:
    r"""A Gaussian process over samples; two are the more alike, the more of their choices agree.

    .. math:: k(a, a') = \exp\Big(-\sum_t \ell_t\, d_t(a_t, a'_t)\Big)

    with :math:`d_t` 0 for equal choices and 1 for different ones; if all values of a decision are numbers, the
    difference of their ranks, divided by the largest one. The scales :math:`\ell_t` and the noise have a log-normal
    prior and take some steps up the marginal likelihood at each fit, from where the last one left them. Rewards are
    replaced by the normal scores of their ranks: the zeros of rejected trials would otherwise stretch the scale until
    the good ones look alike.

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
        self._tables = [_distances_of(decision) for decision in decisions]
        self._log_scales = torch.full((len(decisions),), _MEAN_SCALE, dtype=torch.float64)
        self._log_noise = torch.full((), _MEAN_NOISE, dtype=torch.float64)

    def fit(self, actions: Sequence[Action], rewards: Sequence[float]) -> None:
        """Fit to measured samples, one or more."""
        measured = torch.tensor(actions)
        targets = normal_scores(torch.tensor(rewards, dtype=torch.float64))
        distances = self._distances_between(measured, measured)
        self._climb(distances, targets)
        self._condition(measured, targets)

    def believe(self, actions: Sequence[Action]) -> None:
        """Take what is predicted for samples that are being tried for their results, so that others promise more.

        Reference: Ginsbourger, Le Riche, Carraro 2010, "Kriging is well-suited to parallelize optimization", whose
        kriging believer this is.
        """
        mean, _ = self.predict(actions)
        self._condition(torch.cat([self._actions, torch.tensor(actions)]), torch.cat([self._targets, mean]))

    def _condition(self, actions: Tensor, targets: Tensor) -> None:
        self._actions, self._targets = actions, targets
        self._best = targets.max().item()
        self._factor = self._factorise(self._distances_between(actions, actions))
        self._weights = torch.cholesky_solve(targets[:, None], self._factor)[:, 0]

    def predict(self, actions: Sequence[Action]) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation of each candidate's normal score, float64, ``(n,)``."""
        distances = self._distances_between(torch.tensor(actions), self._actions)
        kernel = torch.exp(-distances @ self._log_scales.exp())
        explained = torch.linalg.solve_triangular(self._factor, kernel.mT, upper=False).square().sum(0)
        return kernel @ self._weights, (1 - explained).sqrt()

    def expected_improvement(self, actions: Sequence[Action]) -> Tensor:
        """Return the expected improvement of each candidate on the best normal score so far, float64, ``(n,)``."""
        return expected_improvement(*self.predict(actions), self._best)

    def state_dict(self) -> dict[str, Tensor]:
        """Return the hyperparameters, from which the next fit starts."""
        return {"log_scales": self._log_scales.clone(), "log_noise": self._log_noise.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Load the hyperparameters."""
        self._log_scales, self._log_noise = state["log_scales"].clone(), state["log_noise"].clone()

    def _distances_between(self, some: Tensor, others: Tensor) -> Tensor:
        """Return the distance matrices d_t, ``(n, m, T)``."""
        pairs = [table[some[:, [t]], others[:, t]] for t, table in enumerate(self._tables)]
        return torch.stack(pairs, 2)

    def _factorise(self, distances: Tensor) -> Tensor:
        kernel = torch.exp(-distances @ self._log_scales.exp())
        noise = self._log_noise.exp() * torch.eye(len(distances), dtype=kernel.dtype)
        factor: Tensor = torch.linalg.cholesky(kernel + noise)
        return factor

    def _climb(self, distances: Tensor, targets: Tensor) -> None:
        """Take some steps of Adam up the marginal likelihood."""
        self._log_scales.requires_grad_()
        self._log_noise.requires_grad_()
        optimizer = Adam([self._log_scales, self._log_noise], lr=_STEP_SIZE)
        for _ in range(_STEPS):
            factor = self._factorise(distances)
            fit = 0.5 * torch.linalg.solve_triangular(factor, targets[:, None], upper=False).square().sum()
            prior = (self._log_scales - _MEAN_SCALE).square().sum() + (self._log_noise - _MEAN_NOISE).square()
            loss = fit + factor.diagonal().log().sum() + 0.5 * _PRECISION * prior
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        self._log_scales = self._log_scales.detach()
        self._log_noise = self._log_noise.detach().clamp(min=math.log(1e-4))


def expected_improvement(mean: Tensor, deviation: Tensor, best: float) -> Tensor:
    r"""Return :math:`\mathrm{E}[\max(0, y - y^*)]` of :math:`y \sim \mathcal{N}(\mu, \sigma^2)`.

    .. math:: \sigma\, (z\, \Phi(z) + \varphi(z)), \qquad z = (\mu - y^*) / \sigma

    Args:
        mean: mu.
        deviation: sigma, at least 0; in the shape of ``mean``.
        best: y*, the value to improve on.

    Reference: Jones, Schonlau, Welch 1998, "Efficient global optimization of expensive black-box functions", Eq. 15.

    Example:
        >>> expected_improvement(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 2.0]), 0.0)  # sigma / sqrt(2 pi)
        tensor([0.3989, 0.7979])
    """
    deviation = deviation.clamp(min=1e-12)
    z = (mean - best) / deviation
    density = torch.exp(-0.5 * z.square()) / math.sqrt(2 * math.pi)
    improvement: Tensor = deviation * (z * torch.special.ndtr(z) + density)
    return improvement


def normal_scores(values: Tensor, among: Tensor | None = None) -> Tensor:
    """Return the normal quantiles of the values' ranks; ties share one.

    Args:
        values: ``(n,)``.
        among: The values, and others, among which they rank; None: just the values.

    Example:
        >>> normal_scores(torch.tensor([0.0, 0.9, 0.0]))  # quantiles of 1/3, 5/6, 1/3
        tensor([-0.4307,  0.9674, -0.4307])
    """
    among = values if among is None else among
    below = (among < values[:, None]).sum(1) + 0.5 * (among == values[:, None]).sum(1)
    scores: Tensor = torch.special.ndtri(below.double() / len(among)).to(values.dtype)
    return scores


def _distances_of(decision: Decision) -> Tensor:
    """Return the distance matrix of a decision's choices, ``(n, n)``, in [0, 1]."""
    n = len(decision.values)
    if n > 1 and all(isinstance(value, int | float) for value in decision.values):
        ranks = torch.tensor(decision.values, dtype=torch.float64).argsort().argsort().double() / (n - 1)
        return (ranks[:, None] - ranks).abs()
    return 1.0 - torch.eye(n, dtype=torch.float64)
