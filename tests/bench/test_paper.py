"""The article's tables in miniature: real searches and competitors, a few seconds each."""

from __future__ import annotations

import csv
import gzip
import importlib.util
import json
import sys
from pathlib import Path

import pytest

from benchmarks.paper import published
from benchmarks.paper.__main__ import main
from benchmarks.paper.architectures import boxes_of

TABLE_2 = ["table2", "--seeds", "1", "--trials", "1", "--epochs", "1", "--limit", "200", "--classifier-epochs", "10"]


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
    assert "- photos/uniform, msp, seed 0: photos vs uniform: the normal images have no classes" in text
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
    run(*words, "--output", tmp_path)  # only what failed is tried again
    after = (tmp_path / "cells.jsonl").read_text()
    again = [json.loads(line) for line in after.removeprefix(before).splitlines()]
    assert after.startswith(before) and [line["row"] for line in again] == ["photos/uniform"] * 2
    assert all("failed" in line for line in again)
    capsys.readouterr()
    run("table4", "--output", tmp_path)
    model = json.loads(before.splitlines()[0])["model"]
    assert f"| hypothesis | {model['hypothesis']} |" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "table4.json").read_text())
    assert row["sample"] == model and row["test"] == done["digits/photos", "autoad"]["auroc"]
    assert [each["sample"] for each in row["members"]] == [model]  # of a single trial


@pytest.mark.slow
def test_table_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["table3", "--seeds", "1", "--categories", "brick,bottle", "--methods", "feature_dictionary"]
    run(*words, "--output", tmp_path)
    text = capsys.readouterr().out
    assert "- bottle: " in text
    (row,) = json.loads((tmp_path / "table3.json").read_text())
    assert (row["row"], row["method"]) == ("brick", "feature_dictionary")
    assert 0.4 < row["pixel_auroc"] <= 1


@pytest.mark.skipif(importlib.util.find_spec("elpv_dataset") is None, reason="elpv-dataset is not installed")
def test_solar_cells_in_table_3(tmp_path: Path) -> None:
    words = ["--categories", "solar_cells", "--methods", "feature_dictionary", "--seeds", "1", "--limit", "40"]
    run("table3", *words, "--output", tmp_path)
    (row,) = json.loads((tmp_path / "table3.json").read_text())
    assert (row["row"], row["method"]) == ("solar_cells", "feature_dictionary")
    assert 0.4 < row["auroc"] <= 1
    assert not row.keys() & {"rpro", "pixel_auroc", "aupro"}  # there are no masks
    (line,) = map(json.loads, (tmp_path / "cells.jsonl").read_text().splitlines())
    assert line["options"] == {"data": "solar_cells", "image_size": 128, "reward": "auroc"}


def test_solar_cells_that_are_not_there_are_a_missing_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "elpv_dataset", None)  # as if it were not there
    words = ["--categories", "solar_cells,brick", "--methods", "feature_dictionary", "--seeds", "1"]
    run("table3", *words, "--output", tmp_path)
    assert "- solar_cells: " in (tmp_path / "table3.md").read_text()
    assert "pip install 'autoad-nni[solar]'" in capsys.readouterr().out


def test_the_seconds_of_a_search_are_those_of_all_its_sessions(tmp_path: Path) -> None:
    words = [*TABLE_2, "--pairs", "digits/photos", "--methods", "autoad", "--output", tmp_path]
    run(*words)
    (first,) = map(json.loads, (tmp_path / "cells.jsonl").read_text().splitlines())
    (kept,) = (tmp_path / "runs").glob("*.seconds")
    assert float(kept.read_text()) == pytest.approx(first["processor_seconds"], abs=0.2)
    (tmp_path / "cells.jsonl").unlink()
    kept.write_text("5000.00\n")  # as if that had been the session before
    run(*words)
    (again,) = map(json.loads, (tmp_path / "cells.jsonl").read_text().splitlines())
    assert 5000 < again["processor_seconds"] < 5000 + 10 * max(first["processor_seconds"], 30)
    assert again["test"] == first["test"]
    assert float(kept.read_text()) == pytest.approx(again["processor_seconds"], abs=0.2)


def test_table_4_of_the_clone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded = Path(__file__).parents[2] / "experiments" / "paper"
    text = gzip.decompress((recorded / "cells.jsonl.gz").read_bytes()).decode()
    lines = {line["run"]: line for line in map(json.loads, text.splitlines()) if "run" in line}
    (tmp_path / "cells.jsonl").write_text(text)
    run("table4", "--output", tmp_path)
    text = capsys.readouterr().out
    rows = json.loads((tmp_path / "table4.json").read_text())
    assert {row["run"]: row["sample"] for row in rows} == {name: line["model"] for name, line in lines.items()}
    assert all(row["test"] == lines[row["run"]]["test"][row["figure"]] for row in rows)
    figures = {(row["row"], row["figure"]) for row in rows if row["table"] == "table3"}
    assert ("brick", "aupro") in figures and ("solar_cells", "auroc") in figures and len(figures) == 4
    assert all(row["members"][0]["sample"] == row["sample"] and len(row["members"]) <= 5 for row in rows)
    assert (tmp_path / "table4.md").read_text() in text
    assert json.loads((recorded / "table4.json").read_text()) == rows
    assert (tmp_path / "table4.png").read_bytes().startswith(b"\x89PNG")


def test_a_model_as_it_is_drawn() -> None:
    sample = {"hypothesis": "density", "distance": "l1"}
    for number, (kernel, channels) in enumerate([(3, 8), (5, 16)], start=1):
        values = {"kernel": kernel, "channels": channels, "pooling": "max", "pooling_kernel": 2, "activation": "elu"}
        sample |= {f"layer{number}_{key}": value for key, value in values.items()}
    heads = [box.split("\n")[0] for box in boxes_of(sample)]
    assert heads == ["image", "3x3 x 8", "5x5 x 16", "code", "5x5 x 8", "3x3 x image", "output"]
    features = boxes_of({"extractor": "resnet18", "stages": "8", "layers": "1 of 3x3 to 64"})
    assert features == ["image", "resnet18", "stages 8", "layers 1 of 3x3 to 64", "code"]


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
