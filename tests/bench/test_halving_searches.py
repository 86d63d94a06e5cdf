"""Real searches with and without halving in miniature, and what is said about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoad_nni.storing import read_lines
from benchmarks import halving_searches
from benchmarks.halving_searches import main, summary

OPTIONS = "--data digits --abnormal photos --limit 200 --steps 8 --max-macs 200000"


def test_searches_with_and_without_halving_go_on_where_they_were_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(halving_searches, "TASKS", {"small": OPTIONS})
    words = ["small", "--trials", "6", "--reductions", "4", "--output", str(tmp_path)]
    main([*words, "--seeds", "1"])
    plain, halved = read_lines(tmp_path / "searches.jsonl")
    assert (plain["reduction"], plain["stopped"]) == (0, 0)
    assert halved["reduction"] == 4 and halved["stopped"] > 0
    assert {plain["trials"], halved["trials"]} == {6}
    before = (tmp_path / "searches.jsonl").read_bytes()
    main([*words, "--seeds", "1"])
    assert (tmp_path / "searches.jsonl").read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["searches.jsonl"]
    assert "| small | 4 | 1 |" in capsys.readouterr().out


def test_differences_are_paired_by_seed_and_a_search_without_a_winner_counts_as_0() -> None:
    lines = [
        {
            "task": "small",
            "reduction": reduction,
            "seed": seed,
            "test": test,
            "seconds": seconds,
            "stopped": 5,
            "trials": 9,
        }
        for reduction, seed, test, seconds in (
            (0, 0, 0.9, 10),
            (0, 1, 0.8, 20),
            (4, 0, 0.9, 6),
            (4, 1, None, 6),
            (4, 2, 1.0, 6),
        )
    ]
    row = summary(lines).splitlines()[-1]
    assert row.startswith("| small | 4 | 2 | 0.4500 ± ")
    assert "| -0.4000 ± " in row
    assert row.endswith("| -0.8000 | 1 | 0.40 | 5.0 of 9 |")


def test_a_task_that_is_not_known_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["clay"])
    assert ended.value.code == 2
    assert "clay" in capsys.readouterr().err
