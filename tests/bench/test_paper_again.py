"""What becomes of a search of a table that ended with nothing, and of one that was cut."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli.run_command import Ended, command

from autoad_nni.errors import AutoADError
from benchmarks.paper import cells
from benchmarks.paper.__main__ import main

# The first trial that the strategy proposes has a model that is dead on these images, the second is ok.
WORDS = [
    "table2",
    "--pairs",
    "photos/uniform",
    "--methods",
    "autoad",
    "--seeds",
    "1",
    "--epochs",
    "1",
    "--limit",
    "200",
]
NAME = "table2-photos-uniform-autoad-0"


def compute(folder: Path, trials: int) -> Ended:
    return command(*WORDS, "--trials", trials, "--output", folder, main=main)


def lines_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "cells.jsonl").read_text().splitlines()]


def numbers(run: Path) -> list[int]:
    return [json.loads(line)["number"] for line in (run / "history.jsonl").read_text().splitlines()]


def test_a_search_that_ended_with_nothing_begins_again(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for n in (1, 2):
        ended = compute(tmp_path, 1)
        aside = runs / f"{NAME}.failed-{n}"
        assert ended.code == 0 and f"no trial of photos/uniform ended well. Expected one. See {aside}." in ended.out
        assert numbers(aside) == [0] and not (runs / NAME).exists()
        (runs / f"{NAME}.seconds").write_text("5000.00\n")  # they are not those of the next
    assert compute(tmp_path, 2).code == 0
    first, second, third = lines_of(tmp_path)
    assert "failed" in first and "failed" in second and 0 <= third["test"]["auroc"] <= 1
    assert numbers(runs / NAME) == [0, 1] and third["trials"] == 2 and third["processor_seconds"] < 5000
    assert numbers(runs / f"{NAME}.failed-1") == numbers(runs / f"{NAME}.failed-2") == [0]


@pytest.mark.parametrize("cut", [KeyboardInterrupt(), AutoADError("no room")], ids=["ctrl_c", "failed"])
def test_a_search_that_was_cut_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cut: BaseException) -> None:
    run, save = tmp_path / "runs" / NAME, cells._Meter.save

    def save_and_cut(meter: cells._Meter, *ended: object) -> None:
        save(meter)
        if ended:  # after a trial
            raise cut

    with monkeypatch.context() as patch:
        patch.setattr(cells._Meter, "save", save_and_cut)
        compute(tmp_path, 2)
    before = (run / "history.jsonl").read_text()
    assert numbers(run) == [0]
    assert compute(tmp_path, 2).code == 0
    assert numbers(run) == [0, 1] and (run / "history.jsonl").read_text().startswith(before), "trial 0 ran once"
    assert "test" in lines_of(tmp_path)[-1]
    assert {path.name for path in run.parent.iterdir()} == {NAME, f"{NAME}.seconds"}
