"""The template for plugins, installed with pip into a folder of its own; nothing stays installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

ROOT = Path(__file__).parents[2]


class Installed(NamedTuple):
    source: Path
    site: Path


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("template")
    source, site = folder / "source", folder / "site"
    shutil.copytree(ROOT / "examples/plugin_template", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    return Installed(source, site)


def run(installed: Installed, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(installed.site), "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment, cwd=cwd)


def test_show_finds_it(installed: Installed, tmp_path: Path) -> None:
    ended = run(installed, "autoad_nni", "plugins", "show", "knn", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "  distribution: autoad-nni-knn 0.1.0\n  target:       autoad_nni_knn:KnnHypothesis\n" in ended.stdout


def test_it_keeps_the_contract(installed: Installed, tmp_path: Path) -> None:
    ended = run(installed, "autoad_nni", "plugins", "check", "knn", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[-1] == "  12 checks, all passed."


def test_its_own_tests_pass(installed: Installed) -> None:
    ended = run(installed, "pytest", "-p", "no:cacheprovider", "-W", "error", cwd=installed.source)
    assert ended.returncode == 0, ended.stdout
    # The contract, two tests of its own, the example in its docstring.
    assert "14 passed" in ended.stdout


def test_a_search_tries_it_beside_the_built_in_ones(installed: Installed, tmp_path: Path) -> None:
    experiment = yaml.safe_load((ROOT / "experiments/quickstart.yml").read_text())
    experiment["trialCommand"] = experiment["trialCommand"].replace("--epochs 5", "--epochs 1 --limit 300")
    experiment["maxTrialNumber"] = 8
    experiment["searchSpace"]["hypothesis"]["_value"] = ["reconstruction", "knn"]
    for layer in ("layer1", "layer2"):  # small models, none refused for its size
        experiment["searchSpace"][f"{layer}_channels"]["_value"] = [3, 8]
    (tmp_path / "knn.yml").write_text(yaml.safe_dump(experiment))
    ended = run(installed, "autoad_nni", "search", "knn.yml", "--output", "run", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [yaml.safe_load(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    verdicts = [line["metrics"]["verdict"] for line in lines if line["sample"]["hypothesis"] == "knn"]
    assert "ok" in verdicts
    assert "crashed" not in verdicts
