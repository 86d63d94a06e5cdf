"""The intrinsic reward: how much a sample changes the posterior of the controller's weights."""

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
    r"""Return KL[posterior after || posterior before] one sample (Eq. 6, 7), in nats.

    The posterior after it is one natural-gradient step of :math:`\log p(a | \theta)` on (mu, rho), as in VIME:

    .. math:: \mu' = \mu + s \sigma^2 g, \qquad \rho' = \rho + s \frac{\sigma^2}{2 \dot\sigma^2} g_\rho,
        \qquad g_\rho = g \epsilon \dot\sigma, \quad \dot\sigma = \partial \sigma / \partial \rho ,

    with :math:`g = \nabla_\theta \log p(a | \theta)` at :math:`\theta = \mu + \sigma \epsilon`.

    Args:
        posterior: Before the sample.
        gradient: g, a flat vector.
        noise: epsilon, a flat vector.
        step: s.

    The gain of a repeated sample falls only as far as learning has made it likelier, and that is the work of its
    advantages, not of its having been seen. With advantages of 0, or under a prior that outweighs them, it stays.

    Differs from the paper: one update for the whole sample; Eq. 7 sums over the updates after its tokens 1 ... t.

    Reference: Houthooft et al. 2016, "VIME", whose step 0.01 and second-order metric these are.

    Example:
        >>> posterior = GaussianPosterior(torch.nn.Linear(1, 1), sigma=0.1)
        >>> information_gain(posterior, torch.zeros(2), torch.zeros(2))
        0.0
    """
    # Gains are some 1e-7 nats over thousands of weights: in 32 bits half of that would be rounding error.
    mu, rho, g, epsilon = (values.double() for values in (posterior.mu, posterior.rho, gradient, noise))
    sigma, slope = F.softplus(rho), torch.sigmoid(rho)  # the slope is that of softplus
    mu_after = mu + step * sigma.square() * g
    rho_after = rho + step * sigma.square() / (2 * slope.square()) * (g * epsilon * slope)
    return gaussian_divergence(mu_after, F.softplus(rho_after), mu, sigma).item()


class InformationGain:
    """Scales information gains to rewards: divided by the median of the recent ones, and clipped.

    Args:
        memory: How many recent gains the median is taken over.
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
        """Add new gains to the recent ones, and return them scaled."""
        self._recent.extend(gains)
        median = statistics.median(self._recent)
        return [min(self.ceiling, gain / median) if median > 0 else 0.0 for gain in gains]

    def state_dict(self) -> list[float]:
        """Return the recent gains."""
        return list(self._recent)

    def load_state_dict(self, state: list[float]) -> None:
        """Load the recent gains."""
        self._recent.clear()
        self._recent.extend(state)
