"""The intrinsic reward: how much a sample changes the posterior of the controller's weights."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from autoad_nni_strategies.posterior import GaussianPosterior, gaussian_divergence

__all__ = ["information_gain", "standardised"]


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


def standardised(gains: Sequence[float]) -> list[float]:
    """Return the gains of a batch with mean 0 and deviation 1; zeros if they are all alike.

    Within a batch gains differ by some 10 % only: divided by their median, as in VIME, the intrinsic rewards would
    hardly differ, and a baseline takes away what they have in common.

    Example:
        >>> standardised([1.0, 1.0, 4.0, 2.0, 2.0]), standardised([3.0])
        ([-0.9128709291752769, -0.9128709291752769, 1.8257418583505538, 0.0, 0.0], [0.0])
    """
    mean, deviation = statistics.fmean(gains), statistics.pstdev(gains)
    return [(gain - mean) / deviation if deviation > 0 else 0.0 for gain in gains]
