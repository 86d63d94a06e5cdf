from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from tiny_space import Sample, grid_space, play

from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.posterior import GaussianPosterior, sharpen
from autoad_nni_strategies.replay import ReplayBuffer
from autoad_nni_strategies.settings import settings_from

ACTIONS = [(0, 1, 2), (1, 0, 0), (2, 1, 3)]


def learner(seed: int = 0, **settings: Any) -> Learner:
    return Learner([3, 2, 4], settings_from("default", **settings), torch.Generator().manual_seed(seed))


def log_prob(of: Learner, action: tuple[int, ...]) -> float:
    """Under the means of the weights."""
    with torch.no_grad():
        return of._log_prob(of.posterior.mu, [action]).item()


def test_a_repeated_sample_surprises_less_than_an_unseen_one() -> None:
    one = learner()
    before = one.gains([ACTIONS[0]])[0]
    for _ in range(150):
        one.imitate([ACTIONS[0]], [1.0])
    repeated, *unseen = (sum(one.gains([action])[0] for _ in range(10)) / 10 for action in ACTIONS)
    assert repeated < 0.7 * before
    assert all(repeated < other for other in unseen)


def test_imitation_has_no_gradient_below_the_baseline() -> None:
    one = learner(kl_weight=1e-3)
    one.reinforce(ACTIONS, [1.0, -0.5, 0.3])  # from here on Adam has momentum
    before = {name: value.clone() for name, value in one.state_dict()["posterior"].items()}
    one.imitate(ACTIONS, [0.0, 0.0, 0.0])
    assert all(torch.equal(value, before[name]) for name, value in one.state_dict()["posterior"].items())


@pytest.mark.parametrize("bayesian", [True, False])
def test_imitation_makes_the_imitated_likelier(bayesian: bool) -> None:
    one = learner(bayesian=bayesian)
    before = log_prob(one, ACTIONS[0])
    for _ in range(20):
        one.imitate(ACTIONS[:1], [1.0])
    assert log_prob(one, ACTIONS[0]) > before + 0.5


def test_the_gradient_of_the_whole_update_is_that_of_finite_differences() -> None:
    """Policy loss at sharpened weights, and the divergence from the prior; the noise and the step held fixed."""
    one = learner(kl_weight=1e-3)
    one.posterior.double()
    one._controller.double()
    advantages = [1.0, -0.5, 0.3]
    generator = torch.Generator().manual_seed(4)
    noise, more_noise = torch.randn(2, len(one.posterior.mu), generator=generator, dtype=torch.float64)
    at = one.posterior.sample(noise).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(one._policy_loss(at, ACTIONS, advantages), at)

    rate = 0.02 * math.sqrt(2) / gradient.norm()  # costs |rate * gradient|^2 / (2 * 0.02^2) = 1 nat

    def loss() -> torch.Tensor:
        weights = one.posterior.sample(noise)
        divergence = one.posterior.divergence_from(one._prior, weights)
        sharpened = weights - rate * gradient + 0.02 * more_noise
        return 1e-3 * divergence + one._policy_loss(sharpened, ACTIONS, advantages)

    # What the learner's own step hands to Adam, with the same noise.
    noises = iter([noise, more_noise])
    one._noise = lambda: next(noises)  # type: ignore[method-assign]
    one._step(ACTIONS, advantages)
    given = {id(p): p.grad for p in (one.posterior.mu, one.posterior.rho)}
    # The step has moved the weights: back, by a fresh copy of the same seed.
    fresh = learner(kl_weight=1e-3).posterior.double()
    with torch.no_grad():
        one.posterior.mu.copy_(fresh.mu)
        one.posterior.rho.copy_(fresh.rho)
    for parameter in (one.posterior.mu, one.posterior.rho):
        for i in range(0, len(parameter), len(parameter) // 25):
            with torch.no_grad():
                parameter[i] += 1e-6
                up = loss().item()
                parameter[i] -= 2e-6
                down = loss().item()
                parameter[i] += 1e-6
            gradient_of = given[id(parameter)]
            assert gradient_of is not None
            assert (up - down) / 2e-6 == pytest.approx(gradient_of[i].item(), rel=1e-3, abs=1e-6)


@pytest.mark.parametrize("update", ["reinforce", "imitate"])
def test_an_update_is_sharpened_by_the_gradient_at_the_sampled_weights(
    monkeypatch: pytest.MonkeyPatch, update: str
) -> None:
    """Not by that at their mean: Eq. 13 samples phi first. The replay is sharpened as well."""
    one, seen = learner(initial_sigma=0.5), []
    advantages = [1.0, 0.5, 0.3]

    def spy(weights: torch.Tensor, gradient: torch.Tensor, **given: Any) -> tuple[torch.Tensor, torch.Tensor]:
        at = weights.detach().requires_grad_()
        (expected,) = torch.autograd.grad(one._policy_loss(at, ACTIONS, advantages), at)
        mean = one.posterior.mu.detach().requires_grad_()
        (at_mean,) = torch.autograd.grad(one._policy_loss(mean, ACTIONS, advantages), mean)
        seen.append((gradient, expected, at_mean))
        return sharpen(weights, gradient, **given)

    monkeypatch.setattr("autoad_nni_strategies.learner.sharpen", spy)
    getattr(one, update)(ACTIONS, advantages)
    ((gradient, expected, at_mean),) = seen
    torch.testing.assert_close(gradient, expected)
    assert not torch.allclose(gradient, at_mean, rtol=0.1)


def test_gains_are_of_the_gradient_at_the_sampled_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    one, seen = learner(initial_sigma=0.5), []

    def spy(posterior: GaussianPosterior, gradient: torch.Tensor, noise: torch.Tensor) -> float:
        seen.append((gradient, noise))
        return 0.0

    monkeypatch.setattr("autoad_nni_strategies.learner.information_gain", spy)
    one.gains(ACTIONS)
    for action, (gradient, noise) in zip(ACTIONS, seen, strict=True):
        sampled, mean = (
            weights.detach().requires_grad_() for weights in (one.posterior.sample(noise), one.posterior.mu)
        )
        expected, at_mean = (
            torch.autograd.grad(one._log_prob(weights, [action]).sum(), weights)[0] for weights in (sampled, mean)
        )
        torch.testing.assert_close(gradient, expected)
        assert not torch.allclose(gradient, at_mean, rtol=0.1)


@pytest.mark.parametrize("bayesian", [True, False])
def test_means_and_deviations_are_learned(bayesian: bool) -> None:
    one = learner(bayesian=bayesian)
    before = {name: value.clone() for name, value in one.state_dict()["posterior"].items()}
    one.reinforce(ACTIONS, [1.0, -0.5, 0.3])
    after = one.state_dict()["posterior"]
    moved = {name: not torch.equal(value, after[name]) for name, value in before.items()}
    assert moved["mu"] and moved["rho"] == bayesian


def test_the_plain_likelihood_has_no_gradient_on_average_the_weighted_one_has() -> None:
    """By enumeration: the policy's own samples, each as often as the policy draws it."""
    one = learner()
    one.posterior.double()
    one._controller.double()
    space = list(itertools.product(range(3), range(2), range(4)))
    weights = one.posterior.sample(one._noise().double()).detach().requires_grad_()
    shares = one._log_prob(weights, space).exp().tolist()
    assert sum(shares) == pytest.approx(1)

    def size_of_gradient(advantage: Callable[[tuple[int, ...]], float]) -> float:
        # The loss is a mean over the samples, not over draws.
        counted = [len(space) * share * advantage(action) for share, action in zip(shares, space, strict=True)]
        (gradient,) = torch.autograd.grad(one._policy_loss(weights, space, counted), weights)
        return gradient.abs().max().item()

    assert size_of_gradient(lambda action: 1.0) < 1e-7
    assert size_of_gradient(lambda action: action[0] - 1.0) > 1e-2


def test_without_bayes_every_draw_of_the_weights_is_the_mean() -> None:
    one = learner(bayesian=False)
    assert torch.equal(one.posterior.sample(one._noise()), one.posterior.mu)
    two = learner()
    assert not torch.equal(two.posterior.sample(two._noise()), two.posterior.mu)


def test_without_bayes_there_is_neither_prior_nor_sharpening() -> None:
    one, other = learner(bayesian=False, kl_weight=1e-2), learner(bayesian=False, sharpening=False)
    for each in (one, other):
        each.reinforce(ACTIONS, [1.0, -0.5, 0.3])
    assert one.figures == {"kl_prior": 0.0, "kl_sharpening": 0.0, "sharpening_share": 0.0}
    assert torch.equal(one.posterior.mu, other.posterior.mu)


def test_the_entropy_is_the_mean_over_the_candidates() -> None:
    one = learner(initial_sigma=1.0)  # far from uniform
    each = [one.entropy([action]) for action in ACTIONS]
    assert max(each) > min(each) + 0.1
    assert one.entropy(ACTIONS) == pytest.approx(sum(each) / 3, rel=1e-5)
    # Of a policy over one decision, by hand.
    single = Learner([4], settings_from("default", bayesian=False), torch.Generator().manual_seed(0))
    shares = [math.exp(log_prob(single, (choice,))) for choice in range(4)]
    assert single.entropy([(0,)]) == pytest.approx(-sum(share * math.log(share) for share in shares))


def best_at_the_ends(sample: Sample) -> float:
    return sum(1.0 for value in sample.values() if value == 0) / len(sample)


SWITCHES: list[dict[str, Any]] = [
    {},
    {"eta": 0.1},
    {"cover": 0},
    {"imagined_updates": 0},
    {"rank_rewards": False},
    {"weight_decay": 0.0},
    {"buffer_size": 0},
    {"bayesian": False},
    {"sharpening": False},
    {"kl_weight": 1e-4},
    {"candidates": 5},
    {"preset": "process"},
    {"preset": "paper"},
]


@pytest.mark.parametrize("switches", SWITCHES)
@pytest.mark.slow
def test_every_switch_gives_a_search_of_its_own(switches: dict[str, Any]) -> None:
    _, samples = play(best_at_the_ends, 30, grid_space(4, 4, 4, 4), seed=1, **switches)
    assert len({tuple(sample.values()) for sample in samples}) == 30
    _, usual = play(best_at_the_ends, 30, grid_space(4, 4, 4, 4), seed=1)
    assert (samples == usual) == (not switches)


def test_without_curiosity_and_memory_it_is_plain_reinforce() -> None:
    """The same as a few lines of REINFORCE on the same controller, to the last bit."""
    from autoad_nni_strategies.baseline import MovingBaseline
    from autoad_nni_strategies.controller import Controller

    plain = {"bayesian": False, "eta": 0, "buffer_size": 0, "candidates": 5}
    plain |= {"cover": 0, "rank_rewards": False, "weight_decay": 0.0}
    strategy, samples = play(best_at_the_ends, 20, grid_space(3, 4, 5), seed=6, **plain)
    generator = torch.Generator().manual_seed(6)
    controller = Controller([3, 4, 5], generator=generator)
    optimizer = torch.optim.Adam(controller.parameters(), lr=2e-2)
    baseline = MovingBaseline(decay=0.9, normalize=True)
    tried: list[tuple[int, ...]] = []
    for _ in range(4):
        batch: list[tuple[int, ...]] = []
        while len(batch) < 5:
            for action in map(tuple, controller.sample(16, generator).tolist()):
                if len(batch) < 5 and action not in tried + batch:
                    batch.append(action)
        rewards = [best_at_the_ends(dict(enumerate(action))) for action in batch]
        advantages = torch.tensor(baseline.advantages(rewards))
        loss = -(advantages * controller.log_prob(torch.tensor(batch)).sum(1)).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        baseline.update(rewards)
        tried += batch
    assert [tuple(sample.values()) for sample in samples] == tried
    means = strategy.state_dict()["learner"]["posterior"]["mu"]
    assert torch.equal(means, torch.nn.utils.parameters_to_vector(controller.parameters()).detach())


def test_the_buffer_keeps_the_best_once_each() -> None:
    buffer = ReplayBuffer(3)
    for action, reward in [((0,), 0.1), ((1,), 0.5), ((1,), 0.5), ((2,), 0.5), ((3,), 0.05), ((4,), 0.9)]:
        buffer.add(action, reward)
    assert buffer.entries == [((4,), 0.9), ((1,), 0.5), ((2,), 0.5)]
    again = ReplayBuffer(3)
    again.load_state_dict(buffer.state_dict())
    assert again.entries == buffer.entries
    nothing = ReplayBuffer(0)
    nothing.add((0,), math.inf)
    assert nothing.entries == []
