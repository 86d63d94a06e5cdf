from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from cli.run_command import command
from tiny_table import exhaustive, uniform, write


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    write(tmp_path / "small.jsonl", exhaustive())
    return tmp_path


def test_a_comparison_from_tables_to_figures(tables: Path) -> None:
    write(tables / "random.jsonl", uniform(30))
    output = tables / "runs" / "first"
    words = ("bench", "strategies", "--tables", tables, "--trials", 25, "--only", "tpe,random", "--output", output)
    ended = command(*words, "--seeds", 1)
    assert ended.code == 0
    assert "small: tpe: 1 played, 0 from" in ended.err
    assert "exact: 216 models" in ended.out and "rank correlation" in ended.out and "| random | " in ended.out
    figures = {f"{kind}-{table}.{end}" for kind in ("best", "progress") for table in ("small", "random")
               for end in ("png", "svg")}  # fmt: skip
    assert {path.name for path in output.iterdir()} == {"results.jsonl", "report.md", *figures}
    assert (output / "report.md").read_text() in ended.out
    more = command(*words, "--seeds", 2)
    assert more.code == 0 and "small: tpe: 1 played, 1 from" in more.err and "Means over 2 seed(s)" in more.out
    assert len((output / "results.jsonl").read_text().splitlines()) == 2 * 2 * 2


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("--tables", "nowhere"), "nowhere has no table. Expected small.jsonl.gz or random.jsonl.gz. Give --tables"),
        (("--only", "rl"), "--only names 'rl'. Expected some of: autoad"),
        (("--seeds", "0"), "--seeds"),
        (("--trials", "many"), "--trials"),
        (("--output", "small.jsonl"), "--output small.jsonl: File exists. Expected a folder to write to."),
    ],
)
def test_bad_input_is_one_line(
    tables: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], reason: str
) -> None:
    monkeypatch.chdir(tables)
    ended = command("bench", "strategies", "--tables", tables, *words)
    assert ended.code == 2 and ended.out == ""
    assert reason in ended.err and ended.err.count("\n") == 1
    assert [path.name for path in tables.iterdir()] == ["small.jsonl"]


def test_a_strategy_that_is_not_installed_is_reported(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tianshou", None)
    words = ("bench", "strategies", "--tables", tables, "--seeds", 1, "--trials", 5, "--output", tables / "out")
    ended = command(*words, "--only", "random,policy-based RL")
    assert ended.code == 0
    assert ended.out.count("policy-based RL: not installed (") == 1
    alone = command(*words, "--only", "policy-based RL", "--output", tables / "alone")
    assert alone.code == 2 and "Expected a strategy that can be played" in alone.err


def test_what_was_played_elsewhere_is_reported_without_its_packages(
    tables: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tianshou", None)
    words = ("bench", "strategies", "--tables", tables, "--seeds", 1, "--trials", 5, "--output", tables / "out")
    assert command(*words, "--only", "random").code == 0
    results = tables / "out" / "results.jsonl"
    known = json.loads(results.read_text())
    strategy = {"name": "policy-based RL", "strategy": "policy_based_rl", "arguments": {}}
    results.write_text(json.dumps(known | strategy) + "\n")
    ended = command(*words, "--only", "policy-based RL")
    assert ended.code == 0 and "not installed" not in ended.out and "| policy-based RL | " in ended.out
    more = command(*words, "--only", "policy-based RL", "--seeds", 2)
    assert more.code == 2 and "policy-based RL: not installed (" in more.err


def test_without_matplotlib_nothing_is_played(tables: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    ended = command("bench", "strategies", "--tables", tables, "--output", tables / "out")
    assert ended.code == 2 and "Install it with: pip install 'autoad-nni[bench]'" in ended.err
    assert not (tables / "out").exists()
