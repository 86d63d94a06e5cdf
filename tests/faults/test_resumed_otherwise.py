"""A killed search that goes on under other circumstances: as before where they must not matter, else one line."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from faults import forked
from faults.ended_search import check_one_line, check_resumed
from faults.storage import FaultAt
from faults.straight import Straight

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def killed(straight: Straight, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder in which two trials have ended, beside the file."""
    folder = tmp_path_factory.mktemp("killed")
    shutil.copy(straight.file, folder / "x.yml")
    lines = [k for k, line in enumerate(straight.operations) if line.startswith("fsync") and "history.jsonl" in line]
    at = FaultAt(folder / "run", lines[2], "torn")
    assert forked.run("search", folder / "x.yml", "--output", folder / "run", before=at).code == -signal.SIGKILL
    return folder


@pytest.fixture
def folder(killed: Path, tmp_path: Path) -> Path:
    return shutil.copytree(killed, tmp_path / "search")


def resume(folder: Path, *words: str, before: Callable[[], None] | None = None) -> Any:
    return forked.run("search", folder / "x.yml", "--output", folder / "run", "--resume", *words, before=before)


def two_threads() -> None:
    torch.set_num_threads(2)


def one_core() -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.mark.parametrize("before", [two_threads, one_core])
def test_threads_and_cores_change_nothing(straight: Straight, folder: Path, before: Callable[[], None]) -> None:
    check_resumed(resume(folder, before=before), folder / "run", straight.left, before)


def test_a_folder_that_was_moved_goes_on(straight: Straight, folder: Path) -> None:
    moved = folder.rename(folder.with_name("elsewhere"))
    check_resumed(resume(moved), moved / "run", straight.left, "moved")


def test_another_way_to_write_the_same_file_changes_nothing(straight: Straight, folder: Path) -> None:
    content = yaml.safe_load((folder / "x.yml").read_text())
    (folder / "x.yml").write_text("# the same\n" + yaml.safe_dump(content, sort_keys=True, default_flow_style=True))
    check_resumed(resume(folder), folder / "run", straight.left, "written otherwise")


def change(folder: Path, keys: list[str], value: Any) -> None:
    content = yaml.safe_load((folder / "x.yml").read_text())
    part = content
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    (folder / "x.yml").write_text(yaml.safe_dump(content, sort_keys=False))


def other_first_line(folder: Path, **changes: Any) -> None:
    path = folder / "run" / "state" / "journal.jsonl"
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(json.dumps({**json.loads(first), **changes}).encode() + b"\n" + rest)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda folder: change(folder, ["tuner", "classArgs", "seed"], 1), "seed = 0, this search has 1"),
        (lambda folder: change(folder, ["tuner", "classArgs", "strategy"], "random"), "autoad"),
        (lambda folder: change(folder, ["searchSpace", "layer1_channels", "_value"], [3]), "layer1_channels"),
        (
            lambda folder: change(
                folder, ["trialCommand"], "autoad-nni trial --data digits --abnormal photos --limit 100 --epochs 1"
            ),
            "limit",
        ),
        (lambda folder: other_first_line(folder, version="0.0.9"), 'version = "0.0.9", this search has'),
        (lambda folder: other_first_line(folder, plugins={"distance l1": "other-losses 3.1"}), "l1"),
        (lambda folder: other_first_line(folder, format=99), "format = 99"),
    ],
    ids=["seed", "strategy", "space", "options", "version", "plugins", "format"],
)
def test_another_search_is_refused_in_one_line_and_nothing_is_touched(
    straight: Straight, folder: Path, edit: Callable[[Path], None], message: str
) -> None:
    kept = (folder / "x.yml").read_bytes(), (folder / "run" / "state" / "journal.jsonl").read_bytes()
    edit(folder)
    before = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    check_one_line(resume(folder), message, code=2)
    after = {path: path.read_bytes() for path in (folder / "run").rglob("*") if path.is_file()}
    assert {p: c for p, c in after.items() if p.name != "history.jsonl"} == {
        p: c for p, c in before.items() if p.name != "history.jsonl" and ".unfinished" not in p.name
    }, "only what a kill left half written is cut off"
    (folder / "x.yml").write_bytes(kept[0])
    (folder / "run" / "state" / "journal.jsonl").write_bytes(kept[1])
    check_resumed(resume(folder), folder / "run", straight.left, "back again")
