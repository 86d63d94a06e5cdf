from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from autoad_nni.cli.launch import _check, _check_resumed
from autoad_nni.errors import AutoADError


def test_launch_keeps_images_words_and_plugins_and_compares_them(tmp_path: Path) -> None:
    file = Path("experiments/quickstart.yml").resolve()
    start = _check(file)
    assert {"data set digits", "data set photos", "strategy autoad", "search space autoencoder"} <= set(start.plugins)
    start.write(tmp_path)
    (tmp_path / "db").mkdir()
    command = "autoad-nni trial " + " ".join(start.request.to_words())
    with closing(sqlite3.connect(tmp_path / "db" / "nni.sqlite")) as database:
        database.execute("CREATE TABLE ExperimentProfile (params text, revision integer)")
        params = json.dumps({"trialCommand": command, "trialCodeDirectory": str(tmp_path)})
        database.execute("INSERT INTO ExperimentProfile VALUES (?, 1)", (params,))
        database.commit()
        _check_resumed(tmp_path)
        params = json.dumps({"trialCommand": f"{command} --seed 1", "trialCodeDirectory": str(tmp_path)})
        database.execute("INSERT INTO ExperimentProfile VALUES (?, 2)", (params,))
        database.commit()
    with pytest.raises(AutoADError, match=r"began with seed=its default, now it is seed=1\. Expected the same"):
        _check_resumed(tmp_path)
