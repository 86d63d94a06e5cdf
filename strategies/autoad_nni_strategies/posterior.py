"""A distribution over the controller's weights: Bayes by backprop, posterior sharpening, and their divergences."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["GaussianPosterior", "ScaleMixture", "gaussian_divergence", "rate_for", "sharpen"]


class ScaleMixture:
    r"""The prior of one weight: a mixture of a wide and a narrow Gaussian around zero.

    .. math:: p(w) = \pi \mathcal{N}(w; 0, \sigma_1^2) + (1 - \pi) \mathcal{N}(w; 0, \sigma_2^2)

    Not given by the paper: the prior, here that of Fortunato et al. 2017, "Bayesian recurrent neural networks", with a
    mixture per weight.

    Example:
        >>> at_zero = ScaleMixture().log_prob(torch.zeros(1)).item()
        >>> round(at_zero - math.log(0.25 * math.e + 0.75 * math.e**7), 4)  # -log(2 pi) / 2
        -0.9189
    """

    def __init__(self, *, share: float = 0.25, wide: float = math.exp(-1), narrow: float = math.exp(-7)) -> None:
        self.share, self.wide, self.narrow = share, wide, narrow

    def log_prob(self, weights: Tensor) -> Tensor:
        """Return the log density of each weight, in the shape of ``weights``."""
        one = math.log(self.share) + gaussian_log_prob(weights, self.wide)
        other = math.log(1 - self.share) + gaussian_log_prob(weights, self.narrow)
        return torch.logaddexp(one, other)


class GaussianPosterior(nn.Module):
    r"""Independent Gaussians over all weights of a network, :math:`q(\phi) = \prod_i \mathcal{N}(\mu_i, \sigma_i^2)`.

    :math:`\sigma = \log(1 + \exp \rho)` (Eq. 10). The weights are one flat vector, in the order of the network's
    parameters; the network's own values are the initial means.

    Args:
        network: The network; no reference to it is kept.
        sigma: Initial standard deviation, above 0.

    Example:
        >>> posterior = GaussianPosterior(nn.Linear(2, 1), sigma=0.05)
        >>> posterior.mu.shape, round(posterior.sigma[0].item(), 4)
        (torch.Size([3]), 0.05)
    """

    def __init__(self, network: nn.Module, *, sigma: float) -> None:
        super().__init__()
        named = list(network.named_parameters())
        self._shapes = {name: parameter.shape for name, parameter in named}
        self.mu = nn.Parameter(torch.cat([parameter.detach().flatten() for _, parameter in named]))
        self.rho = nn.Parameter(torch.full_like(self.mu, math.log(math.expm1(sigma))))

    @property
    def sigma(self) -> Tensor:
        """Standard deviations, a flat vector."""
        return F.softplus(self.rho)

    def sample(self, noise: Tensor) -> Tensor:
        """Return the weights mu + sigma * noise, a flat vector that carries gradients to both."""
        return self.mu + self.sigma * noise

    def named(self, weights: Tensor) -> Mapping[str, Tensor]:
        """Return a flat vector as the network's parameters by name, for ``torch.func.functional_call``."""
        parts = torch.split(weights, [shape.numel() for shape in self._shapes.values()])
        return {name: part.view(shape) for (name, shape), part in zip(self._shapes.items(), parts, strict=True)}

    def divergence_from(self, prior: ScaleMixture, weights: Tensor) -> Tensor:
        r"""Return one sample of KL[q || p] (Eq. 12): :math:`\log q(w) - \log p(w)`, summed over the weights."""
        return (gaussian_log_prob(weights - self.mu, self.sigma) - prior.log_prob(weights)).sum()


def gaussian_log_prob(offsets: Tensor, sigma: Tensor | float) -> Tensor:
    """Return the log density of offsets from the mean."""
    log_sigma = sigma.log() if isinstance(sigma, Tensor) else math.log(sigma)
    return -0.5 * (offsets / sigma).square() - log_sigma - 0.5 * math.log(2 * math.pi)


def gaussian_divergence(mu: Tensor, sigma: Tensor, mu_0: Tensor, sigma_0: Tensor) -> Tensor:
    r"""Return :math:`\mathrm{KL}[\mathcal{N}(\mu, \sigma^2) \| \mathcal{N}(\mu_0, \sigma_0^2)]`, summed.

    Example:
        >>> one = torch.ones(1)
        >>> gaussian_divergence(one, one, 0 * one, one)
        tensor(0.5000)
    """
    ratio = (sigma / sigma_0).square()
    return 0.5 * (ratio + ((mu - mu_0) / sigma_0).square() - 1 - ratio.log()).sum()


def sharpen(phi: Tensor, gradient: Tensor, *, rate: float, sigma_0: float, noise: Tensor) -> tuple[Tensor, Tensor]:
    r"""Move sampled weights towards the data, and return the divergence that this costs (Eq. 14, 16).

    .. math:: \theta = \phi - \eta \nabla_\phi(-\log p(D | \phi)) + \sigma_0 \epsilon, \qquad
        \mathrm{KL}[q(\theta | \phi, D) \| p(\theta | \phi)] = \frac{\|\eta \nabla_\phi\|^2}{2 \sigma_0^2}

    Args:
        phi: Weights sampled from the posterior.
        gradient: :math:`\nabla_\phi(-\log p(D | \phi))`; no gradient flows through it.
        rate: :math:`\eta`, one for all weights.
        sigma_0: Standard deviation of the sharpened weights, and of their prior :math:`\mathcal{N}(\phi, \sigma_0^2)`.
        noise: Standard normal, in the shape of ``phi``.

    Returns:
        theta, which carries gradients to phi, and the divergence.

    Example:
        >>> theta, cost = sharpen(torch.ones(1), torch.full((1,), 2.0), rate=0.1, sigma_0=0.2, noise=torch.zeros(1))
        >>> theta, cost  # 1 - 0.1 * 2, and 0.2^2 / (2 * 0.2^2)
        (tensor([0.8000]), tensor(0.5000))
    """
    step = rate * gradient.detach()
    return phi - step + sigma_0 * noise, (step / sigma_0).square().sum() / 2


def rate_for(gradient: Tensor, divergence: float, *, sigma_0: float) -> float:
    r"""Return the rate with which `sharpen` costs this divergence; 0 without a gradient.

    .. math:: \eta = \sigma_0 \sqrt{2 D} / \|\nabla_\phi\|

    Example:
        >>> round(rate_for(torch.full((1,), 2.0), 0.5, sigma_0=0.2), 6)
        0.1
    """
    length = gradient.norm().item()
    return sigma_0 * math.sqrt(2 * divergence) / length if length > 0 else 0.0
