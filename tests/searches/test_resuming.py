"""Searches of real strategies over the paper's space with trials that take no time: none is ever lost."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import nni.nas.strategy.hpo
import pytest
import torch
from lifo_engine import LifoEngine
from nni.nas.execution import SequentialExecutionEngine
from nni.nas.strategy.base import Strategy
from small_search import STRATEGY_ARGS, Killed, events, proposed_and_ended

from autoad_nni.models.surroundings import torch_threads
from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.replay import JournalMiddleware
from autoad_nni.searches.search import Search
from autoad_nni.searches.snapshot import read_snapshot
from autoad_nni.searches.spaces import SampleSpace, declare, to_search_space
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict
from autoad_nni_strategies import AutoAD, AutoADStrategy

PARTS = ("channels", "kernel", "pooling", "pooling_kernel", "normalization", "activation")
LONG, STOPS = 130, (38, 87, 121)
SNAPSHOT = "strategy.safetensors"


def labels(n_layers: int) -> list[str]:
    return ["hypothesis", "distance", *[f"layer{i}_{part}" for i in range(1, n_layers + 1) for part in PARTS]]


def reward_of(sample: Any) -> float:
    digests = [hashlib.sha256(f"{label} {value}".encode()).digest() for label, value in sorted(sample.items())]
    return sum(digest[0] for digest in digests) / 255 / len(digests)


class Session:
    """One process's part of a search; of its trials every seventh crashes."""

    def __init__(
        self,
        path: Path,
        strategy: str = "autoad",
        *,
        trials: int,
        n_layers: int = 1,
        strategy_args: dict[str, Any] | None = None,
        on_end: Callable[[TrialRecord], None] = lambda record: None,
        reopen: Callable[[list[SampleSpace]], None] | None = None,
        at_once: int = 1,
    ) -> None:
        self.records: list[tuple[TrialRecord, bool]] = []
        self.executed: list[int] = []
        self.said: list[str] = []
        self.search = Search(
            search_space=to_search_space(declare("autoencoder", labels(n_layers))),
            journal_path=path,
            strategy=strategy,
            strategy_args=STRATEGY_ARGS[strategy] if strategy_args is None else strategy_args,
            seed=0,
            space="autoencoder",
        )
        self.search.say = self.said.append

        def listen(record: TrialRecord, replayed: bool) -> None:
            self.records.append((record, replayed))
            on_end(record)

        def evaluate(model: SampleSpace) -> None:
            number = model.trial_id
            self.executed.append(number)
            if number % 7 == 6:
                raise RuntimeError("out of memory")
            record = TrialRecord(number=number, sample=model.sample, verdict=Verdict.OK, reward=reward_of(model.sample))
            self.middleware.take(record)

        engine = (
            SequentialExecutionEngine(continue_on_failure=True) if at_once == 1 else LifoEngine(concurrency=at_once)
        )
        self.middleware = JournalMiddleware(
            engine,
            self.search.journal,
            max_trials=trials,
            on_end=listen,
            reopen=reopen,
        )
        with patch.object(nni.nas.strategy.hpo, "time", SimpleNamespace(sleep=lambda seconds: None)):
            self.search.run(self.middleware, evaluate)


# --- as if nothing had happened: also with other threads, from a snapshot or from the journal alone ---


@pytest.fixture(scope="module")
def long_search(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search with one thread, and beside it what a kill would have left after some trials."""
    folder = tmp_path_factory.mktemp("long")

    def copy(record: TrialRecord) -> None:
        if record.number in STOPS:
            shutil.copytree(folder / "state", folder / str(record.number))

    with torch_threads(1):
        Session(folder / "state" / "journal.jsonl", trials=LONG, n_layers=3, strategy_args={}, on_end=copy)
    return folder


@pytest.fixture
def proposals() -> Iterator[list[int]]:
    """The number of threads whenever the strategy works out what to propose next."""
    counted: list[int] = []
    propose = AutoAD._propose

    def counting(search: AutoAD) -> Any:
        counted.append(torch.get_num_threads())
        return propose(search)

    with patch.object(AutoAD, "_propose", counting):
        yield counted


@pytest.mark.parametrize(("stop", "threads"), list(zip(STOPS, (8, 2, 1), strict=True)))
@pytest.mark.slow
def test_a_search_resumed_from_a_snapshot_equals_an_uninterrupted_one(
    long_search: Path, tmp_path: Path, proposals: list[int], stop: int, threads: int
) -> None:
    state = Path(shutil.copytree(long_search / str(stop), tmp_path / "state"))
    with torch_threads(threads):
        session = Session(state / "journal.jsonl", trials=LONG, n_layers=3, strategy_args={})
    straight = long_search / "state"
    assert proposed_and_ended(state / "journal.jsonl") == proposed_and_ended(straight / "journal.jsonl")
    assert (state / "iterations.jsonl").read_bytes() == (straight / "iterations.jsonl").read_bytes()
    assert session.executed == list(range(stop + 1, LONG)) and session.said == []
    assert [(record.number, replayed) for record, replayed in session.records] == [(i, i <= stop) for i in range(LONG)]
    assert len(proposals) <= (LONG - stop + 20) / 5 + 1, "what lies before the snapshot is not worked out again"


@pytest.mark.slow
def test_with_other_threads_a_search_resumed_from_its_journal_equals_an_uninterrupted_one(
    long_search: Path, tmp_path: Path, proposals: list[int]
) -> None:
    state = Path(shutil.copytree(long_search / str(STOPS[-1]), tmp_path / "state"))
    (state / SNAPSHOT).unlink()
    with torch_threads(8):
        session = Session(state / "journal.jsonl", trials=LONG, n_layers=3, strategy_args={})
    assert proposed_and_ended(state / "journal.jsonl") == proposed_and_ended(long_search / "state" / "journal.jsonl")
    assert session.said == [] and len(proposals) >= LONG / 5
    assert set(proposals) == {1}, "sums of several threads come in any order"


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        flip_a_bit,
        lambda path: path.write_bytes(path.read_bytes()[:-5]),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\xff" * 100),
        lambda path: path.with_name("journal.jsonl").write_bytes(
            path.with_name("journal.jsonl").read_bytes().replace(b'"seconds": 0.0', b'"seconds": 1.0', 1)
        ),
    ],
    ids=["a flipped bit", "cut", "empty", "rubbish", "another journal"],
)
@pytest.mark.slow
def test_a_snapshot_that_does_not_fit_is_as_good_as_none(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    path = tmp_path / "journal.jsonl"
    assert Session(path, trials=24).executed == list(range(24))
    damage(tmp_path / SNAPSHOT)
    session = Session(path, trials=30)
    assert session.executed == list(range(24, 30)) and session.said == []
    straight = Session(tmp_path / "straight" / "journal.jsonl", trials=30)
    assert session.middleware.results == straight.middleware.results


def test_a_state_that_the_strategy_refuses_is_as_good_as_none(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Session(path, trials=24)
    with patch.object(AutoADStrategy, "load_state_dict", side_effect=ValueError("of another version")):
        session = Session(path, trials=30)
    assert session.executed == list(range(24, 30)) and session.said == []


@pytest.mark.slow
def test_a_budget_that_ends_in_a_batch_leaves_no_snapshot_of_it(tmp_path: Path) -> None:
    """With a larger budget that batch is another one."""
    path = tmp_path / "journal.jsonl"
    session = Session(path, trials=22, strategy_args={"batch_size": 5})
    snapshot = read_snapshot(session.search.journal)
    assert snapshot is not None and snapshot.n_events == 40
    resumed = Session(path, trials=35, strategy_args={"batch_size": 5})
    straight = Session(tmp_path / "straight" / "journal.jsonl", trials=35, strategy_args={"batch_size": 5})
    assert resumed.middleware.results == straight.middleware.results


def test_an_engine_hears_that_the_search_is_live_also_if_the_snapshot_is_all_there_is(tmp_path: Path) -> None:
    """That of nnictl delivers no result before."""
    path = tmp_path / "journal.jsonl"
    first = Session(path, trials=20, strategy_args={"batch_size": 5})
    snapshot = read_snapshot(first.search.journal)
    assert snapshot is not None and snapshot.n_events == first.search.journal.n_events == 40
    reopened: list[list[SampleSpace]] = []
    session = Session(path, trials=25, strategy_args={"batch_size": 5}, reopen=reopened.append)
    assert reopened == [[]] and session.executed == list(range(20, 25))


# --- several trials at a time ---


def kill_at(*numbers: int) -> Callable[[TrialRecord], None]:
    def listen(record: TrialRecord) -> None:
        if record.number in numbers:
            raise Killed

    return listen


def n_open(lines: list[dict[str, Any]]) -> int:
    names = [line["event"] for line in lines]
    return names.count("submit") - names.count("end")


@pytest.mark.parametrize("at_once", [1, 4])
@pytest.mark.slow
def test_with_trials_open_the_snapshot_and_the_journal_lead_to_the_same(tmp_path: Path, at_once: int) -> None:
    """Killed twice; what follows is the same whether the snapshot was kept or not."""
    kept, lost = tmp_path / "kept", tmp_path / "lost"
    for stop in (27, 50):
        for folder in (kept, lost):
            with pytest.raises(Killed):
                Session(folder / "journal.jsonl", trials=200, at_once=3, on_end=kill_at(stop))
        (lost / SNAPSHOT).unlink(missing_ok=True)
    sessions = [Session(folder / "journal.jsonl", trials=65, at_once=at_once) for folder in (kept, lost)]
    assert (kept / "journal.jsonl").read_bytes() == (lost / "journal.jsonl").read_bytes()
    assert (kept / "iterations.jsonl").read_bytes() == (lost / "iterations.jsonl").read_bytes()
    assert [session.said for session in sessions] == [[], []]
    samples = [json.dumps(sample, sort_keys=True) for sample, _ in sessions[0].middleware.results]
    assert len(samples) == len(set(samples)) == 65
    assert len(sessions[0].search.strategy.state_dict()["tried"]) == 65
    assert sessions[0].search.strategy.core.pending == []


def test_a_snapshot_is_taken_while_trials_run(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    session = Session(path, trials=35, at_once=3)
    snapshot = read_snapshot(session.search.journal)
    assert snapshot is not None and n_open(events(path)[1 : snapshot.n_events + 1]) == 2


# --- a strategy that contradicts the record ---


def contradict(path: Path, number: int) -> None:
    """Change the sample of a recorded trial, as if another processor had made the strategy propose it."""
    lines = events(path)
    samples = [line["sample"] for line in lines if line["event"] == "submit"]
    others = ({**samples[number], "distance": distance} for distance in ("l1", "l2", "ssim", "l21"))
    other = next(sample for sample in others if sample not in samples)
    for event in lines:
        if event.get("id") == number:
            (event if event["event"] == "submit" else event["record"])["sample"] = other
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("n_open", [0, 1])
@pytest.mark.parametrize("strategy", sorted(STRATEGY_ARGS))
@pytest.mark.slow
def test_a_replay_that_differs_keeps_what_is_recorded_and_goes_on(tmp_path: Path, strategy: str, n_open: int) -> None:
    path = tmp_path / "journal.jsonl"
    Session(path, strategy, trials=24)
    contradict(path, 11)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1] if n_open else lines))
    recorded = [TrialRecord.from_json(event["record"]) for event in events(path) if event["event"] == "end"]
    session = Session(path, strategy, trials=34)
    assert session.executed == list(range(24 - n_open, 34))
    assert [record for record, replayed in session.records if replayed] == recorded
    assert [record.number for record, _ in session.records] == list(range(34)), "each is counted once"
    assert proposed_and_ended(path)[: 49 - n_open] == lines[: 49 - n_open]
    assert len(session.said) == 1 and "\n" not in session.said[0]
    assert "now proposes another sample for trial 11 than it did" in session.said[0]
    samples = [json.dumps(record.sample, sort_keys=True) for record, _ in session.records]
    if strategy != "tpe":  # which repeats samples
        assert len(set(samples)) == 34, "what is recorded is not tried once more"
    again = Session(path, strategy, trials=40)
    assert again.executed == list(range(34, 40))
    assert [record for record, replayed in again.records if replayed] == [record for record, _ in session.records]
    assert again.said == ([] if strategy == "autoad" else session.said), "autoad goes on from its snapshot"


@pytest.mark.slow
def test_autoad_learns_from_what_is_recorded_and_then_is_resumed_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    first = Session(path, trials=24)
    contradict(path, 11)
    (tmp_path / SNAPSHOT).unlink()
    straight = Session(Path(shutil.copytree(tmp_path, tmp_path / "straight")) / "journal.jsonl", trials=40)
    best = max(record.reward for record, _ in first.records)
    assert straight.search.strategy.state_dict()["best"] >= best
    assert len(straight.search.strategy.state_dict()["tried"]) == 40
    Session(path, trials=30)
    resumed = Session(path, trials=40)
    assert resumed.middleware.results == straight.middleware.results and resumed.said == []
    iterations = [line["iteration"] for line in events(tmp_path / "iterations.jsonl")]
    assert iterations == list(range(1, len(iterations) + 1))


class Brief(Strategy):  # type: ignore[misc]
    """Proposes some samples in order, and ends."""

    def __init__(self, *, seed: int, n: int) -> None:
        super().__init__()
        self.n = n

    def _run(self) -> None:
        space = {str(label): list(each.values) for label, each in self.model_space.simplify().items()}
        for i in range(self.n):
            self.wait_for_resource()
            sample = {label: values[i % len(values)] for label, values in space.items()}
            self.engine.submit_models(self.model_space.freeze(sample))


def test_a_strategy_that_ends_before_its_record_forgets_no_trial(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with patch.object(STRATEGIES, "load", lambda name: lambda seed: Brief(seed=seed, n=5)):
        Session(path, "random", trials=9)
    with patch.object(STRATEGIES, "load", lambda name: lambda seed: Brief(seed=seed, n=3)):
        session = Session(path, "random", trials=9)
    assert [(record.number, replayed) for record, replayed in session.records] == [(i, True) for i in range(5)]
    assert session.executed == [] and len(session.said) == 1


def test_a_strategy_that_is_stopped_while_it_goes_on_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    Session(path, trials=24)
    contradict(path, 11)

    def kill(record: TrialRecord) -> None:
        if record.number == 28:
            raise Killed

    with pytest.raises(Killed):
        Session(path, trials=34, on_end=kill)
    session = Session(path, trials=34)
    assert session.executed == list(range(29, 34)) and session.said == []
