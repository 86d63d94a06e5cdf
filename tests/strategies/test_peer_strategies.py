"""Strategies of other libraries and local search, beside the contract of strategies (tests/testing)."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from nni.nas.space import RawFormatModelSpace
from tiny_space import PlayedEngine, Sample, grid_space

from autoad_nni_strategies.local_search import LocalSearch, local_search
from autoad_nni_strategies.optuna_strategy import optuna
from autoad_nni_strategies.smac_strategy import SmacProposer, smac
from autoad_nni_strategies.spaces import Decision
from autoad_nni_strategies.strategy import AskTellStrategy

SIZES = (5, 4, 3, 2)
PEERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "local_search": (local_search, {"n_startup_trials": 4}),
    "tpe": (optuna, {"sampler": "tpe", "n_startup_trials": 4}),
    "gp": (optuna, {"sampler": "gp", "n_startup_trials": 4}),
    "smac": (smac, {"n_initial": 4}),
}
NEEDS = {"tpe": "optuna", "gp": "optuna", "smac": "smac"}


@pytest.fixture(params=PEERS)
def peer(request: pytest.FixtureRequest) -> str:
    if request.param in NEEDS:
        pytest.importorskip(NEEDS[request.param])
    return str(request.param)


def bump(sample: Sample) -> float:
    """Best at c0 = 1, c1 = 1, ...: 1.0, and 0.1 less per step away."""
    away: int = sum(abs(value - 1) for value in sample.values())
    return 1.0 - 0.1 * away


def make(peer: str, seed: int = 0, **changes: Any) -> AskTellStrategy:
    factory, arguments = PEERS[peer]
    made: AskTellStrategy = factory(seed=seed, **{**arguments, **changes})
    return made


def play(
    peer: str, answer: Any = bump, trials: int = 12, *, space: RawFormatModelSpace | None = None, learn: Any = ()
) -> list[Sample]:
    strategy, engine = make(peer), PlayedEngine(answer, trials)
    strategy.initialize(space or grid_space(*SIZES), engine)
    if learn:
        strategy.learn(learn)
    strategy.run()
    return engine.samples


def keys(samples: list[Sample]) -> list[tuple[int, ...]]:
    return [tuple(sample.values()) for sample in samples]


def test_failed_trials_count_as_the_lowest_reward(peer: str) -> None:
    """The best region fails; nothing else is said about it."""
    samples = play(peer, lambda sample: None if sample["c0"] < 2 else bump(sample), trials=20)
    assert len(set(keys(samples))) == 20
    assert sum(sample["c0"] >= 2 for sample in samples[10:]) >= 5


@pytest.mark.slow
def test_known_results_are_not_tried_again_and_learned_from(peer: str) -> None:
    known = [({"c0": i, "c1": 1, "c2": 1, "c3": 1}, 1.0 - 0.1 * abs(i - 1)) for i in range(5)]
    samples = play(peer, trials=12, learn=known)
    assert not {tuple(sample.values()) for sample, _ in known} & set(keys(samples))
    assert samples != play(peer, trials=12)


def test_more_samples_are_asked_for_before_there_are_rewards(peer: str) -> None:
    engine = PlayedEngine(bump, 9, concurrency=3)
    make(peer)(grid_space(*SIZES), engine)
    assert len(set(keys(engine.samples))) == 9


@pytest.mark.slow
def test_it_finds_what_is_good(peer: str) -> None:
    """Three choices of ten, and one of two words: 2,000 samples, of which random sampling sees 30."""
    samples = play(peer, trials=30, space=grid_space(10, 10, 10, 2))
    assert max(bump(sample) for sample in samples) >= 0.8


@pytest.mark.parametrize(
    ("peer_name", "arguments", "reason"),
    [
        ("local_search", {"n_startup_trials": 0}, "n_startup_trials is 0. Expected a whole number from 1 to 10"),
        ("local_search", {"n_startup_trials": "5"}, "n_startup_trials is '5'"),
        ("tpe", {"sampler": "cma"}, "sampler is 'cma'. Expected gp or tpe"),
        ("tpe", {"n_ei_candidates": 2.5}, "n_ei_candidates is 2.5"),
        ("smac", {"retrain_after": True}, "retrain_after is True"),
        ("smac", {"n_initial": -1}, "n_initial is -1"),
    ],
)
def test_wrong_arguments_are_refused(peer_name: str, arguments: dict[str, Any], reason: str) -> None:
    if peer_name in NEEDS:
        pytest.importorskip(NEEDS[peer_name])
    with pytest.raises(ValueError, match=reason):
        make(peer_name, **arguments)


@pytest.mark.parametrize(("peer_name", "package"), NEEDS.items())
def test_what_to_install_is_said(peer_name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=rf"pip install 'autoad-nni\[{package}\]'$"):
        make(peer_name)


def test_local_search_stays_beside_the_best_and_turns_to_the_next() -> None:
    search = LocalSearch((Decision("a", (0, 1)), Decision("b", (0, 1, 2))), seed=0, n_startup_trials=1)
    search.tell([({"a": 0, "b": 0}, 0.9), ({"a": 1, "b": 2}, 0.5)])
    near_best = search.ask(3)
    assert sorted((each["a"], each["b"]) for each in near_best) == [(0, 1), (0, 2), (1, 0)]
    assert search.ask(1) == [{"a": 1, "b": 1}]


def test_local_search_moves_to_a_better_one() -> None:
    search = LocalSearch((Decision("a", tuple(range(4))), Decision("b", tuple(range(4)))), seed=0, n_startup_trials=1)
    search.tell([({"a": 0, "b": 0}, 0.1), ({"a": 3, "b": 3}, 0.9)])
    assert all(each["a"] == 3 or each["b"] == 3 for each in search.ask(6))


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.slow
def test_smac_itself_proposes_every_sample(known: bool) -> None:
    """It would end without a word at results of evaluations with another seed than its own."""
    pytest.importorskip("smac")
    decisions = tuple(Decision(f"c{i}", tuple(range(5))) for i in range(4))
    search = SmacProposer(decisions, seed=0, n_initial=3, retrain_after=2)
    if known:
        search.tell([({f"c{i}": 4 for i in range(4)}, 0.2)])
    for _ in range(9):
        (sample,) = search.ask(1)
        search.tell([(sample, bump(sample))])
