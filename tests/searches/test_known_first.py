"""A search that begins with known methods: real strategies and journals, an arithmetic trial."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import nni.nas.strategy.hpo
import pytest
from installed import install, seen
from lifo_engine import LifoEngine
from named_space import KNOWN, NARROW, WIDE, install_named_space
from nni.mutable import Categorical, ExpressionConstraint
from nni.nas.execution import ExecutionEngine, SequentialExecutionEngine
from small_search import STRATEGY_ARGS, Killed, Sample, events, proposed_and_ended, stop_after

from autoad_nni.errors import AutoADError
from autoad_nni.searches.known import known_methods, known_within
from autoad_nni.searches.replay import JournalMiddleware
from autoad_nni.searches.search import Search
from autoad_nni.searches.spaces import declare, holds, narrow
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

TRIALS = 9
CHOICES: dict[str, list[Any]] = {
    "hypothesis": ["reconstruction"],
    "distance": ["l1", "l2"],
    "layer1_channels": [3, 8, 16],
    "layer1_kernel": [1, 3, 5],
    "layer1_pooling": ["max"],
    "layer1_pooling_kernel": [1, 3],
    "layer1_normalization": ["none"],
    "layer1_activation": ["elu", "tanh"],
}
ENGINES: dict[str, Callable[[], ExecutionEngine]] = {
    "one at a time": lambda: SequentialExecutionEngine(continue_on_failure=True),
    "two at a time": LifoEngine,
}


@pytest.fixture(scope="module", autouse=True)
def named(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with seen(install_named_space(tmp_path_factory.mktemp("site"))):
        yield


def search_space(**changes: list[Any]) -> dict[str, Any]:
    return {label: {"_type": "choice", "_value": values} for label, values in {**CHOICES, **changes}.items()}


def quality(sample: Sample) -> float:
    """Best for ``wide``; ``narrow`` fails."""
    if sample == NARROW:
        raise RuntimeError("out of memory")
    return 1.0 - 0.1 * sum(sample[label] != value for label, value in WIDE.items())


class Session:
    """One process's part of a search in the space ``named``."""

    def __init__(
        self,
        path: Path,
        strategy: str = "autoad",
        *,
        trials: int = TRIALS,
        known: bool = True,
        space: str = "named",
        choices: dict[str, Any] | None = None,
        engine: str = "one at a time",
        answer: Callable[[Sample], float] = quality,
    ) -> None:
        self.records: list[TrialRecord] = []
        self.executed: list[int] = []
        search = Search(
            search_space=choices or search_space(),
            journal_path=path,
            strategy=strategy,
            strategy_args=STRATEGY_ARGS.get(strategy, {}),
            seed=0,
            space=space,
            known=known,
        )
        self.strategy = search.strategy
        self.middleware = JournalMiddleware(
            ENGINES[engine](), search.journal, max_trials=trials, on_end=lambda record, _: self.records.append(record)
        )

        def evaluate(model: Any) -> None:
            self.executed.append(model.trial_id)
            reward = answer(model.sample)
            record = TrialRecord(number=model.trial_id, sample=model.sample, verdict=Verdict.OK, reward=reward)
            self.middleware.take(record)

        with patch.object(nni.nas.strategy.hpo, "time", SimpleNamespace(sleep=lambda seconds: None)):
            search.run(self.middleware, evaluate)
        self.middleware.wait_models()

    @property
    def outcomes(self) -> list[tuple[str, Sample, float | None]]:
        return [(model.known, model.sample, model.metric) for model in self.middleware.list_models()]


# --- which they are ---


def test_a_space_gives_its_known_methods_in_its_order() -> None:
    assert list(known_methods("named")) == list(KNOWN) and known_methods("named") == KNOWN
    assert known_methods("autoencoder") == {}


def test_a_narrowed_space_has_those_that_it_contains_and_none_twice() -> None:
    def within(**changes: list[Any]) -> list[str]:
        narrowed = search_space(**changes)
        return list(known_within("named", narrow(declare("named", narrowed), narrowed)))

    assert within() == ["wide", "narrow"]
    assert within(layer1_channels=[256, 8, 3]) == ["wide", "dropped", "narrow"]
    assert within(distance=["l1"]) == ["narrow"]
    assert within(hypothesis=["density"]) == []


def test_a_sample_of_a_space_has_its_labels_its_types_and_keeps_its_constraints() -> None:
    width, deep = Categorical([1, 2], label="width"), Categorical([True, False], label="deep")
    mutables = {"width": width, "deep": deep}
    assert holds(mutables, {"width": 1, "deep": True})
    for other in ({"width": 1}, {"width": 1, "deep": 1}, {"width": True, "deep": True}, {"width": 3, "deep": True}):
        assert not holds(mutables, other), other
    assert not holds(mutables, {"width": 1, "deep": True, "more": 1})
    mutables["constraint"] = ExpressionConstraint(width + 1 == 3, label="constraint")
    assert not holds(mutables, {"width": 1, "deep": True}) and holds(mutables, {"width": 2, "deep": True})


@pytest.mark.parametrize("known", [["wide"], {"wide": 3}, "wide"])
def test_what_is_no_mapping_of_samples_is_one_line(tmp_path: Path, known: Any) -> None:
    entry_points = "[autoad_nni.search_spaces]\nodd = odd_space:OddSpace\n"
    source = f"class OddSpace:\n    known = {known!r}\n"
    with (
        seen(install(tmp_path, "odd-space", "1.0", entry_points, odd_space=source)),
        pytest.raises(
            AutoADError, match=r"The search space 'odd' of odd-space has known = .* Expected a mapping"
        ) as fault,
    ):
        known_methods("odd")
    assert "\n" not in str(fault.value)


# --- they are first ---


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strategy", sorted(STRATEGY_ARGS))
def test_every_strategy_begins_after_them_within_the_same_budget(tmp_path: Path, strategy: str, engine: str) -> None:
    session = Session(tmp_path / "j.jsonl", strategy, engine=engine)
    assert session.outcomes[:2] == [("wide", WIDE, 1.0), ("narrow", NARROW, None)]
    assert len(session.outcomes) == TRIALS
    assert {known for known, _, _ in session.outcomes[2:]} == {""}
    submissions = [event["id"] for event in events(tmp_path / "j.jsonl") if event["event"] == "submit"]
    assert submissions == list(range(TRIALS))


def test_the_records_name_them_also_one_that_crashed(tmp_path: Path) -> None:
    session = Session(tmp_path / "j.jsonl")
    named = [(record.known, record.verdict) for record in session.records if record.known]
    assert named == [("wide", Verdict.OK), ("narrow", Verdict.CRASHED)]
    ends = [event["record"] for event in events(tmp_path / "j.jsonl") if event["event"] == "end"]
    assert [TrialRecord.from_json(end).known for end in ends] == ["wide", "narrow"] + [""] * (TRIALS - 2)


def test_without_them_a_search_and_its_journal_are_what_they_were(tmp_path: Path) -> None:
    off, bare = (Session(tmp_path / f"{n}.jsonl", known=known, space=space) for n, known, space in
                 (("off", False, "named"), ("bare", True, "autoencoder")))  # fmt: skip
    assert [sample for _, sample, _ in off.outcomes] == [sample for _, sample, _ in bare.outcomes]
    for name in ("off", "bare"):
        assert "known" not in events(tmp_path / f"{name}.jsonl")[0]
    assert Session(tmp_path / "bare.jsonl", known=False, space="autoencoder").executed == []


@pytest.mark.parametrize("strategy", sorted(STRATEGY_ARGS))
def test_a_budget_below_their_number_ends_the_search_within_them(tmp_path: Path, strategy: str) -> None:
    assert [known for known, _, _ in Session(tmp_path / "j.jsonl", strategy, trials=1).outcomes] == ["wide"]
    longer = Session(tmp_path / "j.jsonl", strategy)
    assert longer.executed == list(range(1, TRIALS))
    assert longer.outcomes == Session(tmp_path / "straight.jsonl", strategy).outcomes


# --- the strategy learns from them ---


@pytest.mark.slow
def test_autoad_imitates_them_and_proposes_them_no_more(tmp_path: Path) -> None:
    session = Session(tmp_path / "j.jsonl", trials=60)
    samples = [json.dumps(sample, sort_keys=True) for _, sample, _ in session.outcomes]
    assert len(set(samples)) == len(samples) == 60
    first = json.loads((tmp_path / "iterations.jsonl").read_text().splitlines()[0])
    assert first["buffer"][0] == {"reward": 1.0, "sample": WIDE} and first["trials"] == 5


def test_what_autoad_proposes_depends_on_their_rewards(tmp_path: Path) -> None:
    """After more of its own trials than the first batch, or the filter has nothing to predict from."""
    good = Session(tmp_path / "good.jsonl", trials=20)
    bad = Session(tmp_path / "bad.jsonl", trials=20, answer=lambda sample: 0.0 if sample == WIDE else quality(sample))
    alike = [a[1] == b[1] for a, b in zip(good.outcomes, bad.outcomes, strict=True)]
    assert alike[:2] == [True, True] and not all(alike)


TELLTALE = """
from nni.nas.strategy.base import Strategy

class Telltale(Strategy):
    def __init__(self, seed):
        super().__init__()
        self.learned = []

    def _initialize(self, model_space, engine):
        self.learned.append("initialized")
        return model_space

    def learn(self, results):
        self.learned.extend(results)

    def _run(self):
        self.learned.append("run")
"""


@pytest.mark.parametrize("engine", ENGINES)
def test_a_strategy_that_can_learn_is_given_all_of_them_in_their_order_before_it_runs(
    tmp_path: Path, engine: str
) -> None:
    entry_points = "[autoad_nni.strategies]\ntelltale = telltale_strategy:Telltale\n"
    with seen(install(tmp_path / "site", "telltale", "1.0", entry_points, telltale_strategy=TELLTALE)):
        session = Session(tmp_path / "j.jsonl", "telltale", engine=engine)
        assert session.strategy.learned == ["initialized", (WIDE, 1.0), (NARROW, None), "run"]
        without = Session(tmp_path / "other.jsonl", "telltale", engine=engine, known=False)
        assert without.strategy.learned == ["initialized", "run"]


# --- resuming ---


@pytest.mark.parametrize("k", [0, 1, 2, 6])
@pytest.mark.parametrize("strategy", sorted(STRATEGY_ARGS))
def test_a_search_killed_among_them_or_later_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, strategy: str, k: int
) -> None:
    straight = Session(tmp_path / "straight.jsonl", strategy)
    with pytest.raises(Killed):
        Session(tmp_path / "j.jsonl", strategy, answer=stop_after(k, quality))
    resumed = Session(tmp_path / "j.jsonl", strategy)
    assert resumed.executed == list(range(k, TRIALS)), "recorded trials must not run again"
    assert resumed.outcomes == straight.outcomes
    assert [record.known for record in resumed.records] == [record.known for record in straight.records]
    assert proposed_and_ended(tmp_path / "j.jsonl") == proposed_and_ended(tmp_path / "straight.jsonl")


@pytest.mark.parametrize("strategy", sorted(STRATEGY_ARGS))
def test_a_journal_cut_after_any_line_is_enough_to_go_on(tmp_path: Path, strategy: str) -> None:
    """With two at a time, so that known methods are open while others have ended."""
    straight = Session(tmp_path / "straight.jsonl", strategy, engine="two at a time")
    lines = (tmp_path / "straight.jsonl").read_bytes().splitlines(keepends=True)
    for n_lines in range(1, 8):
        path = tmp_path / f"{n_lines}" / "j.jsonl"
        path.parent.mkdir()
        path.write_bytes(b"".join(lines[:n_lines]))
        assert Session(path, strategy, engine="two at a time").outcomes == straight.outcomes
        assert proposed_and_ended(path) == lines


@pytest.mark.parametrize("known", [True, False])
def test_a_search_goes_on_with_its_known_methods_only(tmp_path: Path, known: bool) -> None:
    Session(tmp_path / "j.jsonl", trials=3, known=known)
    with pytest.raises(AutoADError, match=r"was recorded with known = .*, this search has .*put the old value back"):
        Session(tmp_path / "j.jsonl", trials=3, known=not known)
