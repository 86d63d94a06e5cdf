"""A miniature recording on digits, from the models that are drawn to the noise and the winners."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from tiny_table import exhaustive, line

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.settings import TrialSettings
from benchmarks.strategies import record as recording
from benchmarks.strategies import winners as of_winners
from benchmarks.strategies.answers import exact, load_answers
from benchmarks.strategies.measures import limit_of, measure
from benchmarks.strategies.noise import noise_of, spread, top
from benchmarks.strategies.proposals import PROPOSERS, proposed
from benchmarks.strategies.recipes import RECIPES, Recipe
from benchmarks.strategies.record import again, read_lines, record
from benchmarks.strategies.specs import SPECS
from benchmarks.strategies.tables import find_table, key_of, read_table
from benchmarks.strategies.winners import Winner, summary, winners

OPTIONS = TaskOptions(data="digits", abnormal=("photos",), limit=60, contamination=0.5)
SETTINGS = TrialSettings(training=TrainingSettings(epochs=1), device="cpu", threads=1)
MODELS = [{**sample, "layer1_activation": "elu"} for sample in exhaustive()[::21]]


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task(OPTIONS)


def drawn(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"sample": sample, "seed": 0} for sample in samples]


def test_a_recording_that_was_cut_off_goes_on_and_is_a_table(tmp_path: Path, task: Task) -> None:
    file = tmp_path / "cells.jsonl"
    record(file, drawn(MODELS[:2]), task, SETTINGS)
    first, second = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(first + second[:30])
    record(file, drawn(MODELS[:3]), task, SETTINGS)
    assert file.read_bytes().startswith(first)
    lines = read_lines(file)
    assert [each["sample"] for each in lines] == MODELS[:3]
    assert {key: lines[1][key] for key in ("default", "test", "verdict")} == {
        key: json.loads(second)[key] for key in ("default", "test", "verdict")
    }
    assert lines[0]["anomalies"] == int(task.validation.labels.sum()) == 12
    assert [each.reward for each in read_table(file).lines] == [each["default"] for each in lines]


def test_a_seed_is_another_training_and_test_is_not_validation(tmp_path: Path, task: Task) -> None:
    file = tmp_path / "cells.jsonl"
    record(file, [{"sample": MODELS[4], "seed": seed} for seed in (0, 1, 0)], task, SETTINGS)
    zero, one = read_lines(file)
    assert (zero["seed"], one["seed"]) == (0, 1)
    assert zero["default"] != one["default"] and zero["default"] != zero["test"] > 0
    rejected = recording.train(MODELS[4], task, replace(SETTINGS, max_macs=1))
    assert (rejected["verdict"], rejected["default"], rejected["test"]) == ("over_macs", 0.0, 0.0)


def test_the_noise_is_that_of_hand_made_trainings(tmp_path: Path) -> None:
    samples, generator = exhaustive(), random.Random(0)
    truth = {key_of(sample): generator.random() for sample in samples}

    def row(sample: dict[str, Any], seed: int, error: float, **more: Any) -> str:
        return line(sample, default=truth[key_of(sample)] + error, verdict="ok", seed=seed, **more) + "\n"

    path = tmp_path / "small.jsonl"
    path.write_text("".join(row(sample, 0, 0.0) for sample in samples))
    table = read_table(path)
    assert noise_of(table) is None
    assert len(spread(table)) == 22 and len(top(table)) == 21
    assert min(each.reward for each in top(table)) == sorted(truth.values())[-21]
    errors = {1: -0.03, 2: -0.05}
    text = "".join(row(each["sample"], each["seed"], errors[each["seed"]]) for each in again(table))
    (tmp_path / "small.again.jsonl").write_text("".join(dict.fromkeys(text.splitlines(keepends=True))))
    noise = noise_of(table)
    assert noise is not None and (noise.n_models, noise.n_top) == (22, 21)
    assert noise.ceiling == pytest.approx(1) and noise.top_ceiling == pytest.approx(1)
    assert noise.deviation == pytest.approx(0.02 / 2**0.5)  # two values that differ by 0.02
    assert noise.drop == pytest.approx(0.04)
    assert "two trainings of the same models correlate by 1.000 (22 of all)" in exact(table).description
    assert exact(table).digest == table.digest


@pytest.mark.slow
def test_proposals_are_the_best_of_each_strategy_and_new(tmp_path: Path) -> None:
    path = tmp_path / "small.jsonl"
    path.write_text("".join(line(sample) + "\n" for sample in exhaustive()))
    answers, known = exact(read_table(path)), [key_of(sample) for sample in exhaustive()[:30]]
    lines = proposed(answers, 4, known, seeds=range(2))
    assert [each["proposer"] for each in lines] == list(PROPOSERS) * 4
    keys = [key_of(each["sample"]) for each in lines]
    assert len(set(keys)) == 12 and not set(keys) & set(known)
    assert min(answers.answer(each["sample"]) for each in lines[:6]) > 0.5  # the median of all is 0.4


def test_winners_are_trained_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    path = tmp_path / "small.jsonl"
    path.write_text("".join(line(sample) + "\n" for sample in exhaustive()))
    answers = load_answers(tmp_path, only="small")[0]
    found = winners(SPECS["random"], answers, searches=2, trials=5)
    assert all(winner.promised == answers.answer(winner.sample) for winner in found)
    recipe = Recipe(lambda: OPTIONS, SETTINGS, lambda: iter(MODELS), None)
    monkeypatch.setattr(of_winners, "RECIPES", {"small": recipe})
    words = ["small", "--tables", str(tmp_path), "--searches", "2", "--trials", "5", "--only", "random"]
    of_winners.main([*words, "--output", str(tmp_path / "out")])
    trained = read_lines(tmp_path / "out" / "winners-small.jsonl")
    assert {(key_of(each["sample"]), each["seed"]) for each in trained} == {
        (key_of(winner.sample), seed) for winner in found for seed in (1, 2)
    }
    assert capsys.readouterr().out.splitlines() == summary({"random": found}, trained).splitlines()


def test_a_summary_is_over_searches_and_a_search_over_its_trainings() -> None:
    one, other = MODELS[:2]
    lines = [
        {"sample": sample, "seed": seed, "default": value, "test": value - 0.1}
        for sample, seed, value in ((one, 1, 0.7), (one, 2, 0.9), (other, 1, 0.6), (other, 2, 0.6))
    ]
    text = summary({"mine": [Winner(one, 0.9), Winner(other, 0.9), Winner(one, 0.9)]}, lines)
    assert text.splitlines()[2].startswith("| mine | 0.9000 ± 0.0000 | 0.7333 ± ")
    assert "| 0.6333 ± " in text


@pytest.mark.parametrize("name", ["random", "cells", "gravel"])
def test_a_recipe_draws_distinct_models_from_the_whole_space(name: str) -> None:
    samples = list(islice(RECIPES[name].samples(), 40))
    assert len({key_of(sample) for sample in samples}) == 40
    assert all(measure(sample).macs <= limit_of(sample) for sample in samples)
    assert all(len(set(values)) > 1 for values in zip(*(sample.values() for sample in samples), strict=True))


@pytest.mark.parametrize("name", list(RECIPES))
def test_a_recipe_yields_the_models_of_its_table(name: str) -> None:
    path = find_table(Path(recording.__file__).parent, name)
    if path is None:
        pytest.skip("not recorded")
    lines = [each.sample for each in read_table(path).lines if not each.proposer]
    assert lines == list(islice(RECIPES[name].samples(), len(lines)))


def test_the_first_models_of_grown_are_a_product_too() -> None:
    samples = list(RECIPES["grown"].samples())
    assert (len(samples), len({key_of(sample) for sample in samples})) == (2304, 2304)
    assert {sample["layer1_activation"] for sample in samples[:1536]} == {"sigmoid", "elu"}
