"""The intrinsic reward: how much an architecture changes the belief about the controller's weights."""

from __future__ import annotations

import statistics
from collections import deque

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni_strategies.posterior import GaussianPosterior, gaussian_divergence

__all__ = ["InformationGain", "information_gain"]


@torch.no_grad()
def information_gain(posterior: GaussianPosterior, gradient: Tensor, noise: Tensor, *, step: float = 0.01) -> float:
    r"""Return KL[belief after || belief before] one architecture (Eq. 6, 7), in nats.

    The belief after is one natural-gradient step of :math:`\log p(a | \theta)` on (mu, rho), as in VIME:

    .. math:: \mu' = \mu + s \sigma^2 g, \qquad \rho' = \rho + s \frac{\sigma^2}{2 \dot\sigma^2} g_\rho,
        \qquad g_\rho = g \epsilon \dot\sigma, \quad \dot\sigma = \partial \sigma / \partial \rho ,

    with :math:`g = \nabla_\theta \log p(a | \theta)` at :math:`\theta = \mu + \sigma \epsilon`.

    Args:
        posterior: The belief before.
        gradient: g, a flat vector.
        noise: epsilon, a flat vector.
        step: s.

    A repeated architecture surprises less only as far as learning has made it likelier: its advantages do that, not its
    having been seen. With advantages of 0, or under a prior that outweighs them, its gain stays.

    Differs from the paper: its belief after steps 1 ... t of an architecture is here that after the whole one; Eq. 7
    sums over t. Reference: Houthooft et al. 2016, "VIME", whose step 0.01 and second-order metric these are.

    Example:
        >>> posterior = GaussianPosterior(torch.nn.Linear(1, 1), sigma=0.1)
        >>> information_gain(posterior, torch.zeros(2), torch.zeros(2))
        0.0
    """
    # Gains are some 1e-7 nats over thousands of weights: in 32 bits half of that is rounding.
    mu, rho, g, epsilon = (values.double() for values in (posterior.mu, posterior.rho, gradient, noise))
    sigma, slope = F.softplus(rho), torch.sigmoid(rho)  # the slope is softplus's
    mu_after = mu + step * sigma.square() * g
    rho_after = rho + step * sigma.square() / (2 * slope.square()) * (g * epsilon * slope)
    return max(0.0, gaussian_divergence(mu_after, F.softplus(rho_after), mu, sigma).item())


class InformationGain:
    """Puts information gains on the scale of the rewards: divided by the median of the recent ones, and clipped.

    Args:
        memory: How many gains the median is of.
        ceiling: The largest gain after division.

    Not given by the paper: both. The division is VIME's.

    Example:
        >>> scale = InformationGain()
        >>> scale.scaled([2.0, 4.0, 100.0])
        [0.5, 1.0, 10.0]
    """

    def __init__(self, *, memory: int = 100, ceiling: float = 10.0) -> None:
        self.ceiling = ceiling
        self._recent: deque[float] = deque(maxlen=memory)

    def scaled(self, gains: list[float]) -> list[float]:
        """Take new gains in, and return them on the scale."""
        self._recent.extend(gains)
        median = statistics.median(self._recent)
        return [min(self.ceiling, gain / median) if median > 0 else 0.0 for gain in gains]

    def state_dict(self) -> list[float]:
        """Return the recent gains."""
        return list(self._recent)

    def load_state_dict(self, state: list[float]) -> None:
        """Take over the recent gains."""
        self._recent.clear()
        self._recent.extend(state)
