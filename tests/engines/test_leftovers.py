"""Which folders ``launch`` takes away when nnictl fails, and which it leaves alone."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from nni.tools.nnictl.config_utils import Experiments
from nnictl.experiment import write_experiment

from autoad_nni.engines.nnictl.leftovers import remove_leftovers

ENDED = "[2026-11-28 10:24:39] INFO (nni.experiment) Stopping experiment, please wait...\n"
NAMED = "[2026-11-28 10:24:44] INFO (nni.experiment) Creating experiment, Experiment ID: aaaaaaaa\n"


def remove(home: Path, experiment_id: str, *, since: float = 0.0) -> None:
    file = write_experiment(home, experimentWorkingDirectory="mine")
    remove_leftovers(file, experiment_id, since=since)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """NNI knows the experiments aaaaaaaa, which never began, and bbbbbbbb."""
    for name, log in (("aaaaaaaa", NAMED + ENDED), ("bbbbbbbb", NAMED + ENDED), ("cccccccc", ENDED)):
        (tmp_path / "mine" / name / "log").mkdir(parents=True)
        (tmp_path / "mine" / name / "log" / "experiment.log").write_text(log)
    (tmp_path / "mine" / "_latest").symlink_to("aaaaaaaa")
    monkeypatch.setattr(Experiments.__init__, "__defaults__", (tmp_path / "nni-experiments",))
    (tmp_path / "nni-experiments").mkdir()
    known = {name: {"pid": None, "port": 8080} for name in ("aaaaaaaa", "bbbbbbbb")}
    (tmp_path / "nni-experiments" / ".experiment").write_text(json.dumps(known))
    return tmp_path


def folders(home: Path) -> set[str]:
    return {path.name for path in (home / "mine").iterdir()}


def known(home: Path) -> set[str]:
    return set(json.loads((home / "nni-experiments" / ".experiment").read_text()))


def test_an_experiment_that_never_began_goes_with_nni_s_note_of_it(home: Path) -> None:
    remove(home, "aaaaaaaa")
    assert folders(home) == {"bbbbbbbb", "cccccccc"} and known(home) == {"bbbbbbbb"}


def journal(folder: Path) -> None:
    (folder / "checkpoint").mkdir()
    (folder / "checkpoint" / "journal.jsonl").write_text("{}\n")


def database(folder: Path, *, trial: bool) -> None:
    (folder / "db").mkdir()
    with closing(sqlite3.connect(folder / "db" / "nni.sqlite")) as connection:
        connection.execute("CREATE TABLE TrialJobEvent (event text)")
        if trial:
            connection.execute("INSERT INTO TrialJobEvent VALUES ('WAITING')")
        connection.commit()


def no_database(folder: Path) -> None:
    (folder / "db").mkdir()
    (folder / "db" / "nni.sqlite").write_text("something else that was put there" * 100)


@pytest.mark.parametrize("fill", [journal, lambda folder: database(folder, trial=True), no_database])
def test_a_journal_a_trial_or_what_cannot_be_read_stays(home: Path, fill: Callable[[Path], None]) -> None:
    fill(home / "mine" / "aaaaaaaa")
    remove(home, "aaaaaaaa")
    assert folders(home) == {"_latest", "aaaaaaaa", "bbbbbbbb", "cccccccc"} and len(known(home)) == 2


def test_a_database_without_trials_does_not_keep_a_folder(home: Path) -> None:
    database(home / "mine" / "aaaaaaaa", trial=False)
    remove(home, "aaaaaaaa")
    assert "aaaaaaaa" not in folders(home)


def test_without_a_name_only_a_new_folder_goes_whose_nnictl_has_ended(home: Path) -> None:
    since = (home / "mine" / "cccccccc").stat().st_ctime
    remove(home, "", since=since + 60)
    assert "cccccccc" in folders(home)
    remove(home, "", since=since)
    assert folders(home) == {"_latest", "aaaaaaaa", "bbbbbbbb"} and len(known(home)) == 2
