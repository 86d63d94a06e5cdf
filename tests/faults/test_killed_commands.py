"""Kills of the commands that write something once: what is there is whole, and the command can be given again."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from faults.ended_search import check_one_line
from faults.forked import run as run_forked
from faults.long_run import spread
from faults.storage import Fault, FaultAt
from PIL import Image

pytestmark = [pytest.mark.faults, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for i in range(3):
        Image.effect_noise((8, 8), 40 * (i + 1)).convert("L").save(folder / f"{i}.png")
    return folder


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def operations(words: tuple[object, ...], place: Path) -> list[tuple[int, Fault]]:
    """The cases of a command that writes below ``place``, which it does once, uninterrupted."""
    log = place.with_name(f"{place.name}-operations")
    ended = run_forked(*words, before=FaultAt(place, log=log))
    assert (ended.code, ended.err) == (0, "")
    lines = log.read_text().splitlines()
    faults: tuple[Fault, Fault] = ("killed", "torn")
    return [(k, fault) for k, line in enumerate(lines) for fault in faults[: 1 + line.startswith("fsync")]]


def without_time(page: Path) -> str:
    """A page, without the time when it was written."""
    return re.sub(r"\d\d:\d\d", "", page.read_text())


def killed(*words: object, at: FaultAt) -> None:
    assert run_forked(*words, before=at).code == -signal.SIGKILL


def test_a_killed_export_leaves_a_whole_bundle_or_none(run: Path, tmp_path: Path) -> None:
    straight = tmp_path / "straight" / "bundle"
    straight.parent.mkdir()
    cases = operations(("export", run, "--output", straight), straight.parent)
    for number, (operation, fault) in enumerate(spread(cases, 3)):
        bundle = tmp_path / f"killed-{number}" / "bundle"
        bundle.parent.mkdir()
        killed("export", run, "--output", bundle, at=FaultAt(bundle.parent, operation, fault))
        if not bundle.exists():
            assert run_forked("export", run, "--output", bundle).code == 0
        assert files(bundle) == files(straight), (operation, fault)


def test_a_killed_prediction_leaves_whole_tables_or_begins_anew(run: Path, images: Path, tmp_path: Path) -> None:
    straight = tmp_path / "straight"
    cases = operations(("predict", run, images, "--output", straight), straight)
    for number, (operation, fault) in enumerate(spread(cases, 3)):
        output = tmp_path / f"killed-{number}"
        words = ("predict", run, images, "--output", output)
        killed(*words, at=FaultAt(output, operation, fault))
        left = files(output) if output.exists() else {}
        expected = files(straight)
        shown = {name: content for name, content in left.items() if not name.startswith(".")}
        assert all(expected[name] == content for name, content in shown.items()), (operation, fault)
        if "predictions.csv" in left:  # which is the last to appear
            check_one_line(run_forked(*words), "holds files. Expected a new or empty folder", code=2)
        else:
            assert run_forked(*words).code == 0 and files(output) == expected


def test_a_killed_report_leaves_the_old_page_or_a_whole_one(run: Path, tmp_path: Path) -> None:
    page = tmp_path / "pages" / "page.html"
    page.parent.mkdir()
    words = ("report", run, "--output", page)
    cases = operations(words, page.parent)
    expected = without_time(page)
    for operation, fault in spread(cases, 3):
        page.write_text("the old one")
        killed(*words, at=FaultAt(page.parent, operation, fault))
        assert without_time(page) in ("the old one", expected)
        assert run_forked(*words).code == 0 and without_time(page) == expected


def test_a_killed_list_of_trials_leaves_the_old_table_or_a_whole_one(run: Path, tmp_path: Path) -> None:
    table = tmp_path / "tables" / "trials.csv"
    table.parent.mkdir()
    words = ("trials", run, "--csv", table)
    cases = operations(words, table.parent)
    expected = table.read_bytes()
    for operation, fault in spread(cases, 3):
        table.write_text("the old one")
        killed(*words, at=FaultAt(table.parent, operation, fault))
        assert table.read_bytes() in (b"the old one", expected)
        assert run_forked(*words).code == 0 and table.read_bytes() == expected
