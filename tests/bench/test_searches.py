"""Real searches in miniature, and what is said about them, from hand-made trials."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.training import TrainingSettings
from autoad_nni.storing import read_lines
from autoad_nni.trial.settings import TrialSettings
from benchmarks.strategies import searches
from benchmarks.strategies.recipes import Recipe
from benchmarks.strategies.record import train
from benchmarks.strategies.searches import found, main, search, summary
from benchmarks.strategies.specs import SPECS

OPTIONS = TaskOptions(data="digits", abnormal=("photos",), limit=60, contamination=0.5)
SETTINGS = TrialSettings(training=TrainingSettings(epochs=1), device="cpu", threads=1)


@pytest.fixture(autouse=True)
def miniature(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "RECIPES", {"small": Recipe(lambda: OPTIONS, SETTINGS, lambda: iter(()), None)})


def without_times(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in line.items() if not name.endswith("_seconds")} for line in lines]


def test_a_search_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    search("small", "autoad", SPECS["autoad"], 0, 6, whole)  # the strategy learns after five
    first = whole.read_bytes().splitlines(keepends=True)
    parts.write_bytes(b"".join(first[:5]) + first[5][:40])
    search("small", "autoad", SPECS["autoad"], 0, 6, parts)
    assert without_times(read_lines(parts)) == without_times(read_lines(whole))
    assert parts.read_bytes().startswith(b"".join(first[:5]))
    assert [line["trial"] for line in read_lines(parts)] == list(range(6))
    assert all(line["training_seconds"] > 0 for line in read_lines(parts))


def test_the_seed_is_that_of_the_strategy_the_split_and_the_trainings(tmp_path: Path) -> None:
    file = tmp_path / "searches.jsonl"
    for seed in (0, 1):
        search("small", "random", SPECS["random"], seed, 3, file)
    lines = read_lines(file)
    assert [line["sample"] for line in lines[:3]] != [line["sample"] for line in lines[3:]]
    of_one = next(line for line in lines[3:] if line["verdict"] == "ok")

    def figures(split: int, training: int) -> tuple[float, float]:
        task = load_task(replace(OPTIONS, seed=split))
        line = train(of_one["sample"], task, replace(SETTINGS, seed=training))
        return line["default"], line["test"]

    recorded = (of_one["default"], of_one["test"])
    assert figures(1, 1) == recorded
    assert figures(0, 1) != recorded and figures(1, 0) != recorded


def test_a_file_of_another_course_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "searches.jsonl"
    search("small", "random", SPECS["random"], 0, 2, file)
    lines = read_lines(file)
    lines[1]["sample"]["distance"] = "none"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(AutoADError, match=r"another sample as trial 1 of .* Remove the lines"):
        search("small", "random", SPECS["random"], 0, 3, file)
    assert read_lines(file) == lines


def trials(name: str, seed: int, rewards: list[float], seconds: float = 1.0) -> list[dict[str, Any]]:
    row = {"table": "small", "name": name, "seed": seed, "training_seconds": seconds, "strategy_seconds": 0.0}
    return [{**row, "default": reward, "test": reward - 0.1} for reward in rewards]


def cells(text: str, table: int) -> dict[str, dict[str, str]]:
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in text.split("\n\n")[table].splitlines()]
    return {row[0]: dict(zip(rows[0], row, strict=True)) for row in rows[2:]}


def test_a_summary_of_hand_made_searches() -> None:
    lines = [
        *trials("random", 0, [0.5, 0.6, 0.4]),
        *trials("random", 1, [0.3, 0.2, 0.4]),
        *trials("mine", 0, [0.5, 0.7, 0.8], seconds=1.4),
        *trials("mine", 1, [0.6, 0.5, 0.6], seconds=1.4),
        *trials("mine", 2, [0.9, 0.9, 0.9]),  # random has no such search
        *trials("other", 0, [0.1, 0.1]),
    ]
    text = summary(lines, ["random", "mine"])
    assert text.endswith("2 searches each, seeds 0, 1.")
    mine, random = cells(text, 1)["mine"], cells(text, 1)["random"]
    assert mine["best at 3"] == "0.7000 ± 1.2706"  # 12.706 times 0.1, half the distance of the two
    assert mine["to random"] == "+0.2000 ± 0.0000"
    assert (mine["worst seed"], mine["median"], mine["best quarter from"]) == ("0.6000", "0.7000", "0.7500")
    assert (random["worst seed"], random["best quarter from"], random["to random"]) == (
        "0.4000",
        "0.5500",
        "+0.0000 ± 0.0000",
    )
    mine = cells(text, 2)["mine"]
    assert mine["test of the winner at 3"] == "0.6000 ± 1.2706"
    assert mine["at equal time"] == "+0.1500 ± 0.6353"  # two of its trials: 0.6 and 0.5 against 0.5 and 0.3
    assert mine["mean of the five best"] == "0.5167 ± 0.6353"  # of all three trials: 17 / 30 and 14 / 30
    assert mine["five to random"] == "+0.2167 ± 0.6353"  # random: 0.4 and 0.2, so 1 / 6 and 4 / 15
    assert (mine["s per trial"], mine["of the strategy"]) == ("1.40", "0.000")
    assert "No seed that every strategy has ended" in summary(lines, ["random", "other"])
    assert found(lines[:3], 0) == (0.5, 0.4)


def test_the_command_searches_and_random_is_always_beside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--only", "local search", "--seeds", "1", "--trials", "2", "--output", str(tmp_path / "out")]
    main(["small", *words])
    file = tmp_path / "out" / "searches.jsonl"
    assert [(line["name"], line["trial"]) for line in read_lines(file)] == [
        ("random", 0),
        ("random", 1),
        ("local search", 0),
        ("local search", 1),
    ]
    printed = capsys.readouterr().out
    assert set(cells(printed, 1)) == {"random", "local search"}
    before = file.read_bytes()
    main(words)
    assert capsys.readouterr().out == printed and file.read_bytes() == before
