"""Table V and Figure 3 in miniature: real searches on a tiny table."""

from __future__ import annotations

import csv
import gzip
import json
import math
from pathlib import Path

import numpy as np
import pytest
from cli.run_command import command
from tiny_table import exhaustive, write

from benchmarks.paper.__main__ import main
from benchmarks.paper.ablations import ROWS
from benchmarks.paper.published import TABLE_5
from benchmarks.paper.recorded import OF_THE_CLONE, read_searches
from benchmarks.strategies.answers import load_answers
from benchmarks.strategies.runs import ResultsFile, Run

SEEDS, TRIALS = 2, 22


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Searches of all rows but one."""
    folder = tmp_path_factory.mktemp("recorded")
    write(folder / "small.jsonl", exhaustive())
    (answers,) = load_answers(folder)
    results = ResultsFile(folder / "results.jsonl")
    for name, spec in ROWS.items():
        if name != "no filter":
            results.play(name, spec, range(SEEDS), answers, TRIALS)
    content = (folder / "results.jsonl").read_bytes()
    (folder / "results.jsonl.gz").write_bytes(gzip.compress(content))
    return folder / "results.jsonl.gz"


def words(recorded: Path, output: Path) -> list[object]:
    return ["--searches", recorded, "--tables", "small", "--seeds", SEEDS, "--trials", TRIALS, "--output", output]


def runs_of(recorded: Path, row: str) -> list[Run]:
    lines = [json.loads(line) for line in gzip.decompress(recorded.read_bytes()).splitlines()]
    return [Run(**line) for line in lines if (line["strategy"], line["arguments"]) == ROWS[row]]


def test_table_5(recorded: Path, tmp_path: Path) -> None:
    ended = command("table5", *words(recorded, tmp_path / "new"), main=main)
    assert ended.code == 0
    text = (tmp_path / "new" / "table5.md").read_text()
    assert text in ended.out and "searches on a recorded table" in text and "not on the article's data" in text
    assert f"- no filter: left out, as not all of {SEEDS} searches of {TRIALS} trials are recorded" in text
    rows = {row["row"]: row for row in json.loads((tmp_path / "new" / "table5.json").read_text())}
    assert rows.keys() == ROWS.keys() - {"no filter"}
    best = np.array([max(run.rewards[:20]) for run in runs_of(recorded, "no buffer")])
    row = rows["no buffer"]
    assert row["best_20"] == pytest.approx(best.mean(), abs=1e-6)
    assert row["best_20_worst"] == pytest.approx(best.min(), abs=1e-6)
    assert row["best_20_margin"] == pytest.approx(12.7062 * best.std(ddof=1) / math.sqrt(2), abs=1e-5)
    assert row["best_20_paper"] == 0.8543
    other = np.array([max(run.rewards[:20]) for run in runs_of(recorded, "eta 0")])
    assert row["best_20_difference"] == pytest.approx((best - other).mean(), abs=1e-6)
    shares = [np.mean(run.rewards) for run in runs_of(recorded, "random")]
    assert rows["random"][f"mean_{TRIALS}"] == pytest.approx(np.mean(shares), abs=1e-6)
    with (tmp_path / "new" / "table5.csv").open() as file:
        assert [line["row"] for line in csv.DictReader(file)] == list(rows)


def test_figure_3(recorded: Path, tmp_path: Path) -> None:
    ended = command("figure3", *words(recorded, tmp_path), main=main)
    assert ended.code == 0
    assert (tmp_path / "figure3.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "figure3.md").read_text() in ended.out and "searches on a recorded table" in ended.out
    with (tmp_path / "figure3.csv").open() as file:
        points = list(csv.DictReader(file))
    assert {point["strategy"] for point in points} == {"autoad", "autoad process", "autoad paper", "random"}
    found = {
        (point["figure"], point["trial"]): float(point["mean"]) for point in points if point["strategy"] == "random"
    }
    runs = runs_of(recorded, "random")
    assert found["best so far", "7"] == pytest.approx(np.mean([max(run.rewards[:7]) for run in runs]), abs=1e-4)
    top = np.mean([np.mean(sorted(run.rewards)[-5:]) for run in runs])
    assert found["mean of the five best so far", str(TRIALS)] == pytest.approx(top, abs=1e-4)
    deviation = np.mean([np.std(run.rewards[:20]) for run in runs])
    assert found["deviation of 20 trials", "20"] == pytest.approx(deviation, abs=1e-4)


@pytest.mark.parametrize("which", ["table5", "figure3"])
def test_what_cannot_be_read_is_one_line(recorded: Path, tmp_path: Path, which: str) -> None:
    ended = command(which, "--searches", tmp_path / "none.jsonl", "--output", tmp_path, main=main)
    assert ended.code == 2 and "none.jsonl cannot be read: No such file" in ended.err
    ended = command(which, "--searches", recorded, "--tables", "cells", "--output", tmp_path, main=main)
    assert ended.code == 2 and "no search on 'cells' is recorded" in ended.err
    assert ended.err.count("\n") == 1 and "--searches" in ended.err


def test_the_article_s_table_5() -> None:
    assert TABLE_5["eta 0.1"] == {
        "best_20": 0.8546, "best_100": 0.9693, "best_200": 0.9841, "mean_200": 0.9184, "std_200": 0.131,
    }  # fmt: skip
    assert TABLE_5["buffer 5"] == {"best_20": 0.8805, "best_100": 0.9712, "best_200": 0.9804}
    assert TABLE_5.keys() <= ROWS.keys()


def test_the_searches_of_the_clone() -> None:
    (results, peers) = OF_THE_CLONE
    searches = read_searches([results, peers], ["small", "random"])
    for spec in (ROWS["eta 0.1"], ROWS["random"]):
        assert any(each.curves(spec, 2, 200) is not None for each in searches.values())


@pytest.mark.parametrize("which", ["table5", "figure3"])
def test_nothing_is_written_where_it_cannot_be(recorded: Path, tmp_path: Path, which: str) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        ended = command(which, *words(recorded, output), main=main)
        assert ended.code == 2 and str(output) in ended.err and "another --output" in ended.err
        assert ended.err.count("\n") == 1


@pytest.mark.parametrize("which", ["table5", "figure3"])
def test_more_seeds_than_are_recorded(recorded: Path, tmp_path: Path, which: str) -> None:
    ended = command(which, *words(recorded, tmp_path / "new"), "--seeds", SEEDS + 1, main=main)
    assert ended.code == 2 and f"too few searches are recorded for --seeds {SEEDS + 1}" in ended.err
    assert ended.err.count("\n") == 1 and not (tmp_path / "new").exists()


def test_figure_3_of_a_single_window(recorded: Path, tmp_path: Path) -> None:
    assert command("figure3", *words(recorded, tmp_path), "--trials", 20, main=main).code == 0
    assert "deviation of 20 trials | at 20 |" in (tmp_path / "figure3.md").read_text()
