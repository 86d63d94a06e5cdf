"""A run folder with everything that a search and an export write."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from cli.small_experiment import SAMPLE, content
from faults.straight import Straight, search_straight

import autoad_nni as ad
from autoad_nni.runs.bundle.export import export


@pytest.fixture(scope="session")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder of two trials, a bundle and a sample in it; tests change copies of it."""
    folder = tmp_path_factory.mktemp("faults") / "run"
    ad.search(content(maxTrialNumber=2), output=folder)
    export(folder, folder / "bundle")
    (folder / "sample.json").write_text(json.dumps(SAMPLE))
    return folder


@pytest.fixture
def run(searched: Path, tmp_path: Path) -> Path:
    return shutil.copytree(searched, tmp_path / "run")


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Straight:
    return search_straight(tmp_path_factory.mktemp("straight"))
