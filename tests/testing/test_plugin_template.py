"""The template for plugins, installed with pip into a folder of its own; nothing stays installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from cli.run_command import command, run
from installed import seen

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    source, site = folder / "source", folder / "site"
    shutil.copytree(ROOT / "examples/plugin_template", source, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(source)], check=True)
    return site


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    with seen(site):
        yield


def test_show_finds_it(installed: None) -> None:
    ended = command("plugins", "show", "knn")
    assert (ended.code, ended.err) == (0, "")
    assert "  distribution: autoad-nni-knn 0.1.0\n  target:       autoad_nni_knn:KnnHypothesis\n" in ended.out


@pytest.mark.slow
def test_it_keeps_the_contract_and_the_command_needs_no_pytest(site: Path, tmp_path: Path) -> None:
    (tmp_path / "pytest.py").write_text("raise ImportError('there is no pytest')")
    ended = run("plugins", "check", "knn", python_path=f"{tmp_path}{os.pathsep}{site}")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "  12 checks, all passed."


@pytest.mark.slow
def test_a_search_tries_it_beside_the_built_in_ones(installed: None, tmp_path: Path) -> None:
    experiment = yaml.safe_load((ROOT / "experiments/quickstart.yml").read_text())
    experiment["trialCommand"] = experiment["trialCommand"].replace("--epochs 5", "--epochs 1 --limit 300")
    experiment["maxTrialNumber"] = 8
    experiment["searchSpace"]["hypothesis"]["_value"] = ["reconstruction", "knn"]
    for layer in ("layer1", "layer2"):  # small models, none refused for its size
        experiment["searchSpace"][f"{layer}_channels"]["_value"] = [3, 8]
    (tmp_path / "knn.yml").write_text(yaml.safe_dump(experiment))
    ended = command("search", tmp_path / "knn.yml", "--output", tmp_path / "run")
    assert (ended.code, ended.err) == (0, "")
    lines = [yaml.safe_load(line) for line in (tmp_path / "run/history.jsonl").read_text().splitlines()]
    assert len(lines) == 8
    verdicts = [line["verdict"] for line in lines if line["sample"]["hypothesis"] == "knn"]
    assert "ok" in verdicts
    assert "crashed" not in verdicts
