from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from autoad_nni.models.hypotheses.density import DensityHypothesis


def naive_energy(code: np.ndarray, weights: np.ndarray, means: np.ndarray, covariances: np.ndarray) -> float:
    """Table I, density, as it is written."""
    total = 0.0
    for weight, mean, covariance in zip(weights, means, covariances, strict=True):
        offset = code - mean
        exponent = -0.5 * offset @ np.linalg.inv(covariance) @ offset
        total += weight * math.exp(exponent) / math.sqrt(np.linalg.det(2 * math.pi * covariance))
    return -math.log(total)


def mixture_codes(seed: int = 0, n: int = 400) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randn(n, 3, generator=generator) @ torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.3, 0.0, 0.4]])
    codes[: n // 2] += torch.tensor([6.0, -3.0, 2.0])
    return codes


def fitted(codes: Tensor, **settings: float) -> DensityHypothesis:
    hypothesis = DensityHypothesis(2, **settings)
    hypothesis.fit(codes)
    return hypothesis


def covariances(factors: Tensor) -> np.ndarray:
    return np.linalg.inv((factors @ factors.mT).numpy())


def test_the_score_is_the_papers_energy() -> None:
    codes = mixture_codes()
    hypothesis = fitted(codes)
    scale = hypothesis.scale.item()
    parts = hypothesis.weights.numpy(), hypothesis.means.numpy(), covariances(hypothesis.factors)
    expected = [naive_energy(code, *parts) for code in (codes[:20].double() / scale).numpy()]
    np.testing.assert_allclose(hypothesis.score(codes[:20]), expected, rtol=1e-5)


def test_the_energy_of_a_case_worked_out_by_hand() -> None:
    """Weights 1/2, means -1 and 1, variances 1/4. At 0, -log(exp(-2) / sqrt(pi / 2)) is 2 + log(pi / 2) / 2."""
    hypothesis = DensityHypothesis(2)
    hypothesis.scale = torch.ones((), dtype=torch.float64)
    hypothesis.weights = torch.tensor([0.5, 0.5], dtype=torch.float64)
    hypothesis.means = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    hypothesis.factors = torch.full((2, 1, 1), 2.0, dtype=torch.float64)  # 1 / sqrt(1/4)
    assert hypothesis.score(torch.zeros(1, 1)).item() == pytest.approx(2 + 0.5 * math.log(math.pi / 2), rel=1e-6)


def test_the_mixture_is_that_of_the_codes() -> None:
    codes = mixture_codes(n=4000)
    hypothesis = fitted(codes)
    order = hypothesis.means[:, 0].argsort()
    true_covariance = torch.tensor([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.3, 0.0, 0.4]])
    true_covariance = true_covariance.T @ true_covariance
    np.testing.assert_allclose(hypothesis.weights, 0.5, atol=0.02)
    means = (hypothesis.means * hypothesis.scale)[order]
    np.testing.assert_allclose(means, [[0, 0, 0], [6, -3, 2]], atol=0.15)
    for covariance in covariances(hypothesis.factors):
        np.testing.assert_allclose(covariance * hypothesis.scale.item() ** 2, true_covariance, atol=0.3)


def test_the_regularizer_is_energy_per_number_and_covariance_penalty() -> None:
    codes = mixture_codes()
    hypothesis = fitted(codes, energy_weight=0.7, covariance_weight=0.03)
    batch = codes[180:220]  # of both components
    small = (batch.double() / hypothesis.scale).numpy()
    parts = hypothesis.weights.numpy(), hypothesis.means.numpy(), covariances(hypothesis.training_factors)
    energies = [naive_energy(code, *parts) for code in small]
    own = np.zeros((len(small), 2))
    for i, code in enumerate(small):
        for k in range(2):
            offset = code - parts[1][k]
            density = math.exp(-0.5 * offset @ np.linalg.inv(parts[2][k]) @ offset)
            own[i, k] = parts[0][k] * density / math.sqrt(np.linalg.det(parts[2][k]))
    own /= own.sum(1, keepdims=True)
    means = (own.T @ small) / own.sum(0)[:, None]
    variances = ((small - own @ means) ** 2).mean(0)
    expected = 0.7 * np.mean(energies) / 3 + 0.03 * np.mean(1 / (variances + 0.01))
    assert hypothesis.regularizer(batch).item() == pytest.approx(expected, rel=1e-4)


def test_the_covariances_of_the_regularizer_are_a_tenth_wider() -> None:
    hypothesis = fitted(mixture_codes())
    wider = covariances(hypothesis.factors) + 0.1 * np.eye(3)
    np.testing.assert_allclose(covariances(hypothesis.training_factors), wider, rtol=1e-6)


@pytest.mark.slow
def test_training_pulls_codes_together_but_not_to_a_point() -> None:
    spread = {}
    for covariance_weight in (0.0, 0.005):
        hypothesis = fitted(mixture_codes(), covariance_weight=covariance_weight)
        free = mixture_codes()[:64].requires_grad_()  # all of one component
        start = free.detach().var(0).mean()
        for _ in range(2000):
            (gradient,) = torch.autograd.grad(hypothesis.regularizer(free), free)
            free = (free - 20 * gradient).detach().requires_grad_()
        spread[covariance_weight] = (free.detach().var(0).mean() / start).item()
    assert spread[0.0] < 1e-3 and 0.02 < spread[0.005] < 1


def test_a_later_fit_goes_on_from_the_last_mixture() -> None:
    hypothesis = fitted(mixture_codes())
    means = hypothesis.means.clone()
    hypothesis.fit(mixture_codes(seed=1) + 0.1)
    torch.testing.assert_close(hypothesis.means, means, atol=0.3, rtol=0)  # the same order of components


@pytest.mark.parametrize("n", [1, 3])
def test_fewer_codes_than_components(n: int) -> None:
    hypothesis = DensityHypothesis(4)
    for _ in range(2):
        hypothesis.fit(torch.arange(float(n * 2)).view(n, 2))
    assert torch.isfinite(hypothesis.score(torch.tensor([[0.0, 1.0], [1e4, 1e4]]))).all()
