"""One finished search, which tests read, and copies of it to go on with."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from run_command import command
from small_experiment import HARDER, write


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("experiment") / "small.yml", trialCommand=HARDER)


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a search that nobody disturbed; tests only read it."""
    run = tmp_path_factory.mktemp("runs") / "deep" / "finished"
    ended = command("search", file, "--output", run)
    assert (ended.code, ended.err) == (0, "")
    (run.parent / "stdout.txt").write_text(ended.out)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder to go on with."""
    return Path(shutil.copytree(finished, tmp_path / "run"))
