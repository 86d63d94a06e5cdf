from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal, norm, rankdata, spearmanr

from autoad_nni_strategies.predictor import RewardPredictor, expected_improvement, normal_scores
from autoad_nni_strategies.spaces import Decision

DECISIONS = [
    Decision("colour", ("red", "green", "blue", "black")),
    Decision("width", (16, 8, 32)),
    Decision("bias", (True, False)),
    Decision("kernel", (1, 3, 5, 7, 9)),
]
SPACE = list(itertools.product(*(range(len(decision.values)) for decision in DECISIONS)))


def reward(action: tuple[int, ...]) -> float:
    """The first two decisions matter, also together; the others do not."""
    return 0.3 * (action[0] == 2) + 0.1 * action[1] + 0.2 * (action[0] == 1 and action[1] == 0)


def drawn(n: int, seed: int = 0) -> list[tuple[int, ...]]:
    order = torch.randperm(len(SPACE), generator=torch.Generator().manual_seed(seed)).tolist()
    return [SPACE[i] for i in order[:n]]


def fitted(n: int = 40) -> RewardPredictor:
    predictor = RewardPredictor(DECISIONS)
    seen = drawn(n)
    predictor.fit(seen, [reward(action) for action in seen])
    return predictor


def test_unseen_samples_are_ranked() -> None:
    mean, _ = fitted().predict(SPACE)
    assert spearmanr(mean, [reward(action) for action in SPACE]).statistic > 0.9


def test_the_deviation_is_small_where_it_was_measured() -> None:
    predictor, seen = fitted(), drawn(40)
    _, known = predictor.predict(seen)
    _, unknown = predictor.predict([action for action in SPACE if action not in seen])
    assert known.max() < unknown.mean()


def naive_kernel(predictor: RewardPredictor) -> np.ndarray:
    """Written out: numbers by their place in the order, everything else equal or not."""
    order = {16: 1, 8: 0, 32: 2}
    scales = predictor._log_scales.exp().numpy()
    kernel = np.empty((len(SPACE), len(SPACE)))
    for i, one in enumerate(SPACE):
        for j, other in enumerate(SPACE):
            widths = [order[DECISIONS[1].values[action[1]]] for action in (one, other)]
            distances = [
                one[0] != other[0],
                abs(widths[0] - widths[1]) / 2,
                one[2] != other[2],
                abs(one[3] - other[3]) / 4,
            ]
            kernel[i, j] = math.exp(-sum(scale * d for scale, d in zip(scales, distances, strict=True)))
    return kernel


def test_mean_and_deviation_are_those_of_the_textbook() -> None:
    predictor, seen = fitted(), drawn(40)
    kernel, index = naive_kernel(predictor), [SPACE.index(action) for action in drawn(40)]
    rewards = np.array([reward(action) for action in seen])
    targets = norm.ppf((rankdata(rewards) - 0.5) / len(rewards))
    gram = kernel[np.ix_(index, index)] + predictor._log_noise.exp().item() * np.eye(len(index))
    variance = 1 - np.einsum("ij,ji->i", kernel[:, index], np.linalg.solve(gram, kernel[index]))
    mean, deviation = predictor.predict(SPACE)
    np.testing.assert_allclose(mean, kernel[:, index] @ np.linalg.solve(gram, targets), atol=1e-7)
    np.testing.assert_allclose(deviation, np.sqrt(variance.clip(0)), atol=1e-6)


def test_what_matters_is_found() -> None:
    scales = fitted(100)._log_scales.exp()
    assert scales[:2].min() > 2 * scales[2:].max()


def test_normal_scores_go_by_ranks_and_share_ties() -> None:
    values = torch.tensor([0.0, 0.7, 0.0, 0.71, 100.0, 0.0], dtype=torch.float64)
    expected = norm.ppf((rankdata(values.numpy()) - 0.5) / 6)
    np.testing.assert_allclose(normal_scores(values), expected, atol=1e-12)


def test_fits_climb_to_the_maximum_of_the_posterior_of_scales_and_noise() -> None:
    """Written out: the density of the targets under the prior process, times log-normal priors of precision 1."""
    predictor, seen = fitted(), drawn(40)
    rewards = [reward(action) for action in seen]
    for _ in range(40):
        predictor.fit(seen, rewards)
    targets = norm.ppf((rankdata(rewards) - 0.5) / len(rewards))
    index = [SPACE.index(action) for action in seen]
    state = predictor.state_dict()

    def log_posterior(*step: float) -> float:
        scales, noise = state["log_scales"] + torch.tensor(step[:4]), state["log_noise"] + step[4]
        predictor.load_state_dict({"log_scales": scales, "log_noise": noise})
        covariance = naive_kernel(predictor)[np.ix_(index, index)] + noise.exp().item() * np.eye(len(index))
        prior = norm.logpdf(scales, math.log(0.3)).sum() + norm.logpdf(noise, math.log(0.05))
        return float(multivariate_normal.logpdf(targets, cov=covariance) + prior)

    best = log_posterior(0, 0, 0, 0, 0)
    for i in range(5):
        for by in (0.2, -0.2):
            assert best > log_posterior(*(by * (i == j) for j in range(5)))


def test_the_noise_never_vanishes() -> None:
    """Or the covariance of equal samples could not be factorised."""
    predictor = RewardPredictor(DECISIONS)
    predictor.load_state_dict({**predictor.state_dict(), "log_noise": torch.tensor(-50.0, dtype=torch.float64)})
    predictor.fit(SPACE[:1], [0.5])
    assert predictor.state_dict()["log_noise"].item() == pytest.approx(math.log(1e-4))


@pytest.mark.parametrize("rewards", [[0.5], [0.5, 0.5, 0.5], [0.0, 1.0, math.pi]])
def test_few_or_equal_rewards(rewards: list[float]) -> None:
    predictor = RewardPredictor(DECISIONS)
    predictor.fit(SPACE[: len(rewards)], rewards)
    mean, deviation = predictor.predict(SPACE)
    assert torch.isfinite(mean).all() and torch.isfinite(deviation).all()


@pytest.mark.parametrize(
    ("mean", "deviation", "best", "expected"),
    [
        (0.0, 1.0, 0.0, 0.39894228040143),  # phi(0)
        (0.0, 2.0, -1.0, 1.3955931148028),  # 2 (0.5 Phi(0.5) + phi(0.5))
        (-1.0, 1.0, 0.0, 0.0833154705877),  # -Phi(-1) + phi(-1)
        (0.5, 0.25, 1.0, 0.0021226756542),  # (-2 Phi(-2) + phi(-2)) / 4
        (0.7, 0.0, 0.2, 0.5),  # certain, better
        (0.2, 0.0, 0.7, 0.0),  # certain, worse
    ],
)
def test_expected_improvement_has_the_golden_values(
    mean: float, deviation: float, best: float, expected: float
) -> None:
    given = expected_improvement(*torch.tensor([[mean], [deviation]], dtype=torch.float64), best)
    np.testing.assert_allclose(given, [expected], rtol=1e-10, atol=1e-10)


def test_candidates_are_measured_against_the_best_result() -> None:
    """By draws from their predictions, where the improvement is large enough that its parts show."""
    predictor = fitted(10)
    given = predictor.expected_improvement(SPACE)
    top = given.topk(20).indices.tolist()
    mean, deviation = predictor.predict([SPACE[i] for i in top])
    rewards = [reward(action) for action in drawn(10)]
    best = norm.ppf((rankdata(rewards).max() - 0.5) / 10)
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    expected = (mean + deviation * noise - best).clamp(min=0.0).mean(0)
    assert expected.min() > 0.05
    np.testing.assert_allclose(given[top], expected, rtol=0.03)


def test_a_later_fit_starts_where_the_last_one_ended() -> None:
    one, other = fitted(), RewardPredictor(DECISIONS)
    other.load_state_dict(one.state_dict())
    more = drawn(60, seed=1)
    for predictor in (one, other):
        predictor.fit(more, [reward(action) for action in more])
    assert torch.equal(one.predict(SPACE)[0], other.predict(SPACE)[0])


def test_what_is_believed_is_as_predicted_and_promises_less() -> None:
    decisions = [Decision("a", tuple(range(6))), Decision("b", tuple(range(6)))]
    predictor = RewardPredictor(decisions)
    predictor.fit([(0, 0), (1, 3), (5, 5), (2, 2)], [0.9, 0.2, 0.1, 0.5])
    everywhere = [(a, b) for a in range(6) for b in range(6)]
    mean, deviation = predictor.predict(everywhere)
    before = predictor.expected_improvement([(0, 1), (0, 2)])
    predictor.believe([(0, 1)])
    mean_after, deviation_after = predictor.predict(everywhere)
    torch.testing.assert_close(mean_after, mean)
    at, noise = everywhere.index((0, 1)), predictor.state_dict()["log_noise"].exp()
    variance = deviation[at] ** 2
    torch.testing.assert_close(deviation_after[at] ** 2, variance * noise / (variance + noise))
    assert (deviation_after <= deviation + 1e-9).all()
    after = predictor.expected_improvement([(0, 1), (0, 2)])
    assert after[0] < before[0] and after[1] < before[1]
