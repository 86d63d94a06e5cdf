from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from nni.mutable import Categorical
from nni.nas.space import ModelStatus
from nni.nas.strategy import hpo
from tiny_table import N_MODELS, exhaustive, reward, write

from autoad_nni.errors import AutoADError
from autoad_nni.registry import STRATEGIES
from autoad_nni.searches.spaces import SampleSpace
from benchmarks.strategies.answers import Answers, exact
from benchmarks.strategies.engine import SimulatedEngine
from benchmarks.strategies.runs import ResultsFile, play
from benchmarks.strategies.specs import PEERS, RANDOM, SPECS, Spec, missing, select
from benchmarks.strategies.tables import read_table

HOURS = {"optuna gp"}
SLOW = {name for name in SPECS if name == "smac" or (name.startswith("autoad") and name != "autoad paper")}
PLAYABLE = [
    pytest.param(name, marks=pytest.mark.hours if name in HOURS else pytest.mark.slow if name in SLOW else ())
    for name, spec in SPECS.items()
    if missing(spec) is None
]


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return exact(read_table(write(tmp_path / "small.jsonl", exhaustive())))


@pytest.mark.parametrize("name", PLAYABLE)
def test_every_strategy_spends_its_budget_and_repeats_itself(answers: Answers, name: str) -> None:
    run = play(name, SPECS[name], 3, answers, 40)
    assert len(run.rewards) == 40
    assert set(run.rewards) <= {round(reward(sample), 6) for sample in exhaustive()}
    assert play(name, SPECS[name], 3, answers, 40).rewards == run.rewards
    assert play(name, SPECS[name], 4, answers, 40).rewards != run.rewards
    assert run.seconds > 0


@pytest.mark.parametrize("name", ["regularized evolution", "tpe", "autoad"])
@pytest.mark.slow
def test_what_learns_proposes_better_models_than_chance(answers: Answers, name: str) -> None:
    def mean(of: str) -> float:
        # Few trials: what learns well has soon tried all the good models, and none twice.
        return float(np.mean([play(of, SPECS[of], seed, answers, 50).rewards for seed in range(3)]))

    assert mean(name) > mean(RANDOM) + 0.05


def test_nothing_global_is_left_changed(answers: Answers) -> None:
    before = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    play("tpe", SPECS["tpe"], 0, answers, 5)
    after = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # type: ignore[index,union-attr]
    assert after[0] == before[0] and torch.equal(after[1], before[1]) and after[2] == before[2]
    assert hpo.time is time


def test_a_strategy_that_stops_before_the_budget_is_kept_as_it_is(answers: Answers) -> None:
    assert len(play("grid", Spec("grid_search", {}), 0, answers, N_MODELS + 10).rewards) == N_MODELS


def test_the_engine_tells_what_nni_engines_tell() -> None:
    space = SampleSpace({"a": Categorical([1, 2], label="a")})
    engine = SimulatedEngine(lambda sample: sample["a"] / 10, 2)
    models = [space.freeze({"a": value}) for value in (2, 1)]
    engine.submit_models(*models)
    engine.wait_models(*models)
    assert [model.metric for model in models] == engine.rewards == [0.2, 0.1]
    assert list(engine.list_models()) == list(engine.list_models(ModelStatus.Trained)) == models
    assert list(engine.list_models(ModelStatus.Failed)) == []
    assert engine.idle_worker_available() and not engine.budget_available()
    with pytest.raises(RuntimeError, match="after the budget of 2 trials is used up"):
        engine.submit_models(space.freeze({"a": 1}))


class Counting:
    """A registered strategy that counts how often it is built."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.built = 0
        self.stop_at = stop_at

    def load(self, name: str) -> Any:
        self.built += 1
        if self.built == self.stop_at:
            raise KeyboardInterrupt
        return STRATEGIES.load(name)


def results(path: Path) -> list[Mapping[str, Any]]:
    return [json.loads(row) for row in path.read_text().splitlines()]


def test_runs_go_on_after_an_interruption(answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, spec = tmp_path / "results.jsonl", SPECS[RANDOM]
    monkeypatch.setattr("benchmarks.strategies.runs.STRATEGIES", Counting(stop_at=3))
    with pytest.raises(KeyboardInterrupt):
        ResultsFile(path).play(RANDOM, spec, range(4), answers, 10)
    assert [line["seed"] for line in results(path)] == [0, 1]
    path.write_text(path.read_text() + '{"name": "ran')  # as a power cut leaves it
    monkeypatch.setattr("benchmarks.strategies.runs.STRATEGIES", counting := Counting())
    runs = ResultsFile(path).play(RANDOM, spec, range(4), answers, 10)
    assert counting.built == 2
    assert [line["seed"] for line in results(path)] == [0, 1, 2, 3]
    assert [run.rewards for run in runs] == [play(RANDOM, spec, seed, answers, 10).rewards for seed in range(4)]


def test_a_recorded_run_is_used_where_the_question_is_the_same(answers: Answers, tmp_path: Path) -> None:
    path, spec = tmp_path / "results.jsonl", SPECS["tpe"]
    (run,) = ResultsFile(path).play("tpe", spec, [0], answers, 30)
    known = ResultsFile(path)
    assert known.get("tpe", spec, 0, answers, 30) == run
    shorter = known.get("another name", spec, 0, answers, 10)
    assert shorter is not None and (shorter.name, shorter.trials) == ("another name", 10)
    assert shorter.rewards == play("tpe", spec, 0, answers, 10).rewards
    assert known.get("tpe", spec, 1, answers, 30) is None
    assert known.get("tpe", spec, 0, answers, 31) is None
    assert known.get("tpe", Spec("tpe", {"tpe_args": {"gamma": 0.5}}), 0, answers, 30) is None
    changed = Answers(answers.name, answers.search_space, answers.answer, "", "another digest")
    assert known.get("tpe", spec, 0, changed, 30) is None


def test_a_wrong_line_of_results_is_named(tmp_path: Path) -> None:
    (tmp_path / "results.jsonl").write_text('{"name": "random"}\n')
    with pytest.raises(
        AutoADError, match=r"results.jsonl, line 1 is not a search. Expected one per line. Remove the line"
    ):
        ResultsFile(tmp_path / "results.jsonl")


def test_wrong_arguments_of_a_strategy_are_named(answers: Answers) -> None:
    with pytest.raises(AutoADError, match=r"strategy 'mine' does not take {'batch': 3}: .*batch"):
        play("mine", Spec("autoad", {"batch": 3}), 0, answers, 5)


def test_strategies_are_selected_by_name() -> None:
    assert select(None) == SPECS
    assert list(select("tpe,autoad paper")) == ["autoad paper", "tpe"]
    assert select("grid_search, random") == {"random": SPECS["random"], "grid_search": Spec("grid_search", {})}
    with pytest.raises(AutoADError, match=r"^only names 'rl'. Expected some of: autoad, .*random, .*grid_search"):
        select("random,rl")
    assert set(PEERS) <= set(SPECS)


def test_what_a_strategy_needs_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tianshou", None)
    assert "tianshou" in str(missing(SPECS["policy-based RL"]))
    assert missing(SPECS["tpe"]) is None
