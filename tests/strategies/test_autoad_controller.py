from __future__ import annotations

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from autoad_nni_strategies.controller import Controller


def build(*n_choices: int, seed: int = 0, spread: float = 1.0) -> Controller:
    """A controller in double precision; ``spread`` above 1 makes the policy far from uniform."""
    controller = Controller(n_choices, generator=torch.Generator().manual_seed(seed), hidden_size=6).double()
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(spread)
    return controller


def every_action(*n_choices: int) -> Tensor:
    return torch.tensor(list(itertools.product(*map(range, n_choices))))


def log_probs_by_hand(controller: Controller, action: list[int]) -> list[float]:
    """One candidate, one gate at a time."""
    weights = {name: value.tolist() for name, value in controller.state_dict().items()}

    def affine(matrix: list[list[float]], bias: list[float], x: list[float]) -> list[float]:
        return [sum(w * v for w, v in zip(row, x, strict=True)) + b for row, b in zip(matrix, bias, strict=True)]

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    size = controller.hidden_size
    memory = [([0.0] * size, [0.0] * size), ([0.0] * size, [0.0] * size)]
    x = weights["first_input"][0]
    result = []
    for step, choice in enumerate(action):
        for layer, (hidden, cell) in enumerate(memory):
            name = f"cells.{layer}."
            gates = [
                a + b
                for a, b in zip(
                    affine(weights[name + "weight_ih"], weights[name + "bias_ih"], x),
                    affine(weights[name + "weight_hh"], weights[name + "bias_hh"], hidden),
                    strict=True,
                )
            ]
            take, keep, new, show = (gates[i * size : (i + 1) * size] for i in range(4))
            cell = [
                sigmoid(k) * c + sigmoid(t) * math.tanh(n) for k, c, t, n in zip(keep, cell, take, new, strict=True)
            ]
            x = [sigmoid(s) * math.tanh(c) for s, c in zip(show, cell, strict=True)]
            memory[layer] = (x, cell)
        head = affine(weights[f"heads.{step}.weight"], weights[f"heads.{step}.bias"], x)
        logits = [2.5 * math.tanh(value / 5) for value in head]
        result.append(logits[choice] - math.log(sum(math.exp(value) for value in logits)))
        if step < len(action) - 1:
            x = weights[f"embeddings.{step}.weight"][choice]
    return result


@pytest.mark.parametrize("action", [[0, 0, 0], [2, 1, 3], [1, 0, 2]])
def test_log_prob_is_the_log_softmax_worked_out_by_hand(action: list[int]) -> None:
    controller = build(3, 2, 4, spread=15)
    expected = torch.tensor(log_probs_by_hand(controller, action), dtype=torch.float64)
    torch.testing.assert_close(controller.log_prob(torch.tensor([action]))[0], expected)


@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_probabilities_of_all_candidates_sum_to_one(spread: float) -> None:
    probabilities = build(3, 2, 4, spread=spread).log_prob(every_action(3, 2, 4)).sum(1).exp()
    assert probabilities.sum().item() == pytest.approx(1, abs=1e-12)
    assert (probabilities.max() / probabilities.min() > 10) == (spread > 1)


def test_draws_follow_the_policy() -> None:
    controller = build(3, 2, spread=20)
    draws = controller.sample(20_000, torch.Generator().manual_seed(1))
    expected = controller.log_prob(every_action(3, 2)).sum(1).exp()
    counted = torch.stack([(draws == action).all(1).double().mean() for action in every_action(3, 2)])
    assert expected.max() - expected.min() > 0.1
    torch.testing.assert_close(counted, expected, atol=0.015, rtol=0)


def test_a_choice_changes_what_follows() -> None:
    policies = build(2, 3, spread=15)(torch.tensor([[0, 0], [1, 0]]))
    torch.testing.assert_close(policies[0][0], policies[0][1])
    assert (policies[1][0] - policies[1][1]).abs().max() > 0.01


def test_tanh_constant_bounds_the_policy() -> None:
    controller = build(8, spread=1e6)
    policy = controller(torch.tensor([[0]]))[0][0]
    assert (policy.max() - policy.min()).item() == pytest.approx(2 * 2.5)


def test_weights_are_uniform_and_come_from_the_generator_only() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, again, other = (
        Controller([7, 4, 8], generator=torch.Generator().manual_seed(seed)).state_dict() for seed in (3, 3, 4)
    )
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)
    weights = torch.cat([value.flatten() for value in first.values()])
    # Two layers of 4 * 50 * (50 + 50 + 2), heads, embeddings of all but the last choice, the first input.
    assert len(weights) == 2 * 20_400 + 19 * 51 + 11 * 50 + 50
    assert weights.abs().max().item() <= 0.1
    assert weights.std().item() == pytest.approx(0.2 / math.sqrt(12), rel=0.01)


def reinforce_loss(controller: Controller, actions: Tensor, advantages: Tensor) -> Tensor:
    return -(advantages * controller.log_prob(actions).sum(1)).mean()


def test_gradient_is_the_sum_over_candidates_and_steps() -> None:
    """Eq. 5, one token at a time."""
    controller = build(3, 2, 2, spread=5)
    actions, advantages = torch.tensor([[0, 1, 1], [2, 0, 1]]), torch.tensor([0.7, -0.4], dtype=torch.float64)
    torch.autograd.backward(reinforce_loss(controller, actions, advantages))
    for name, parameter in controller.named_parameters():
        assert parameter.grad is not None
        naive = torch.zeros_like(parameter)
        for action, advantage in zip(actions, advantages, strict=True):
            for step in range(3):
                token = controller.log_prob(action[None])[0, step]
                (gradient,) = torch.autograd.grad(token, parameter, allow_unused=True)
                if gradient is not None:
                    naive -= advantage * gradient / 2
        torch.testing.assert_close(parameter.grad, naive, msg=name)


def test_gradient_agrees_with_finite_differences() -> None:
    controller = build(3, 2, 2, spread=5)
    actions, advantages = torch.tensor([[0, 1, 1], [2, 0, 1]]), torch.tensor([0.7, -0.4], dtype=torch.float64)
    torch.autograd.backward(reinforce_loss(controller, actions, advantages))
    generator, step = torch.Generator().manual_seed(2), 1e-5
    for name, parameter in controller.named_parameters():
        assert parameter.grad is not None
        direction = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        slope = 0.0
        with torch.no_grad():
            for sign in (1, -1):
                parameter.add_(direction, alpha=sign * step)
                slope += sign * reinforce_loss(controller, actions, advantages).item() / (2 * step)
                parameter.sub_(direction, alpha=sign * step)
        assert (parameter.grad * direction).sum().item() == pytest.approx(slope, rel=1e-5, abs=1e-9), name


@settings(deadline=None, derandomize=True, max_examples=20)
@given(n_choices=st.lists(st.integers(1, 9), min_size=1, max_size=6), n=st.integers(1, 4), seed=st.integers(0, 99))
def test_any_vocabularies(n_choices: list[int], n: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    controller = Controller(n_choices, generator=generator, hidden_size=5)
    actions = controller.sample(n, generator)
    assert actions.shape == (n, len(n_choices))
    assert all(0 <= token < size for action in actions.tolist() for token, size in zip(action, n_choices, strict=True))
    for policy, size in zip(controller(actions), n_choices, strict=True):
        torch.testing.assert_close(policy.exp().sum(1), torch.ones(n))
        assert policy.shape == (n, size)
    most = torch.tensor(n_choices).log()
    entropy = controller.entropy(actions)
    assert (entropy >= -1e-6).all()
    assert (entropy <= most + 1e-5).all()


def test_entropy_of_a_policy_worked_out_by_hand() -> None:
    controller = build(3, 2, spread=15)
    action = torch.tensor([[1, 0]])
    by_hand = [
        -sum(math.exp(p) * p for p in (log_probs_by_hand(controller, [i, 0])[0] for i in range(3))),
        -sum(math.exp(p) * p for p in (log_probs_by_hand(controller, [1, i])[1] for i in range(2))),
    ]
    assert controller.entropy(action)[0].tolist() == pytest.approx(by_hand)
