from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from autoad_nni_strategies.predictor import RewardPredictor

SIZES = [4, 3, 3, 5]
SPACE = list(itertools.product(*(range(n) for n in SIZES)))


def reward(action: tuple[int, ...]) -> float:
    """The first two decisions matter, also together; the others do not."""
    return 0.3 * (action[0] == 2) + 0.1 * action[1] + 0.2 * (action[0] == 1 and action[1] == 0)


def drawn(n: int, seed: int = 0) -> list[tuple[int, ...]]:
    order = torch.randperm(len(SPACE), generator=torch.Generator().manual_seed(seed)).tolist()
    return [SPACE[i] for i in order[:n]]


def fitted(n: int = 40) -> RewardPredictor:
    predictor = RewardPredictor(SIZES)
    seen = drawn(n)
    predictor.fit(seen, [reward(action) for action in seen])
    return predictor


def test_unseen_architectures_are_ranked() -> None:
    mean, _ = fitted().predict(SPACE)
    assert spearmanr(mean, [reward(action) for action in SPACE]).statistic > 0.9


def test_doubt_is_small_where_it_was_measured() -> None:
    predictor, seen = fitted(), drawn(40)
    _, known = predictor.predict(seen)
    _, unknown = predictor.predict([action for action in SPACE if action not in seen])
    assert known.max() < unknown.mean()


def test_mean_and_deviation_are_those_of_the_textbook() -> None:
    predictor, seen = fitted(), drawn(40)

    differs = predictor._differences(torch.tensor(SPACE), torch.tensor(SPACE)).numpy()
    kernel = np.exp(predictor._log_correlation * differs)
    index = [SPACE.index(action) for action in seen]
    noise = (predictor._factor @ predictor._factor.mT).diagonal().mean().item() - 1
    targets = np.array([reward(action) for action in seen])
    scaled = (targets - targets.mean()) / targets.std()
    gram = kernel[np.ix_(index, index)] + noise * np.eye(len(index))
    weights = np.linalg.solve(gram, scaled)
    variance = 1 - np.einsum("ij,ji->i", kernel[:, index], np.linalg.solve(gram, kernel[index]))
    mean, deviation = predictor.predict(SPACE)
    np.testing.assert_allclose(mean, targets.mean() + targets.std() * kernel[:, index] @ weights, atol=1e-8)
    np.testing.assert_allclose(deviation, targets.std() * np.sqrt(variance), atol=1e-6)


def test_what_matters_is_found() -> None:
    shares = fitted(60)._shares
    assert shares.sum().item() == pytest.approx(1)
    assert shares[:2].sum() > 3 * shares[2:].sum()


@pytest.mark.parametrize("rewards", [[0.5], [0.5, 0.5, 0.5], [0.0, 1.0, math.pi]])
def test_few_or_equal_rewards(rewards: list[float]) -> None:
    predictor = RewardPredictor(SIZES)
    predictor.fit(SPACE[: len(rewards)], rewards)
    mean, deviation = predictor.predict(SPACE)
    assert torch.isfinite(mean).all() and torch.isfinite(deviation).all()


def test_the_expected_improvement_is_that_of_draws() -> None:
    predictor = fitted()
    mean, deviation = predictor.predict(SPACE[:20])
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn_improvement = (mean + deviation * noise - 0.4).clamp(min=0.0).mean(0)
    given = predictor.expected_improvement(SPACE[:20], over=0.4)
    np.testing.assert_allclose(given, drawn_improvement, atol=1e-3)
    assert (given >= 0).all()
