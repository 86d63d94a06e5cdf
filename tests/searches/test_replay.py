from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifo_engine import LifoEngine
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from small_search import STRATEGY_ARGS, VALUES, Killed, Session, events, proposed_and_ended, quality, stop_after

from autoad_nni.registry import STRATEGIES
from autoad_nni.trial.record import TrialRecord

TRIALS = 11
RUNNABLE = sorted(STRATEGY_ARGS)
ENGINES: dict[str, Callable[[], ExecutionEngine]] = {
    "one at a time": lambda: SequentialExecutionEngine(continue_on_failure=True),
    "two at a time": LifoEngine,
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Session, bytes]]:
    """Every strategy on every engine, without an interruption: what happened, and the journal."""
    runs = {}
    for strategy in RUNNABLE:
        for name, engine in ENGINES.items():
            path = tmp_path_factory.mktemp("straight") / "journal.jsonl"
            runs[strategy, name] = Session(path, strategy, trials=TRIALS, engine=engine), path.read_bytes()
    return runs


def test_every_registered_strategy_but_the_one_with_more_needs_is_here() -> None:
    with_extras = {"policy_based_rl", "smac", "optuna"}
    assert {*RUNNABLE, "local_search"} == set(STRATEGIES.names()) - with_extras


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_search_ends_with_its_budget_and_has_ups_and_downs(
    straight: dict[tuple[str, str], tuple[Session, bytes]], strategy: str
) -> None:
    session, journal = straight[strategy, "one at a time"]
    rewards = [reward for _, reward in session.outcomes]
    assert len(rewards) == session.middleware.n_submitted == TRIALS
    assert session.middleware.n_open == 0
    assert len(set(rewards)) > 3
    kinds = Counter(json.loads(line)["event"] for line in journal.splitlines())
    assert kinds == {"search": 1, "submit": TRIALS, "end": TRIALS}


def test_some_trial_fails_or_the_tests_below_prove_less(
    straight: dict[tuple[str, str], tuple[Session, bytes]],
) -> None:
    assert any(reward is None for session, _ in straight.values() for _, reward in session.outcomes)


@pytest.mark.parametrize("strategy", ["autoad", "regularized_evolution", "tpe"])
def test_what_a_learning_strategy_proposes_depends_on_the_results(
    straight: dict[tuple[str, str], tuple[Session, bytes]], tmp_path: Path, strategy: str
) -> None:
    """Otherwise the same samples after a resume would prove nothing about its state."""
    other = Session(tmp_path / "journal.jsonl", strategy, trials=TRIALS, answer=lambda sample: -quality(sample))
    expected = [sample for sample, _ in straight[strategy, "one at a time"][0].outcomes]
    assert [sample for sample, _ in other.outcomes] != expected


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_another_seed_gives_other_samples(
    straight: dict[tuple[str, str], tuple[Session, bytes]], tmp_path: Path, strategy: str
) -> None:
    other = Session(tmp_path / "journal.jsonl", strategy, trials=TRIALS, seed=1)
    assert other.outcomes != straight[strategy, "one at a time"][0].outcomes


@pytest.mark.parametrize("k", [0, 1, 5, TRIALS - 1])
@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_search_killed_in_mid_trial_goes_on_as_if_nothing_had_happened(
    straight: dict[tuple[str, str], tuple[Session, bytes]], tmp_path: Path, strategy: str, k: int
) -> None:
    path = tmp_path / "journal.jsonl"
    with pytest.raises(Killed):
        Session(path, strategy, trials=TRIALS, answer=stop_after(k))
    kinds = Counter(event["event"] for event in events(path))
    assert kinds["submit"] == k + 1 and kinds["end"] == k
    resumed = Session(path, strategy, trials=TRIALS)
    expected, journal = straight[strategy, "one at a time"]
    assert resumed.outcomes == expected.outcomes
    assert proposed_and_ended(path) == journal.splitlines(keepends=True)
    assert resumed.executed == list(range(k, TRIALS)), "recorded trials must not run again"
    assert resumed.ended == [(trial, trial < k) for trial in range(TRIALS)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strategy", RUNNABLE)
@settings(deadline=None, derandomize=True, max_examples=8)
@given(data=st.data())
@pytest.mark.slow
def test_a_journal_cut_at_any_byte_is_enough_to_go_on(
    straight: dict[tuple[str, str], tuple[Session, bytes]],
    tmp_path_factory: pytest.TempPathFactory,
    strategy: str,
    engine: str,
    data: st.DataObject,
) -> None:
    expected, journal = straight[strategy, engine]
    path = tmp_path_factory.mktemp("cut") / "journal.jsonl"
    path.write_bytes(journal[: data.draw(st.integers(0, len(journal)))])
    resumed = Session(path, strategy, trials=TRIALS, engine=ENGINES[engine])
    assert resumed.outcomes == expected.outcomes
    assert proposed_and_ended(path) == journal.splitlines(keepends=True)


def test_two_trials_at_a_time_end_in_another_order(
    straight: dict[tuple[str, str], tuple[Session, bytes]],
) -> None:
    ended = [trial for trial, _ in straight["regularized_evolution", "two at a time"][0].ended]
    assert sorted(ended) == list(range(TRIALS)) != ended


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_many_short_sessions_are_one_search(
    straight: dict[tuple[str, str], tuple[Session, bytes]], tmp_path: Path, strategy: str
) -> None:
    path = tmp_path / "journal.jsonl"
    for _ in range(TRIALS - 1):
        with pytest.raises(Killed):
            Session(path, strategy, trials=TRIALS, answer=stop_after(1))
    assert Session(path, strategy, trials=TRIALS).outcomes == straight[strategy, "one at a time"][0].outcomes


@pytest.mark.parametrize("strategy", RUNNABLE)
def test_a_completed_search_goes_on_with_a_larger_budget(
    straight: dict[tuple[str, str], tuple[Session, bytes]], tmp_path: Path, strategy: str
) -> None:
    """Also where the smaller budget ended in the middle of a batch."""
    path = tmp_path / "journal.jsonl"
    assert Session(path, strategy, trials=7).executed == list(range(7))
    longer = Session(path, strategy, trials=TRIALS)
    assert longer.executed == list(range(7, TRIALS))
    assert longer.outcomes == straight[strategy, "one at a time"][0].outcomes


def test_a_smaller_budget_forgets_no_recorded_trial(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Session(path, "random", trials=6)
    before = path.read_bytes()
    second = Session(path, "random", trials=2)
    assert second.outcomes == first.outcomes
    assert second.executed == []
    assert path.read_bytes() == before


def test_a_trial_begun_beyond_a_smaller_budget_stays_open(tmp_path: Path) -> None:
    """Five have ended and the sixth was killed: with a budget of five nothing is left to run, with six it is."""
    path = tmp_path / "journal.jsonl"
    with pytest.raises(Killed):
        Session(path, "random", trials=TRIALS, answer=stop_after(5))
    before = path.read_bytes()
    assert Session(path, "random", trials=5).executed == []
    assert path.read_bytes() == before
    assert Session(path, "random", trials=6).executed == [5]


@pytest.mark.parametrize("strategy", [name for name in RUNNABLE if name != "tpe"])  # TPE repeats samples for ever
def test_without_a_budget_the_strategy_ends_by_itself_when_all_samples_are_tried(tmp_path: Path, strategy: str) -> None:
    n_samples = math.prod(map(len, VALUES.values()))
    outcomes = Session(tmp_path / "journal.jsonl", strategy, trials=None).outcomes
    samples = {json.dumps(sample, sort_keys=True) for sample, _ in outcomes}
    assert len(samples) == len(outcomes) <= n_samples
    assert len(outcomes) == n_samples or strategy == "regularized_evolution"  # which gives up after 500 duplicates


def test_the_strategy_sees_only_the_reward_and_the_journal_has_the_whole_record(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    session = Session(path, "random", trials=1, answer=lambda sample: 0.25)
    assert [reward for _, reward in session.outcomes] == [0.25]
    record = TrialRecord.from_json(events(path)[-1]["record"])
    assert (record.reward, record.validation, record.seconds) == (0.25, {"auroc": 0.25}, 1.5)
