"""What the article's tables refuse before anything is computed, and what a folder of cells keeps."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
from cli.run_command import command
from filelock import FileLock

from benchmarks.paper.__main__ import main
from benchmarks.paper.cells import Cells

MSP = ["table2", "--pairs", "digits/photos", "--methods", "msp", "--seeds", "1", "--classifier-epochs", "1"]


def cell(seed: int = 0, **more: Any) -> dict[str, Any]:
    test = {"auroc": 0.75 + seed / 10, "aupr_in": 0.5, "aupr_out": 0.5}
    options = {"data": "digits", "abnormal": "photos"}
    line = {"table": "table2", "row": "digits/photos", "method": "msp", "seed": seed, "options": options}
    return {**line, "budget": {"limit": 200, "epochs": 1}, "processor_seconds": 1.0, "test": test, **more}


def keep(folder: Path, *lines: dict[str, Any]) -> None:
    (folder / "cells.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def kept(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("table2 --pairs digits/photos --methods msp,nosuch", "--methods has 'nosuch'. Expected some of autoad,"),
        ("table2 --pairs digits/photos --methods ,", "--methods ',' names nothing"),
        ("table2 --pairs digits", "--pairs has 'digits'. Expected NORMAL/ABNORMAL"),
        ("table2 --pairs digits/", "--pairs has '/'. Expected some of"),
        ("table2 --pairs digits/nosuch", "--pairs has 'nosuch'. Expected some of"),
        ("table2 --pairs digits/digits", "--pairs has 'digits/digits'. Expected NORMAL/ABNORMAL, two data sets"),
        ("table2 --pairs digits/photos --roots mnist=sets", "--roots has 'mnist=sets'. Expected NAME=DIR"),
        ("table2 --pairs digits/photos --roots digits", "--roots has 'digits'. Expected NAME=DIR"),
        ("table2 --pairs digits/photos --limit 0", "'--limit'"),
        ("table2 --pairs digits/photos --minutes -1", "'--minutes'"),
        ("table3 --categories brick,nosuch", "--categories has 'nosuch'. Expected some of brick, grass, gravel, solar"),
        ("table3 --categories brick --limit 9", "'--limit'"),
        ("figure3 --trials 3", "'--trials'"),
        ("table5 --tables ,", "--tables ',' names nothing"),
    ],
)
def test_wrong_words_are_one_line(tmp_path: Path, words: str, message: str) -> None:
    ended = command(*words.split(), "--output", tmp_path / "new", main=main)
    assert ended.code == 2 and message in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_no_row_that_can_be_computed(tmp_path: Path) -> None:
    ended = command("table2", "--pairs", "digits/lsun,digits/mnist", "--output", tmp_path / "new", main=main)
    first, second, last = ended.err.splitlines()
    assert ended.code == 2 and "no row can be computed" in last
    assert first.startswith("digits/lsun: no data.mdb of LSUN") and "Give --root DIR" in first
    assert second.startswith("digits/mnist: ") and "--download with --root DIR" in second  # as options, not arguments
    assert not (tmp_path / "new").exists()


def test_a_cell_that_failed_is_tried_again(tmp_path: Path) -> None:
    failed = {name: value for name, value in cell(failed="no room").items() if name != "test"}
    keep(tmp_path, failed, cell(1))
    ended = command(*MSP, "--seeds", "2", "--methods", " msp, msp", "--limit", "200", "--output", tmp_path, main=main)
    assert ended.code == 0 and "no room" not in ended.out
    first, second, again = kept(tmp_path)  # seed 1 was not computed again, and msp only once
    assert (first, second) == (failed, cell(1)) and (again["seed"], again["budget"]) == (0, cell()["budget"])
    rows = json.loads((tmp_path / "table2.json").read_text())
    assert [(row["seed"], row["auroc"]) for row in rows] == [(0, round(again["test"]["auroc"], 4)), (1, 0.85)]


def test_the_last_line_of_a_cell_counts(tmp_path: Path) -> None:
    keep(tmp_path, cell(test={"auroc": 0.1}), cell(test={"auroc": 0.9}))
    ended = command(*MSP, "--limit", "200", "--output", tmp_path, main=main)
    assert ended.code == 0 and "| digits/photos | msp | 1 | 0.9000 |" in ended.out


def test_other_settings_are_refused(tmp_path: Path) -> None:
    keep(tmp_path, cell())
    for words, message in [
        (["--limit", "300"], "table2/digits/photos/msp/0 was computed with --limit 200, and 300 is wanted"),
        (["--limit", "200", "--classifier-epochs", "2"], "with --classifier-epochs 1, and 2 is wanted"),
    ]:
        # Seed 1 is not there, and is not computed either.
        ended = command(*MSP, *words, "--seeds", "2", "--output", tmp_path, main=main)
        assert ended.code == 2 and message in ended.err and "another --output" in ended.err
        assert ended.err.count("\n") == 1 and kept(tmp_path) == [cell()]
    search = {"trials": 60, "minutes": None, "epochs": 1, "max_seconds": 120.0, "limit": 200}
    keep(tmp_path, cell(method="autoad", budget=search, options={**cell()["options"], "max_macs": 10_000_000}))
    words = ["--methods", "autoad", "--limit", "200", "--output", tmp_path]
    assert "--trials 60, and 30 is wanted" in command(*MSP, *words, main=main).err
    assert command(*MSP, *words, "--trials", "60", "--epochs", "1", main=main).code == 0
    older = {name: value for name, value in cell().items() if name != "budget"}
    keep(tmp_path, older)
    assert command(*MSP, "--output", tmp_path, main=main).code == 0 and kept(tmp_path) == [older]


def test_other_images_are_refused(tmp_path: Path) -> None:
    """A cell that was computed elsewhere is not taken for one of these images."""
    keep(tmp_path, cell())
    words = [*MSP, "--limit", "200", "--output", tmp_path]
    for more, message in [
        (["--root", tmp_path], f"table2/digits/photos/msp/0 was computed without --root, and {tmp_path} is wanted"),
        (["--roots", f"digits={tmp_path}"], f"was computed without --roots, and digits={tmp_path} is wanted"),
    ]:
        ended = command(*words, *more, main=main)
        assert ended.code == 2 and message in ended.err and "another --output" in ended.err
        assert ended.err.count("\n") == 1 and kept(tmp_path) == [cell()]
    keep(tmp_path, cell(options={**cell()["options"], "root": str(tmp_path), "download": True}))
    assert f"was computed with --root {tmp_path}, and none is wanted" in command(*words, main=main).err
    assert command(*words, "--root", tmp_path, main=main).code == 0, "that they were downloaded first is no difference"
    keep(tmp_path, cell(method="autoad", options={**cell()["options"], "max_macs": 9}, budget={}))
    ended = command(*words, "--methods", "autoad", main=main)
    assert ended.code == 2 and "was computed with --max-macs 9, and 10000000 is wanted" in ended.err


def test_the_cells_of_the_clone_are_those_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its commands find each cell computed; so they need no images, which are not everywhere."""
    monkeypatch.setattr("benchmarks.paper.rows.obstacle", lambda options, limit: None)
    monkeypatch.setattr(Cells, "compute", lambda cells, cell, budget: pytest.fail(f"{cell.key} is not there"))
    clone = Path(__file__).parents[2]
    text = gzip.decompress((clone / "experiments" / "paper" / "cells.jsonl.gz").read_bytes()).decode()
    page = (clone / "docs" / "paper.md").read_text()
    names = dict(re.findall(r"\b([A-Z])=([\w,/]+)", page))
    lines = re.findall(r"python -m benchmarks\.paper (table[23] --.*)", page.replace("\\\n", " "))
    assert lines
    (tmp_path / "cells.jsonl").write_text(text)
    for line in lines:
        words = re.sub(r"\$([A-Z])", lambda name: names[name[1]], line).replace("RUN", str(tmp_path)).split()
        ended = command(*words, main=main)
        assert (ended.code, ended.err) == (0, ""), line
    assert (tmp_path / "cells.jsonl").read_text() == text


def test_two_runs_in_a_folder(tmp_path: Path) -> None:
    keep(tmp_path, cell())
    words = [*MSP, "--limit", "200", "--output", tmp_path]
    with FileLock(tmp_path / "lock"):
        ended = command(*words, main=main)
    assert ended.code == 2 and f"another search runs in {tmp_path}" in ended.err and ended.err.count("\n") == 1
    assert not (tmp_path / "table2.md").exists()
    assert command(*words, main=main).code == 0  # also twice: it lets go at the end
    assert command(*words, main=main).code == 0


@pytest.mark.parametrize("which", ["table2", "table4"])
def test_lines_that_are_no_cells(tmp_path: Path, which: str) -> None:
    words = MSP if which == "table2" else ["table4"]
    for wrong in ({"table": "table2"}, cell() | {"seed": "0"}, cell(test={"auroc": None})):
        keep(tmp_path, cell(1), wrong)
        ended = command(*words, "--output", tmp_path, main=main)
        assert ended.code == 2 and "cells.jsonl, line 2 is not a cell. Expected table, row, method" in ended.err
        assert ended.err.count("\n") == 1


def test_an_output_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        ended = command(*MSP, "--limit", "200", "--output", output, main=main)
        assert ended.code == 2 and str(output) in ended.err and ended.err.count("\n") == 1
