from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from autoad_nni import __version__
from autoad_nni.cli.launch import _check, _check_resumed
from autoad_nni.engines.nnictl.experiment_start import check_start, keep_start, read_start
from autoad_nni.errors import AutoADError

START = {
    "images": "a1",
    "trial_arguments": ["--data", "digits"],
    "plugins": {"data set digits": f"autoad-nni {__version__}"},
}


def test_what_an_experiment_began_with_is_kept_once(tmp_path: Path) -> None:
    keep_start(tmp_path, START)
    keep_start(tmp_path, {**START, "images": "b2"})
    assert read_start(tmp_path) == START
    check_start(tmp_path, START)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": "b2"}, "began with images with the digest a1, now it is b2. Expected the same"),
        (
            {"trial_arguments": ["--data", "x"]},
            "began with the options of trialCommand --data digits, now it is --data",
        ),
    ],
)
def test_other_images_or_another_command_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    keep_start(tmp_path, START)
    with pytest.raises(AutoADError) as caught:
        check_start(tmp_path, {**START, **change})
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_another_version_of_a_data_set_is_refused(tmp_path: Path) -> None:
    keep_start(tmp_path, {**START, "plugins": {"data set digits": "third-party 0.9"}})
    with pytest.raises(AutoADError, match=r"The data set 'digits' is of autoad-nni .* Expected third-party 0.9"):
        check_start(tmp_path, START)


def test_an_experiment_of_plain_nnictl_has_nothing_to_compare(tmp_path: Path) -> None:
    check_start(tmp_path, START)


@pytest.mark.parametrize("content", ["{", "[]", '{"plugins": 3}'])
def test_a_file_changed_by_hand_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "started.json").write_text(content)
    with pytest.raises(AutoADError, match=r"started.json .*Expected .* or remove it\.$"):
        read_start(tmp_path)


def test_launch_keeps_images_words_and_plugins_and_compares_them(tmp_path: Path) -> None:
    file = Path("experiments/quickstart.yml").resolve()
    start = _check(file)
    assert {"data set digits", "data set photos", "strategy autoad", "search space autoencoder"} <= set(
        start["plugins"]
    )
    keep_start(tmp_path, start)
    (tmp_path / "db").mkdir()
    command = "autoad-nni trial " + " ".join(start["trial_arguments"])
    with closing(sqlite3.connect(tmp_path / "db" / "nni.sqlite")) as database:
        database.execute("CREATE TABLE ExperimentProfile (params text, revision integer)")
        params = json.dumps({"trialCommand": command, "trialCodeDirectory": str(tmp_path)})
        database.execute("INSERT INTO ExperimentProfile VALUES (?, 1)", (params,))
        database.commit()
        _check_resumed(tmp_path)
        params = json.dumps({"trialCommand": f"{command} --seed 1", "trialCodeDirectory": str(tmp_path)})
        database.execute("INSERT INTO ExperimentProfile VALUES (?, 2)", (params,))
        database.commit()
    with pytest.raises(AutoADError, match=r"began with the options of trialCommand .* --seed 1\. Expected the same"):
        _check_resumed(tmp_path)
