from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from small_search import STRATEGY_ARGS, VALUES, Killed, LifoEngine, Sitting, events, quality, stop_after

from autoad_nni.errors import AutoADError
from autoad_nni.registry import STRATEGIES

TRIALS = 11
RUNNABLE = sorted(STRATEGY_ARGS)
ENGINES: dict[str, Callable[[], ExecutionEngine]] = {
    "one at a time": lambda: SequentialExecutionEngine(continue_on_failure=True),
    "two at a time": LifoEngine,
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Sitting, bytes]]:
    """Every strategy on every engine, without an interruption: what happened, and the journal."""
    runs = {}
    for strategy in RUNNABLE:
        for name, engine in ENGINES.items():
            path = tmp_path_factory.mktemp("straight") / "journal.jsonl"
            runs[strategy, name] = Sitting(path, strategy, trials=TRIALS, engine=engine), path.read_bytes()
    return runs


def test_every_registered_strategy_but_the_one_with_more_needs_is_here() -> None:
    assert set(RUNNABLE) == set(STRATEGIES.names()) - {"policy_based_rl"}


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_search_ends_with_its_budget_and_has_ups_and_downs(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], strategy: str
) -> None:
    sitting, journal = straight[strategy, "one at a time"]
    rewards = [reward for _, reward in sitting.outcomes]
    assert len(rewards) == sitting.middleware.n_submitted == TRIALS
    assert sitting.middleware.n_open == 0
    assert len(set(rewards)) > 3
    kinds = Counter(json.loads(line)["event"] for line in journal.splitlines())
    assert kinds == {"search": 1, "submit": TRIALS, "end": TRIALS}


def test_some_trial_fails_or_the_tests_below_prove_less(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]],
) -> None:
    assert any(reward is None for sitting, _ in straight.values() for _, reward in sitting.outcomes)


@pytest.mark.parametrize("strategy", ["autoad", "regularized_evolution", "tpe"])
def test_what_a_learning_strategy_proposes_depends_on_the_results(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], tmp_path: Path, strategy: str
) -> None:
    """Otherwise the same samples after a resume would prove nothing about its state."""
    other = Sitting(tmp_path / "journal.jsonl", strategy, trials=TRIALS, answer=lambda sample: -quality(sample))
    expected = [sample for sample, _ in straight[strategy, "one at a time"][0].outcomes]
    assert [sample for sample, _ in other.outcomes] != expected


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_another_seed_gives_other_samples(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], tmp_path: Path, strategy: str
) -> None:
    other = Sitting(tmp_path / "journal.jsonl", strategy, trials=TRIALS, seed=1)
    assert other.outcomes != straight[strategy, "one at a time"][0].outcomes


@pytest.mark.parametrize("k", [0, 1, 5, TRIALS - 1])
@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_search_killed_in_mid_trial_goes_on_as_if_nothing_had_happened(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], tmp_path: Path, strategy: str, k: int
) -> None:
    path = tmp_path / "journal.jsonl"
    with pytest.raises(Killed):
        Sitting(path, strategy, trials=TRIALS, answer=stop_after(k))
    kinds = Counter(event["event"] for event in events(path))
    assert kinds["submit"] == k + 1 and kinds["end"] == k
    resumed = Sitting(path, strategy, trials=TRIALS)
    expected, journal = straight[strategy, "one at a time"]
    assert resumed.outcomes == expected.outcomes
    assert path.read_bytes() == journal
    assert resumed.executed == list(range(k, TRIALS)), "recorded trials must not run again"
    assert resumed.ended == [(trial, trial < k) for trial in range(TRIALS)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strategy", RUNNABLE)
@settings(deadline=None, derandomize=True, max_examples=8)
@given(data=st.data())
def test_a_journal_cut_at_any_byte_is_enough_to_go_on(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    strategy: str,
    engine: str,
    data: st.DataObject,
) -> None:
    expected, journal = straight[strategy, engine]
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_bytes(journal[: data.draw(st.integers(0, len(journal)))])
    resumed = Sitting(path, strategy, trials=TRIALS, engine=ENGINES[engine])
    assert resumed.outcomes == expected.outcomes
    assert path.read_bytes() == journal


def test_two_trials_at_a_time_end_in_another_order(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]],
) -> None:
    ended = [trial for trial, _ in straight["regularized_evolution", "two at a time"][0].ended]
    assert sorted(ended) == list(range(TRIALS)) != ended


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_many_short_sittings_are_one_search(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], tmp_path: Path, strategy: str
) -> None:
    path = tmp_path / "journal.jsonl"
    for _ in range(TRIALS - 1):
        with pytest.raises(Killed):
            Sitting(path, strategy, trials=TRIALS, answer=stop_after(1))
    assert Sitting(path, strategy, trials=TRIALS).outcomes == straight[strategy, "one at a time"][0].outcomes


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_completed_search_goes_on_with_a_larger_budget(
    straight: dict[tuple[str, str], tuple[Sitting, bytes]], tmp_path: Path, strategy: str
) -> None:
    """Also where the smaller budget ended in the middle of a batch."""
    path = tmp_path / "journal.jsonl"
    assert Sitting(path, strategy, trials=7).executed == list(range(7))
    longer = Sitting(path, strategy, trials=TRIALS)
    assert longer.executed == list(range(7, TRIALS))
    assert longer.outcomes == straight[strategy, "one at a time"][0].outcomes


def test_a_smaller_budget_forgets_no_recorded_trial(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Sitting(path, "random", trials=6)
    before = path.read_bytes()
    second = Sitting(path, "random", trials=2)
    assert second.outcomes == first.outcomes
    assert second.executed == []
    assert path.read_bytes() == before


@pytest.mark.parametrize("strategy", [name for name in RUNNABLE if name != "tpe"])  # TPE repeats samples for ever
def test_without_a_budget_the_strategy_ends_by_itself_when_all_samples_are_tried(tmp_path: Path, strategy: str) -> None:
    n_samples = math.prod(map(len, VALUES.values()))
    outcomes = Sitting(tmp_path / "journal.jsonl", strategy, trials=None).outcomes
    samples = {json.dumps(sample, sort_keys=True) for sample, _ in outcomes}
    assert len(samples) == len(outcomes) <= n_samples
    assert len(outcomes) == n_samples or strategy == "regularized_evolution"  # which gives up after 500 duplicates


def test_a_strategy_that_proposes_something_else_than_recorded_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Sitting(path, "random", trials=5)
    before = path.read_bytes()
    with pytest.raises(AutoADError) as caught:
        Sitting(path, "random", trials=5, seed=1)
    message = str(caught.value)
    assert message.startswith(f"{path}: the strategy proposes another sample for trial 0 than it did")
    assert "Expected the same seed and the same versions of autoad-nni, nni and torch." in message
    assert "start anew" in message and "\n" not in message
    assert path.read_bytes() == before


def test_the_strategy_sees_only_the_reward_and_the_journal_has_all_metrics(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    sitting = Sitting(path, "random", trials=1, answer=lambda sample: 0.25)
    assert [reward for _, reward in sitting.outcomes] == [0.25]
    assert events(path)[-1]["metrics"] == {"default": 0.25, "verdict": "ok"}
