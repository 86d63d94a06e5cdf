from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from autoad_nni_strategies.curiosity import information_gain, standardised
from autoad_nni_strategies.posterior import GaussianPosterior, ScaleMixture, gaussian_divergence, sharpen


def test_the_prior_mixes_two_gaussians_per_weight() -> None:
    weights = torch.tensor([-0.7, 0.0, 1e-4, 0.3], dtype=torch.float64)
    wide, narrow = (
        np.exp(-0.5 * (weights.numpy() / s) ** 2) / (s * math.sqrt(2 * math.pi)) for s in (math.exp(-1), math.exp(-7))
    )
    expected = np.log(0.25 * wide + 0.75 * narrow)
    np.testing.assert_allclose(ScaleMixture().log_prob(weights), expected, rtol=1e-10)


def test_divergences_are_those_of_torch() -> None:
    generator = torch.Generator().manual_seed(0)
    mu, mu_0 = torch.randn(2, 7, generator=generator)
    sigma, sigma_0 = torch.rand(2, 7, generator=generator) + 0.1
    one, other = torch.distributions.Normal(mu, sigma), torch.distributions.Normal(mu_0, sigma_0)
    expected = torch.distributions.kl_divergence(one, other).sum()
    torch.testing.assert_close(gaussian_divergence(mu, sigma, mu_0, sigma_0), expected)


def posterior(sigma: float = 0.1) -> GaussianPosterior:
    torch.manual_seed(0)
    return GaussianPosterior(nn.Linear(3, 2), sigma=sigma)


def test_weights_have_the_names_and_places_they_came_from() -> None:
    network = nn.Linear(3, 2)
    q = GaussianPosterior(network, sigma=0.1)
    for name, value in q.named(q.sample(torch.zeros(8))).items():
        assert torch.equal(value, network.get_parameter(name))


def test_samples_have_the_posterior_s_mean_and_deviation() -> None:
    q = posterior(sigma=0.2)
    noise = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    samples = torch.stack([q.sample(row) for row in noise]).detach()
    torch.testing.assert_close(samples.mean(0), q.mu.detach(), atol=0.01, rtol=0)
    torch.testing.assert_close(samples.std(0), torch.full((8,), 0.2), atol=0.01, rtol=0)


def test_the_mean_of_sampled_divergences_is_the_closed_form() -> None:
    """Against a prior of one Gaussian, for which there is one."""
    q = posterior(sigma=0.2)
    prior = ScaleMixture(share=0.5, wide=0.3, narrow=0.3)
    noise = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        sampled = torch.stack([q.divergence_from(prior, q.sample(row)) for row in noise]).mean()
        exact = gaussian_divergence(q.mu, q.sigma, torch.zeros(8), torch.full((8,), 0.3))
    assert sampled.item() == pytest.approx(exact.item(), rel=0.01)


def test_the_gradient_of_the_divergence_is_that_of_finite_differences() -> None:
    q, prior = posterior().double(), ScaleMixture()
    noise = torch.randn(8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)

    def divergence() -> torch.Tensor:
        return q.divergence_from(prior, q.sample(noise))

    gradients = torch.autograd.grad(divergence(), [q.mu, q.rho])
    for parameter, gradient in zip((q.mu, q.rho), gradients, strict=True):
        for i in range(8):
            with torch.no_grad():
                parameter[i] += 1e-6
                up = divergence().item()
                parameter[i] -= 2e-6
                down = divergence().item()
                parameter[i] += 1e-6
            assert (up - down) / 2e-6 == pytest.approx(gradient[i].item(), rel=1e-4, abs=1e-4)


def test_sharpening_is_a_gradient_step_with_noise() -> None:
    """Two weights; -log p(D | phi) = (phi_0 * phi_1 - 1)^2, whose gradient autograd gives."""
    phi = torch.tensor([0.5, 3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad((phi.prod() - 1).square(), phi)
    noise = torch.tensor([1.0, -2.0])
    theta, cost = sharpen(phi, gradient, rate=0.1, sigma_0=0.02, noise=noise)
    # Gradient: 2 (1.5 - 1) (3, 0.5) = (3, 0.5).
    assert theta.tolist() == pytest.approx([0.5 - 0.3 + 0.02, 3.0 - 0.05 - 0.04])
    assert cost.item() == pytest.approx((0.3**2 + 0.05**2) / (2 * 0.02**2))
    # Gradients go through phi, not through the step.
    assert torch.autograd.grad(theta.sum(), phi)[0].tolist() == [1.0, 1.0]
    assert not cost.requires_grad


def test_the_gain_is_the_divergence_of_one_step() -> None:
    q = posterior(sigma=0.3)
    generator = torch.Generator().manual_seed(2)
    gradient, noise = torch.randn(2, 8, generator=generator)
    step = 0.01
    mu, rho = (value.detach().double() for value in (q.mu, q.rho))
    sigma, slope = (1 + rho.exp()).log(), 1 / (1 + (-rho).exp())
    moved_mu = mu + step * sigma**2 * gradient
    moved_rho = rho + step * sigma**2 / (2 * slope**2) * gradient * noise * slope
    moved_sigma = (1 + moved_rho.exp()).log()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(moved_mu, moved_sigma), torch.distributions.Normal(mu, sigma)
    ).sum()
    assert information_gain(q, gradient, noise, step=step) == pytest.approx(expected.item(), rel=1e-6)
    # Second order: half of step^2 * sigma^2 * g^2 * (1 + noise^2 / 2).
    second = 0.5 * step**2 * (sigma**2 * gradient**2 * (1 + noise**2 / 2)).sum()
    assert expected.item() == pytest.approx(second.item(), rel=0.05)


def test_the_gain_is_from_the_belief_before_to_the_one_after_and_not_the_other_way_round() -> None:
    """With a step so large that the two differ."""
    q = posterior(sigma=0.3)
    gradient, noise = torch.ones(8), torch.ones(8)
    mu, rho, sigma = (value.detach() for value in (q.mu, q.rho, q.sigma))
    slope = torch.sigmoid(rho)
    moved_mu, moved_rho = mu + 2.0 * sigma**2, rho + 2.0 * sigma**2 / (2 * slope)
    before = torch.distributions.Normal(mu, sigma)
    after = torch.distributions.Normal(moved_mu, torch.nn.functional.softplus(moved_rho))
    expected, reverse = (
        torch.distributions.kl_divergence(*pair).sum().item() for pair in ((after, before), (before, after))
    )
    assert abs(expected - reverse) > 0.2 * expected
    assert information_gain(q, gradient, noise, step=2.0) == pytest.approx(expected, rel=1e-4)


def test_a_gain_as_small_as_those_of_a_search_is_no_rounding_error() -> None:
    """1e-8 nats, over weights whose deviations change by a part in a million."""
    q = posterior(sigma=0.05)
    generator = torch.Generator().manual_seed(2)
    gradient, noise = 1e-2 * torch.randn(8, generator=generator), torch.randn(8, generator=generator)
    sigma = torch.nn.functional.softplus(q.rho.detach().double())
    second = 0.5 * 0.01**2 * (sigma**2 * gradient**2 * (1 + noise**2 / 2)).sum().item()
    assert second < 1e-8
    assert information_gain(q, gradient, noise) == pytest.approx(second, rel=1e-3)


def test_gains_are_standardised_within_a_batch() -> None:
    scaled = standardised([0.00100, 0.00105, 0.00110])
    np.testing.assert_allclose(scaled, [-math.sqrt(1.5), 0.0, math.sqrt(1.5)], atol=1e-9)
    assert standardised([0.25, 0.25]) == standardised([0.0, 0.0]) == [0.0, 0.0]
