from __future__ import annotations

import gc
import inspect
import io
import json
import math
import os
import random
import re
import subprocess
import sys
import weakref
from collections.abc import Callable
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nni.mutable import Categorical, ExpressionConstraint, Mutable, MutableDict, Numerical
from nni.nas.space import ModelStatus, RawFormatModelSpace
from scipy.special import ndtri
from tiny_space import BEST, PlayedEngine, Sample, evaluate_or_fail, grid_space, play, quality, run_for_real

from autoad_nni_strategies import AutoADStrategy
from autoad_nni_strategies.controller import Controller
from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.predictor import RewardPredictor
from autoad_nni_strategies.settings import PRESETS, Settings
from autoad_nni_strategies.spaces import Action

SIZES = (5, 4, 3, 4)
# REINFORCE with the moving baseline, and nothing else.
PLAIN: dict[str, Any] = {
    "bayesian": False,
    "eta": 0,
    "buffer_size": 0,
    "candidates": 5,
    "cover": 0,
    "rank_rewards": False,
    "weight_decay": 0.0,
}


def bump(sample: Sample) -> float:
    """Best at c0 = 1, c1 = 1, ...: 1.0, and 0.1 less per step away."""
    away: int = sum(abs(value - 1) for value in sample.values())
    return 1.0 - 0.1 * away


def controller_of(state: dict[str, Any]) -> Controller:
    """The controller with the means of its weights."""
    n_choices = [len(values) for _, *values in state["decisions"]]
    controller = Controller(n_choices, generator=torch.Generator())
    torch.nn.utils.vector_to_parameters(state["learner"]["posterior"]["mu"], controller.parameters())
    return controller


def probability(state: dict[str, Any], *action: int) -> float:
    return math.exp(controller_of(state).log_prob(torch.tensor([action])).sum().item())


def first_state(space: RawFormatModelSpace, **arguments: Any) -> dict[str, Any]:
    strategy = AutoADStrategy(**arguments)
    strategy.initialize(space, PlayedEngine(bump, 0))
    return strategy.state_dict()


# --- it searches ---


def test_finds_the_best_model_on_nni_s_own_engine() -> None:
    strategy = AutoADStrategy(seed=0)
    models = run_for_real(strategy, trials=24)
    assert len(models) == 24
    assert all(model.metric == pytest.approx(quality(**model.sample)) for model in models)
    best = next(strategy.list_models(limit=1))
    assert best.sample == BEST
    assert best.metric == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.slow)])
def test_policy_learns_what_is_good(seed: int) -> None:
    before = first_state(grid_space(*SIZES), seed=seed)
    strategy, samples = play(bump, 150, grid_space(*SIZES), seed=seed)
    after = strategy.state_dict()
    assert probability(after, 1, 1, 1, 1) > 3 * probability(before, 1, 1, 1, 1)
    assert probability(after, 1, 1, 1, 1) > 5 * probability(after, 4, 3, 2, 3)
    # No sample is tried twice, so the last ones of so small a space are what the good ones have left.
    early, late = ([bump(sample) for sample in part] for part in (samples[:10], samples[10:50]))
    assert sum(late) / 40 > sum(early) / 10


def test_presets_move_by_their_learning_rate() -> None:
    moved = {}
    for preset in ("default", "paper"):
        space, once = grid_space(*SIZES), {**PLAIN, "preset": preset}
        before = first_state(space, **once)["learner"]["posterior"]["mu"]
        after = play(bump, 5, space, **once)[0].state_dict()["learner"]["posterior"]["mu"]
        moved[preset] = (after - before).abs().max().item()
    # Adam's first step is the learning rate, in the direction of the gradient's sign.
    assert moved == pytest.approx({"default": 2e-2, "paper": 3.5e-4}, rel=1e-3)


def test_the_paper_s_constants() -> None:
    """Section V-C; what the article leaves open is that of its sources, or no addition of ours at all."""
    assert vars(PRESETS["paper"]) == {
        "seed": 0,
        "batch_size": 5,
        "candidates": 5,
        "varied": 0,
        "cover": 0,
        "imagined_updates": 0,
        "rank_rewards": False,
        "learning_rate": 3.5e-4,
        "weight_decay": 0.0,
        "baseline_decay": 0.99,
        "normalize_advantage": False,
        "eta": 0.01,
        "buffer_size": 10,
        "replay_updates": 1,
        "bayesian": True,
        "sharpening": True,
        "sharpening_divergence": 1.0,
        "initial_sigma": 0.05,
        "kl_weight": 1e-2,
    }


def test_first_gradient_is_equation_5() -> None:
    space = grid_space(3, 2)
    arguments: dict[str, Any] = {**PLAIN, "batch_size": 3, "normalize_advantage": False}
    controller = controller_of(first_state(space, **arguments))
    strategy, samples = play(lambda sample: float(sample["c0"]), 3, space, **arguments)
    rewards = [float(sample["c0"]) for sample in samples]
    assert len(set(rewards)) > 1
    for sample, reward in zip(samples, rewards, strict=True):
        for step in range(2):
            token = controller.log_prob(torch.tensor([list(sample.values())]))[0, step]
            torch.autograd.backward(-(reward - sum(rewards) / 3) * token / 3)
    # Adam's first moment starts at (1 - 0.9) times the gradient.
    mean = strategy.state_dict()["learner"]["optimizer"]["means"][0]
    gradient = torch.cat([parameter.grad.flatten() for parameter in controller.parameters()])  # type: ignore[union-attr]
    torch.testing.assert_close(mean, 0.1 * gradient, atol=1e-8, rtol=1e-4)


def test_of_the_buffer_only_what_is_above_the_baseline_is_imitated() -> None:
    arguments: dict[str, Any] = {"bayesian": False, "normalize_advantage": False, "replay_updates": 1}
    strategies = [AutoADStrategy(**arguments, rank_rewards=False, weight_decay=0.0) for _ in range(2)]
    for strategy in strategies:
        strategy.initialize(grid_space(3, 2), PlayedEngine(bump, 0))
    both, upper_alone = strategies
    both.core._baseline.update([0.5])
    both.core._imitate([((0, 1), 0.8), ((2, 0), 0.1)])
    upper_alone.core._learner.imitate([(0, 1)], [0.3 / 2])  # the mean is over both
    gradients = [strategy.core._learner.state_dict()["optimizer"]["means"][0] for strategy in strategies]
    assert gradients[0].any()
    torch.testing.assert_close(*gradients)


def test_curiosity_rewards_what_surprises(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equally good architectures, by their gains: less the mean 4, divided by the deviation, then times eta."""
    advantages: list[float] = []
    monkeypatch.setattr(Learner, "gains", lambda self, actions: [1.0, 2.0, 3.0, 4.0, 10.0])
    monkeypatch.setattr(Learner, "reinforce", lambda self, actions, given: advantages.extend(given))
    play(lambda sample: 0.5, 5, grid_space(*SIZES), eta=0.3, normalize_advantage=False)
    assert advantages == pytest.approx([0.3 * (gain - 4) / math.sqrt(10) for gain in (1, 2, 3, 4, 10)])


def test_curiosity_makes_nothing_likelier_for_having_been_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of equal rewards and equal gains no architecture has an advantage, in any batch; the replay's b has no gains."""
    advantages: list[float] = []
    monkeypatch.setattr(Learner, "gains", lambda self, actions: [3.0] * len(actions))
    monkeypatch.setattr(Learner, "reinforce", lambda self, actions, given: advantages.extend(given))
    baselines: list[float] = []
    note = lambda row: baselines.append(row["baseline"])  # noqa: E731
    play(lambda sample: 0.5, 20, grid_space(*SIZES), eta=0.3, on_iteration=note)
    assert advantages == pytest.approx([0.0] * 20, abs=1e-9)
    assert baselines == pytest.approx([0.5] * 4)


# --- budget, concurrency, duplicates ---


@pytest.mark.parametrize(("trials", "iterations"), [(1, 0), (5, 1), (7, 1), (12, 2)])
def test_it_learns_from_whole_batches_and_uses_the_whole_budget(trials: int, iterations: int) -> None:
    seen: list[dict[str, float]] = []
    _, samples = play(bump, trials, grid_space(*SIZES), on_iteration=seen.append)
    assert len(samples) == trials
    assert [row["trials"] for row in seen] == [5 * (i + 1) for i in range(iterations)]


@pytest.mark.parametrize("concurrency", [2, 5, 9])
def test_no_trial_waits_for_another(concurrency: int) -> None:
    engine = OccupiedEngine(bump, 40, concurrency)
    AutoADStrategy(seed=1)(grid_space(*SIZES), engine)
    assert engine.running_before == [min(i, concurrency - 1) for i in range(40)]
    assert len({tuple(sample.values()) for sample in engine.samples}) == 40
    assert all(model.status is ModelStatus.Trained for model in engine.models), "it awaits the last ones"


class OccupiedEngine(PlayedEngine):
    """Notes how many trials run when another is submitted."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.running_before: list[int] = []

    def submit_models(self, *models: Any) -> None:
        self.running_before.append(len(self.running))
        super().submit_models(*models)


def test_iterations_are_of_the_results_that_came_first() -> None:
    """With three trials at a time, of which the newest ends first."""
    seen: list[dict[str, Any]] = []
    ended: list[float] = []

    def answer(sample: Sample) -> float:
        ended.append(bump(sample))
        return ended[-1]

    play(answer, 20, grid_space(*SIZES), concurrency=3, on_iteration=seen.append)
    assert [row["iteration"] for row in seen] == [1, 2, 3, 4]
    assert [row["reward"] for row in seen[:3]] == pytest.approx([sum(ended[i : i + 5]) / 5 for i in (0, 5, 10)])


def test_what_is_being_tried_is_predicted_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    believed: list[list[Action]] = []
    believe = RewardPredictor.believe
    monkeypatch.setattr(RewardPredictor, "believe", lambda self, a: (believed.append(list(a)), believe(self, a))[1])
    play(bump, 30, grid_space(*SIZES))
    assert believed == [], "one trial at a time"
    _, samples = play(bump, 30, grid_space(*SIZES), concurrency=3)
    actions = [tuple(sample.values()) for sample in samples]
    assert len(believed) >= 4 and all(actions[:2] == pending[:2] for pending in believed), "the two oldest never end"
    assert {len(pending) for pending in believed} == {2}


@pytest.mark.parametrize("seed", range(3))
def test_never_the_same_twice_and_ends_when_the_space_is_exhausted(seed: int) -> None:
    _, samples = play(bump, 1000, grid_space(3, 2, 4), seed=seed, batch_size=7)
    assert len(samples) == 24
    assert len({tuple(sample.values()) for sample in samples}) == 24


def test_a_certain_policy_still_proposes_something_new() -> None:
    """The walk takes over where every draw is a duplicate."""
    space = grid_space(4, 4, 4)
    state = first_state(space)
    for step, preferred in enumerate((2, 3, 3)):
        state["learner"]["controller"][f"heads.{step}.bias"][:] = -1e3
        state["learner"]["controller"][f"heads.{step}.bias"][preferred] = 1e3
    tried = [[a, b, 3] for a in range(4) for b in range(4)] + [[2, 3, c] for c in range(3)]
    state["tried"] = [[action, 0.5] for action in tried]
    left = 64 - 16 - 3
    _, samples = play(bump, left, space, state=state)
    assert len({tuple(sample.values()) for sample in samples}) == left
    assert not any(list(sample.values()) in tried for sample in samples)


def constrained(expression: Callable[[Categorical, Categorical], Mutable]) -> RawFormatModelSpace:
    a, b = (Categorical(range(6), label=label) for label in "ab")
    constraint = ExpressionConstraint(expression(a, b), label="constraint")
    return RawFormatModelSpace(MutableDict({"a": a, "b": b, "constraint": constraint}), None)


def test_constraints_hold_and_all_that_they_leave_is_found() -> None:
    _, samples = play(lambda sample: float(sample["a"]), 100, constrained(lambda a, b: a + b == 5))
    assert sorted((sample["a"], sample["b"]) for sample in samples) == [(a, 5 - a) for a in range(6)]


def test_constraints_that_leave_nothing_are_an_error() -> None:
    with pytest.raises(ValueError, match="rejects every sample"):
        play(bump, 10, constrained(lambda a, b: a + b == 50))


def test_other_mutables_are_refused_when_the_search_starts() -> None:
    with pytest.raises(TypeError, match="'rate' is a Numerical"):
        play(bump, 5, grid_space(2, rate=Numerical(0, 1, label="rate")))


def test_values_need_not_be_hashable() -> None:
    values: list[Any] = [None, [1, 2], {"kernel": 3}, "x"]
    space = RawFormatModelSpace(MutableDict({"v": Categorical(values, label="v")}), None)
    _, samples = play(lambda sample: 1.0, 10, space)
    assert sorted(samples, key=str) == sorted(({"v": value} for value in values), key=str)


def test_a_long_search_predicts_from_the_best_and_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[float]] = []
    monkeypatch.setattr("autoad_nni_strategies.autoad._MOST_TO_PREDICT", 20)
    fit = RewardPredictor.fit
    monkeypatch.setattr(RewardPredictor, "fit", lambda self, a, r: (fitted.append(list(r)), fit(self, a, r))[1])
    play(answer := CountingDown(), 61, grid_space(8, 8, 8, 8))
    assert [len(rewards) for rewards in fitted] == [10, 15, *[20] * 9]
    assert sorted(fitted[-1]) == sorted(answer.given[:10] + answer.given[50:60])  # the first were the best
    assert all(len(set(rewards)) == len(rewards) for rewards in fitted), "none twice"


def test_the_filter_keeps_what_promises_most_of_draws_and_variations(monkeypatch: pytest.MonkeyPatch) -> None:
    offered: list[list[Action]] = []

    def improvement(self: RewardPredictor, actions: list[Action]) -> torch.Tensor:
        offered.append(actions)
        return torch.tensor([float(sum(action)) for action in actions])

    monkeypatch.setattr(RewardPredictor, "expected_improvement", improvement)
    _, samples = play(bump, 15, grid_space(8, 8, 8, 8), candidates=20, varied=2, imagined_updates=0)
    tried, kept = ([tuple(sample.values()) for sample in part] for part in (samples[:10], samples[10:]))
    ((*candidates,),) = offered  # with fewer than 10 results nothing is predicted
    assert kept == sorted(candidates, key=lambda action: -sum(action))[:5]  # of equal ones, the earlier
    drawn = candidates[:20]
    best = sorted(tried, key=lambda action: -bump(dict(enumerate(action))))[:2]
    variants = {(*one[:t], choice, *one[t + 1 :]) for one in best for t in range(4) for choice in range(8)}
    assert sorted(candidates[20:]) == sorted(variants - {*tried, *drawn})


def test_each_iteration_imitates_as_often_as_set(monkeypatch: pytest.MonkeyPatch) -> None:
    imitated: list[int] = []
    monkeypatch.setattr(Learner, "imitate", lambda self, actions, advantages: imitated.append(len(actions)))
    play(bump, 10, grid_space(*SIZES), replay_updates=3)
    assert imitated == [5, 5, 5, 10, 10, 10]


class CountingDown:
    def __init__(self) -> None:
        self.given: list[float] = []

    def __call__(self, sample: Sample) -> float:
        self.given.append(1 - len(self.given) / 100)
        return self.given[-1]


# --- samples that were tried before ---

GIVEN: list[tuple[Sample, float | None]] = [
    ({"c0": 1, "c1": 1, "c2": 1, "c3": 1}, 1.0),
    ({"c0": 0, "c1": 0, "c2": 0, "c3": 0}, 0.6),
    ({"c0": 4, "c1": 3, "c2": 2, "c3": 3}, None),
]


def taught(results: list[tuple[Sample, float | None]], **arguments: Any) -> AutoADStrategy:
    strategy = AutoADStrategy(**arguments)
    strategy.initialize(grid_space(*SIZES), PlayedEngine(bump, 0))
    strategy.learn(results)
    return strategy


def asked(trials: int, results: list[tuple[Sample, float | None]], **arguments: Any) -> list[Sample]:
    """What a strategy proposes that has learned from these results."""
    strategy, engine = AutoADStrategy(**arguments), PlayedEngine(bump, trials)
    strategy.initialize(grid_space(*SIZES), engine)
    strategy.learn(results)
    strategy.run()
    return engine.samples


def test_what_it_learns_stands_in_history_buffer_and_baseline() -> None:
    state = taught(GIVEN).state_dict()
    assert state["tried"] == [[[1, 1, 1, 1], 1.0], [[0, 0, 0, 0], 0.6], [[4, 3, 2, 3], 0.6]], "failed: the lowest"
    assert state["buffer"] == [[[1, 1, 1, 1], 1.0], [[0, 0, 0, 0], 0.6]]
    assert (state["lowest"], state["best"], state["iteration"]) == (0.6, 1.0, 0)
    assert state["baseline"]["value"] == pytest.approx((1.0 + 0.6 + 0.6) / 3)
    assert state["curious_baseline"]["value"] is None, "the policy has drawn nothing yet"


def test_what_it_learned_is_likelier_the_better_it_was() -> None:
    before = first_state(grid_space(*SIZES))
    after = taught(GIVEN, replay_updates=50).state_dict()
    assert probability(after, 1, 1, 1, 1) > 10 * probability(before, 1, 1, 1, 1)
    assert probability(after, 4, 3, 2, 3) < probability(before, 4, 3, 2, 3)


@pytest.mark.slow
def test_what_it_learned_is_never_proposed_and_all_else_is() -> None:
    samples = asked(1000, GIVEN)
    assert len(samples) == math.prod(SIZES) - len(GIVEN)
    assert not any(sample in samples for sample, _ in GIVEN)


def test_the_filter_predicts_from_what_it_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[list[Action]] = []
    fit = RewardPredictor.fit
    monkeypatch.setattr(RewardPredictor, "fit", lambda self, a, r: (fitted.append(list(a)), fit(self, a, r))[1])
    results: list[tuple[Sample, float | None]] = [
        ({"c0": i % 5, "c1": i % 4, "c2": i % 3, "c3": 0}, i / 10) for i in range(10)
    ]
    asked(1, results)
    assert fitted == [[(i % 5, i % 4, i % 3, 0) for i in range(10)]], "before the first sample of its own"


def test_nothing_to_learn_changes_nothing() -> None:
    assert asked(20, []) == play(bump, 20, grid_space(*SIZES))[1]


def test_failures_alone_teach_no_reward() -> None:
    state = taught([(sample, None) for sample, _ in GIVEN]).state_dict()
    assert [reward for _, reward in state["tried"]] == [0.0] * 3
    assert state["buffer"] == [] and state["baseline"]["value"] is None and state["best"] is None


def drawn(seed: int) -> list[tuple[Sample, float | None]]:
    """Some results, whatever they are."""
    draw = random.Random(seed)
    samples = {tuple(draw.randrange(size) for size in SIZES) for _ in range(draw.randrange(1, 15))}
    return [
        ({f"c{i}": value for i, value in enumerate(action)}, draw.choice([None, draw.random()])) for action in samples
    ]


@pytest.mark.slow
def test_a_new_process_that_learned_the_same_proposes_the_same() -> None:
    code = (
        "import json; from test_autoad_strategy import asked, drawn;"
        "print(json.dumps([asked(12, drawn(seed), seed=seed) for seed in range(10)]))"
    )
    here = [asked(12, drawn(seed), seed=seed) for seed in range(10)]
    assert json.loads(in_new_process(code)) == here
    for seed, samples in enumerate(here):
        assert not any(sample in samples for sample, _ in drawn(seed))


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_going_on_from_a_state_that_has_learned_is_bit_identical(preset: str) -> None:
    strategy = taught(GIVEN, seed=3, preset=preset)
    samples = play(bump, 20, grid_space(*SIZES), preset=preset, state=strategy.state_dict())[1]
    assert samples == asked(20, GIVEN, seed=3, preset=preset)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"c0": 1}, "The sample has the labels ['c0']. Expected ['c0', 'c1', 'c2', 'c3']"),
        ({**GIVEN[0][0], "c4": 1}, "The sample has the labels ['c0', 'c1', 'c2', 'c3', 'c4']."),
        ({**GIVEN[0][0], "c0": 9}, "The sample has c0 = 9. Expected one of [0, 1, 2, 3, 4]"),
        ({**GIVEN[0][0], "c0": True}, "The sample has c0 = True. Expected one of"),
    ],
)
def test_a_sample_of_another_space_teaches_nothing(sample: Sample, message: str) -> None:
    strategy = AutoADStrategy()
    strategy.initialize(grid_space(*SIZES), PlayedEngine(bump, 0))
    before = strategy.state_dict()
    with pytest.raises(ValueError, match=re.escape(message)):
        strategy.learn([GIVEN[0], (sample, 0.5)])
    assert_same(before, strategy.state_dict())


def test_it_learns_between_initialize_and_run() -> None:
    with pytest.raises(RuntimeError, match=r"Expected initialize\(\) before learn\(\)"):
        AutoADStrategy().learn(GIVEN)


# --- failed trials ---


def test_failed_and_non_finite_trials_get_the_lowest_reward_so_far() -> None:
    answers = iter([None, math.nan, None, None, 0.4, 0.9, math.inf, 0.2, 0.6, -math.inf, None, 0.5])
    seen: list[dict[str, float]] = []
    play(lambda sample: next(answers), 12, grid_space(*SIZES), batch_size=4, on_iteration=seen.append)
    assert [row["failed"] for row in seen] == [4, 1, 2]
    assert [row["reward"] for row in seen] == pytest.approx(
        [0.0, (0.4 + 0.9 + 0.4 + 0.2) / 4 - 0.05, (0.6 + 0.2 + 0.2 + 0.5) / 4]
    )
    assert math.isnan(seen[0]["best"])
    assert [row["best"] for row in seen[1:]] == [0.9, 0.9]


def test_failed_trials_are_not_imitated() -> None:
    """Not even while the buffer has room: their stand-in is no result."""
    answers = iter([0.5, None, 0.3, math.nan, None, 0.4])
    seen: list[dict[str, Any]] = []
    play(lambda sample: next(answers), 6, grid_space(*SIZES), batch_size=3, on_iteration=seen.append)
    assert [entry["reward"] for entry in seen[-1]["buffer"]] == [0.5, 0.4, 0.3]


def test_what_failed_before_the_first_result_is_no_better_than_it() -> None:
    """Or with rewards below 0 the predictor would look for failures."""
    answers = iter([None, None, -10.0, None, -9.0, -11.0])
    seen: list[dict[str, Any]] = []
    space = grid_space(*SIZES)
    strategy, _ = play(lambda sample: next(answers), 6, space, batch_size=2, concurrency=1, on_iteration=seen.append)
    assert sorted(reward for _, reward in strategy.state_dict()["tried"]) == [-11.0, -10.0, -10.0, -10.0, -10.0, -9.0]
    assert seen[1]["baseline"] == -10.0, "zeros are no results"


@pytest.mark.parametrize("preset", PRESETS)
def test_a_reward_that_overflows_is_a_failure(preset: str) -> None:
    answers = iter([1e308, 0.5, -1e155, 1e15, 0.7, 0.1])
    seen: list[dict[str, Any]] = []
    play(lambda sample: next(answers), 6, grid_space(*SIZES), preset=preset, batch_size=3, on_iteration=seen.append)
    assert [(row["failed"], row["best"]) for row in seen] == [(2, 0.5), (0, 1e15)]


def test_negative_rewards_have_a_best_of_their_own() -> None:
    seen: list[dict[str, float]] = []
    answers = iter([None, -3.0, -2.0, -5.0])
    play(lambda sample: next(answers), 4, grid_space(*SIZES), batch_size=2, on_iteration=seen.append)
    assert [row["best"] for row in seen] == [-3.0, -2.0]
    assert [row["reward"] for row in seen] == pytest.approx([-3.0, -3.5])


def test_crashing_trials_on_nni_s_own_engine_do_not_stop_the_search() -> None:
    models = run_for_real(AutoADStrategy(seed=0), trials=30, function=evaluate_or_fail)
    failed = [model for model in models if model.status is ModelStatus.Failed]
    assert len(models) == 24
    assert [model.sample["width"] for model in failed] == [16] * 6


# --- determinism and state ---


def test_seeds_differ_and_repeat() -> None:
    runs = [play(bump, 12, grid_space(*SIZES), seed=seed)[1] for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_rewards_matter() -> None:
    up, down = (play(lambda sample, sign=sign: sign * bump(sample), 60, grid_space(*SIZES))[1] for sign in (1, -1))  # type: ignore[misc]
    assert up[:5] == down[:5]
    assert up != down


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(1)
    before = (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]
    play(bump, 12, grid_space(*SIZES))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1:] == (np.random.get_state()[1].tolist(), random.getstate())  # type: ignore[index]


def in_new_process(code: str) -> str:
    """What Python code prints that may import what is beside this file."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    env = {**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "12", "NNI_FRAMEWORK": "none"}
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


@pytest.mark.slow
def test_same_samples_in_a_new_process() -> None:
    code = (
        "import json; from tiny_space import grid_space, play; from test_autoad_strategy import SIZES, bump;"
        "print(json.dumps(play(bump, 40, grid_space(*SIZES), seed=3)[1]))"
    )
    assert json.loads(in_new_process(code)) == play(bump, 40, grid_space(*SIZES), seed=3)[1]


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_going_on_from_a_state_is_bit_identical(preset: str) -> None:
    whole, samples = play(bump, 40, grid_space(*SIZES), seed=2, preset=preset)
    half, first = play(bump, 20, grid_space(*SIZES), seed=2, preset=preset)
    file = io.BytesIO()
    torch.save(half.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    rest, second = play(bump, 20, grid_space(*SIZES), seed=99, preset=preset, state=state)
    assert first + second == samples
    assert_same(whole.state_dict(), rest.state_dict())


def test_an_interrupted_trial_is_run_again_and_all_goes_on() -> None:
    _, samples = play(bump, 20, grid_space(*SIZES))
    calls = iter(range(100))

    def interrupted(sample: Sample) -> float:
        if next(calls) == 12:
            raise KeyboardInterrupt
        return bump(sample)

    strategy = AutoADStrategy()
    strategy.initialize(grid_space(*SIZES), PlayedEngine(interrupted, 20))
    with pytest.raises(KeyboardInterrupt):
        strategy.run()
    _, rest = play(bump, 8, grid_space(*SIZES), state=strategy.state_dict())
    assert rest == samples[12:]


def test_models_live_as_long_as_the_strategy() -> None:
    """NNI's training-service engine has weak references only."""
    strategy, _ = play(bump, 10, grid_space(*SIZES))
    models = [weakref.ref(model) for model in strategy.engine.models]
    strategy.engine.models.clear()
    gc.collect()
    assert len(models) == 10 and all(model() is not None for model in models)


def test_a_state_is_a_copy() -> None:
    strategy, _ = play(bump, 5, grid_space(*SIZES))
    state = strategy.state_dict()
    state["tried"].clear()
    state["learner"]["posterior"]["mu"].zero_()
    assert len(strategy.state_dict()["tried"]) == 5
    assert strategy.state_dict()["learner"]["posterior"]["mu"].any()


def test_state_of_another_space_is_refused() -> None:
    state = first_state(grid_space(3, 2))
    with pytest.raises(
        ValueError, match=r"\['c0', '0', '1', '2'\].*\['c0', '0', '1'\].* Resume with the space of that"
    ):
        play(bump, 5, grid_space(2, 3), state=state)
    for values in (
        (2, 1, 0),
        (0, 1, 5),
        (0, 1, "2"),
    ):  # the same numbers of choices: old rewards would count for others
        other = RawFormatModelSpace(
            MutableDict({"c0": Categorical(values, label="c0"), "c1": Categorical(range(2), label="c1")}), None
        )
        with pytest.raises(ValueError, match="Resume with the space of that search"):
            play(bump, 5, other, state=state)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"settings": {"bayesian": False}}, "a search with batch_size = None, but this strategy has 5"),
        ({"buffer": None, "other": 1}, "The state has .*'other'.* Expected .*give what state_dict"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(changed: dict[str, Any], message: str) -> None:
    state = play(bump, 10, grid_space(*SIZES))[0].state_dict()
    strategy = AutoADStrategy()
    strategy.initialize(grid_space(*SIZES), PlayedEngine(bump, 0))
    before = strategy.state_dict()
    for wrong in ({**state, **changed}, {}, None):
        with pytest.raises(ValueError, match=message if wrong else "The state has .* Expected") as error:
            strategy.load_state_dict(wrong)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    assert_same(strategy.state_dict(), before)


def test_a_state_of_other_settings_is_refused_by_name() -> None:
    state = play(bump, 10, grid_space(*SIZES), seed=3)[0].state_dict()
    strategy = AutoADStrategy(buffer_size=3)
    strategy.initialize(grid_space(*SIZES), PlayedEngine(bump, 0))
    with pytest.raises(ValueError, match="of a search with buffer_size = 10, but this strategy has 3"):
        strategy.load_state_dict(state)


def test_a_search_that_constraints_end_early_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Of a million samples 462 are valid: not all are found, and it is not said that none is left."""
    digits = [Categorical(range(10), label=f"k{i}") for i in range(6)]
    constraint = ExpressionConstraint(sum(digits[1:], digits[0]) == 6, label="constraint")
    space = RawFormatModelSpace(MutableDict({**{each.label: each for each in digits}, "constraint": constraint}), None)
    with caplog.at_level("INFO", logger="autoad_nni_strategies"):
        _, samples = play(lambda sample: 0.5, 40, space, seed=5)
    ends = [record for record in caplog.records if "search" in record.message]
    assert len(samples) < 40 and [record.levelname for record in ends] == ["WARNING"]
    assert f"ends after {len(samples)} candidates" in ends[0].message


def test_no_state_before_initialize() -> None:
    with pytest.raises(RuntimeError, match=r"initialize\(\) before state_dict"):
        AutoADStrategy().state_dict()
    with pytest.raises(RuntimeError, match=r"initialize\(\) before load_state_dict"):
        AutoADStrategy().load_state_dict({})


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_same(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_same(a, b)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


# --- what is seen, what is refused ---


def test_diagnostics_of_the_first_iterations() -> None:
    seen: list[dict[str, Any]] = []
    space = grid_space(*SIZES)
    _, samples = play(bump, 10, space, eta=0.01, buffer_size=7, on_iteration=seen.append)
    rewards = [bump(sample) for sample in samples]
    first, second = sum(rewards[:5]) / 5, sum(rewards[5:]) / 5
    names = "iteration trials failed reward best baseline entropy intrinsic imitated kl_prior kl_sharpening "
    names += "sources curiosity mutual_information sharpening_share picks_drawn picks_cover picks_filtered picks_varied"
    of_buffer = "buffer buffer_min buffer_mean buffer_max"
    assert [set(row) for row in seen] == [{*names.split(), *of_buffer.split()}] * 2
    assert [row["imitated"] for row in seen] == [5, 7]
    best_first = sorted(samples, key=lambda sample: -bump(sample))[:7]
    assert seen[1]["buffer"] == [{"reward": bump(sample), "sample": sample} for sample in best_first]
    kept = sorted(rewards)[-7:]
    assert [seen[1][name] for name in of_buffer.split()[1:]] == pytest.approx([kept[0], sum(kept) / 7, kept[-1]])
    assert all(row["intrinsic"] > 0 and row["kl_sharpening"] > 0 for row in seen)
    assert [row["iteration"] for row in seen] == [1, 2]
    assert [row["picks_cover"] for row in seen] == [5, 5]
    assert [row["sources"] for row in seen] == [["cover"] * 5] * 2
    assert all(0 < row["sharpening_share"] < 0.01 and -0.01 < row["mutual_information"] < math.log(4) for row in seen)
    ranks = [np.array([sum((b < a) + (b == a) / 2 for b in rewards[:n]) for a in rewards[n - 5 : n]]) for n in (5, 10)]
    deviations = [ndtri(rank / n).std() for rank, n in zip(ranks, (5, 10), strict=True)]
    assert [row["curiosity"] for row in seen] == pytest.approx([0.01 / deviation for deviation in deviations])
    assert [row["reward"] for row in seen] == pytest.approx([first, second])
    assert [row["best"] for row in seen] == [max(rewards[:5]), max(rewards)]
    assert [row["baseline"] for row in seen] == pytest.approx([first, 0.9 * first + 0.1 * second])
    # Almost uniform at first.
    assert seen[0]["entropy"] == pytest.approx(math.log(5 * 4 * 3 * 4), rel=0.01)


@pytest.mark.slow
def test_entropy_falls_as_the_policy_learns() -> None:
    seen: list[dict[str, float]] = []
    play(bump, 150, grid_space(*SIZES), on_iteration=seen.append)
    assert seen[-1]["entropy"] < seen[0]["entropy"] - 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "papre"}, "preset is 'papre'. Expected one of default, paper"),
        ({"batch_size": 0}, "batch_size is 0. Expected a whole number from 1"),
        ({"preset": ["paper"]}, r"preset is \['paper'\]. Expected one of default, paper"),
        ({"batch_size": 10**400}, "batch_size is 10+. Expected a whole number from 1 to 10"),
        ({"kl_weight": 1e300}, "kl_weight is 1e.300. Expected a number from 0 to 10"),
        ({"initial_sigma": 1000}, "initial_sigma is 1000. Expected a number above 0, up to 10: .* arguments.$"),
        ({"bayesian": "false"}, "bayesian is 'false'. Expected true or false: .* arguments.$"),
        ({"batch_size": 2.5}, "batch_size is 2.5. Expected a whole number"),
        ({"learning_rate": -1.0}, "learning_rate is -1.0. Expected a number above 0"),
        ({"learning_rate": "1e-3"}, "learning_rate is '1e-3'. .* write numbers without quotes and as 1.0e-3"),
        ({"learning_rate": math.nan}, "learning_rate is nan"),
        ({"baseline_decay": 1}, "baseline_decay is 1. Expected a number from 0 to below 1"),
        ({"normalize_advantage": 1}, "normalize_advantage is 1. Expected true or false"),
        ({"seed": "x"}, "seed is 'x'. Expected a whole number"),
        ({"candidates": 3}, "candidates is 3. Expected at least batch_size, 5"),
        ({"eta": -0.1}, "eta is -0.1. Expected a number from 0"),
        ({"buffer_size": 1.5}, "buffer_size is 1.5. Expected a whole number from 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        AutoADStrategy(**arguments)
    assert "\n" not in str(error.value)


def test_a_whole_number_with_a_point_is_one() -> None:
    whole = {"batch_size": 4.0, "buffer_size": 3.0, "replay_updates": 2.0, "candidates": 20.0, "varied": 2.0}
    play(bump, 16, grid_space(*SIZES), **whole)
    strategy = AutoADStrategy(**whole)  # type: ignore[arg-type]
    assert strategy.settings == AutoADStrategy(**{name: int(value) for name, value in whole.items()}).settings
    assert {type(getattr(strategy.settings, name)) for name in whole} == {int}


def test_every_setting_is_an_argument_of_its_type() -> None:
    arguments = dict(inspect.signature(AutoADStrategy).parameters)
    assert {arguments.pop(name).kind for name in ("preset", "on_iteration")} == {inspect.Parameter.KEYWORD_ONLY}
    assert list(arguments) == [field.name for field in fields(Settings)]
    for field in fields(Settings):
        optional = "int" if field.name == "seed" else f"{field.type} | None"
        assert (arguments[field.name].annotation, arguments[field.name].kind) == (
            optional,
            inspect.Parameter.KEYWORD_ONLY,
        )
        assert arguments[field.name].default == (0 if field.name == "seed" else None)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("field", fields(Settings), ids=lambda field: field.name)
def test_every_argument_takes_the_place_of_the_preset_s_value(preset: str, field: Field[Any]) -> None:
    usual = PRESETS[preset]
    value = getattr(usual, field.name)
    if isinstance(value, bool):
        other = not value
    elif isinstance(value, int):
        other = 4 if field.name == "batch_size" else value + 1  # with more, paper's candidates follow
    else:
        other = value + 0.005
    assert AutoADStrategy(preset=preset, **{field.name: other}).settings == replace(usual, **{field.name: other})
    assert AutoADStrategy(preset=preset).settings == usual


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'etta'"):
        AutoADStrategy(etta=0.1)  # type: ignore[call-arg]
