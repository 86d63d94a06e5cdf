from __future__ import annotations

from typing import Any

import torch
from tiny_space import grid_space, play

from autoad_nni_strategies.imagination import imagine
from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.predictor import RewardPredictor
from autoad_nni_strategies.settings import Settings
from autoad_nni_strategies.spaces import Action, Decision

N_CHOICES = [4, 4, 4, 4, 4]


def fitted() -> RewardPredictor:
    """More 2s are better."""
    generator = torch.Generator().manual_seed(0)
    actions = [tuple(row) for row in torch.randint(0, 4, (40, 5), generator=generator).tolist()]
    predictor = RewardPredictor([Decision(str(t), ("a", "b", "c", "d")) for t in range(5)])
    predictor.fit(actions, [float(action.count(2)) for action in actions])
    return predictor


def twos(learner: Learner) -> float:
    return sum(action.count(2) for action in learner.sample(200)) / 1000


def test_the_policy_moves_towards_what_the_predictor_expects() -> None:
    learner = Learner(N_CHOICES, Settings(), torch.Generator().manual_seed(0))
    before = twos(learner)
    imagined = imagine(learner, fitted(), 20, lambda action: True)
    assert before < 0.35 and twos(learner) > 0.6
    assert len(set(imagined)) == len(imagined) <= 20 * 8
    assert max(action.count(2) for action in imagined) == 5


def test_only_what_may_be_tried_is_imitated() -> None:
    learner = Learner(N_CHOICES, Settings(), torch.Generator().manual_seed(0))
    imagined = imagine(learner, fitted(), 10, lambda action: action[0] != 2)
    assert imagined and all(action[0] != 2 for action in imagined)
    before = learner.state_dict()
    assert imagine(learner, fitted(), 3, lambda action: False) == []
    assert torch.equal(before["posterior"]["mu"], learner.state_dict()["posterior"]["mu"])


def test_without_decay_the_policy_cannot_be_moved_any_more() -> None:
    """After 300 updates towards one candidate: how far 20 towards another bring it."""
    moved = {}
    for decay in (0.0, 0.01):
        learner = Learner(N_CHOICES, Settings(weight_decay=decay, bayesian=False), torch.Generator().manual_seed(0))
        for _ in range(300):
            learner.follow([(0, 0, 0, 0, 0)])
        for _ in range(20):
            learner.follow([(2, 2, 2, 2, 2)])
        learner.draw_weights()
        moved[decay] = twos(learner)
    assert moved[0.01] > moved[0.0] + 0.2


def test_all_picks_of_the_default_are_the_policy_s() -> None:
    seen: list[dict[str, Any]] = []
    tried: list[Action] = []

    def answer(sample: dict[str, Any]) -> float:
        tried.append(tuple(sample.values()))
        return float(tried[-1].count(1))

    play(answer, 40, grid_space(4, 4, 4, 4), on_iteration=seen.append)
    sources = [source for row in seen for source in row["sources"]]
    assert set(sources[:10]) == {"cover"} and set(sources) == {"cover", "filtered"} and len(sources) == 40
    play(answer, 40, grid_space(8, 8, 8, 8, 8), on_iteration=seen.append, preset="process")
    assert sum(row["picks_varied"] for row in seen[8:]) > 0
