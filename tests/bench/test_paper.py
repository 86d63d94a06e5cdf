"""The article's tables in miniature: real searches and competitors, a few seconds each."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from benchmarks.paper import published
from benchmarks.paper.__main__ import main

TABLE_2 = ["table2", "--seeds", "1", "--trials", "1", "--epochs", "1", "--limit", "200"]


def run(*arguments: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    assert ended.value.code == 0


@pytest.mark.slow
def test_table_2_and_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [*TABLE_2, "--pairs", "digits/photos,digits/lsun,photos/uniform", "--methods", "autoad,msp"]
    run(*words, "--output", tmp_path)
    text = capsys.readouterr().out
    assert (tmp_path / "table2.md").read_text() in text
    assert "- digits/lsun: no data.mdb of LSUN" in text
    assert "| photos/uniform | msp | seed 0: photos vs uniform: the normal images have no classes" in text
    rows = json.loads((tmp_path / "table2.json").read_text())
    done = {(row["row"], row["method"]): row for row in rows if "failed" not in row}
    assert set(done) == {("digits/photos", "autoad"), ("digits/photos", "msp")}
    failed = {row["method"]: row["failed"] for row in rows if row["row"] == "photos/uniform"}
    assert "no trial of photos/uniform ended well" in failed["autoad"]
    assert all(0 <= row[name] <= 1 for row in done.values() for name in ("auroc", "aupr_in", "aupr_out"))
    assert done["digits/photos", "msp"]["accuracy"] > 0.2
    with (tmp_path / "table2.csv").open() as file:
        assert [row["auroc"] for row in csv.DictReader(file)] == [str(row.get("auroc", "")) for row in rows]
    before = (tmp_path / "cells.jsonl").read_text()
    run(*words, "--output", tmp_path)  # nothing is computed twice
    assert (tmp_path / "cells.jsonl").read_text() == before
    capsys.readouterr()
    run("table4", "--output", tmp_path)
    model = json.loads(before.splitlines()[0])["model"]
    assert f"| hypothesis | {model['hypothesis']} |" in capsys.readouterr().out


@pytest.mark.slow
def test_table_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table3", "--seeds", "1", "--categories", "brick,bottle", "--methods", "feature_dictionary"]
    run(*words, "--output", tmp_path)
    text = capsys.readouterr().out
    assert "- bottle: " in text
    (row,) = json.loads((tmp_path / "table3.json").read_text())
    assert (row["row"], row["method"]) == ("brick", "feature_dictionary")
    assert 0.4 < row["pixel_auroc"] <= 1


def test_table_4_without_a_search(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["table4", "--output", str(tmp_path)])
    assert ended.value.code == 2
    assert "no search has ended" in capsys.readouterr().err


def test_the_article_s_tables_are_whole() -> None:
    assert len(published.TABLE_2) == 28
    assert published.TABLE_2["fashion_mnist", "mnist"]["auroc"] == (0.999, 0.929, 0.729)
    assert published.TABLE_2["fashion_mnist", "uniform"]["aupr_out"] == (0.999, 0.99, 0.198)
    assert len(published.TABLE_3) == 15
    assert published.TABLE_3["grid"]["autoad"] == (0.89, 0.94)
