from __future__ import annotations

import json
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest
from cli.run_command import Ended, command
from tiny_table import exhaustive, uniform, write

from autoad_nni.registry import STRATEGIES, Registry
from benchmarks.strategies.__main__ import main


def compare(*words: object) -> Ended:
    return command(*words, main=main)


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    write(tmp_path / "small.jsonl", exhaustive())
    return tmp_path


@pytest.mark.slow
def test_a_comparison_from_tables_to_figures(tables: Path) -> None:
    write(tables / "random.jsonl", uniform(30))
    output = tables / "runs" / "first"
    words = ("--tables", tables, "--trials", 25, "--only", "tpe,random", "--output", output)
    ended = compare(*words, "--seeds", 1)
    assert ended.code == 0
    assert "small: tpe: 1 run, 0 from" in ended.err
    assert "exact: 216 models" in ended.out and "rank correlation" in ended.out and "| random | " in ended.out
    figures = {f"{kind}-{table}.{end}" for kind in ("best", "progress") for table in ("small", "random")
               for end in ("png", "svg")}  # fmt: skip
    assert {path.name for path in output.iterdir()} == {"results.jsonl", "report.md", *figures}
    assert (output / "report.md").read_text() in ended.out
    more = compare(*words, "--seeds", 2)
    assert more.code == 0 and "small: tpe: 1 run, 1 from" in more.err and "Means over 2 seed(s)" in more.out
    assert len((output / "results.jsonl").read_text().splitlines()) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (
            ("--tables", "nowhere"),
            "nowhere has no table. Expected NAME.jsonl.gz with NAME one of small, random, grown, cells, gravel. "
            "Give a folder that has one as --tables",
        ),
        (("--only", "random,rl"), "--only names 'rl'. Expected some of: autoad"),
        (("--seeds", "0"), "--seeds"),
        (("--trials", "many"), "--trials"),
        (("--output", "small.jsonl"), "--output small.jsonl: File exists. Expected a folder to write to."),
    ],
)
def test_bad_input_is_one_line(
    tables: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tables)
    ended = compare("--tables", tables, *words)
    assert ended.code == 2 and ended.out == ""
    assert reason in ended.err and ended.err.count("\n") == 1
    assert [path.name for path in tables.iterdir()] == ["small.jsonl"]


@pytest.mark.slow
def test_a_third_party_strategy_is_compared_by_its_registered_name(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry_points = [
        EntryPoint("random", "autoad_nni.searches.nni_strategies:random", STRATEGIES.group),
        EntryPoint("theirs", "nni.nas.strategy:GridSearch", STRATEGIES.group),
    ]
    for module in ("specs", "runs"):
        registry = Registry(STRATEGIES.group, entry_points=lambda: entry_points)
        monkeypatch.setattr(f"benchmarks.strategies.{module}.STRATEGIES", registry)
    words = ("--tables", tables, "--seeds", 1, "--trials", 5, "--output", tables / "out")
    ended = compare(*words, "--only", "theirs,random")
    assert ended.code == 0 and "| theirs | " in ended.out and "| random | " in ended.out
    (played,) = (line for line in lines_of(tables / "out" / "results.jsonl") if line["name"] == "theirs")
    assert (played["strategy"], played["arguments"], len(played["rewards"])) == ("theirs", {}, 5)


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_a_strategy_that_is_not_installed_is_reported(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tianshou", None)
    words = ("--tables", tables, "--seeds", 1, "--trials", 5, "--output", tables / "out")
    ended = compare(*words, "--only", "random,policy-based RL")
    assert ended.code == 0
    assert ended.out.count("policy-based RL: not installed (") == 1
    alone = compare(*words, "--only", "policy-based RL", "--output", tables / "alone")
    assert alone.code == 2 and "Expected a strategy that can be run" in alone.err


@pytest.mark.slow
def test_what_was_played_elsewhere_is_reported_without_its_packages(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tianshou", None)
    words = ("--tables", tables, "--seeds", 1, "--trials", 5, "--output", tables / "out")
    assert compare(*words, "--only", "random").code == 0
    results = tables / "out" / "results.jsonl"
    known = json.loads(results.read_text())
    strategy = {"name": "policy-based RL", "strategy": "policy_based_rl", "arguments": {}}
    results.write_text(json.dumps(known | strategy) + "\n")
    ended = compare(*words, "--only", "policy-based RL")
    assert ended.code == 0 and "not installed" not in ended.out and "| policy-based RL | " in ended.out
    more = compare(*words, "--only", "policy-based RL", "--seeds", 2)
    assert more.code == 2 and "policy-based RL: not installed (" in more.err


def test_without_matplotlib_nothing_is_played(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = compare("--tables", tables, "--output", tables / "out")
    assert ended.code == 2 and "Install it with: pip install '.[bench]'" in ended.err
    assert not (tables / "out").exists()
