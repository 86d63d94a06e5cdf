"""What docs/plugins.md tells an author to do."""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from cli.run_command import command
from cli.small_experiment import TRIAL, history, tuner, write
from installed import install, seen

import autoad_nni as ad
from autoad_nni.testing.defect_checks import DEFECT_CHECKS
from autoad_nni.testing.distance_checks import DISTANCE_CHECKS
from autoad_nni.testing.feature_checks import FEATURE_CHECKS
from autoad_nni.testing.strategy_checks import STRATEGY_CHECKS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plugins.md").read_text()


def blocks(language: str) -> list[str]:
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```$", PAGE, re.DOTALL | re.MULTILINE)
    return [re.sub(rf"^{indent}", "", code, flags=re.MULTILINE) for indent, code in found]


def test_the_distance_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "distance_of_the_page.py").write_text(blocks("python")[1])
    monkeypatch.syspath_prepend(str(tmp_path))
    distance = importlib.import_module("distance_of_the_page").CharbonnierDistance
    for check in DISTANCE_CHECKS:
        check(distance)


def test_the_feature_extractor_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    state = {"0.weight": torch.randn(8, 3, 3, 3), "0.bias": torch.randn(8)}
    state |= {"1.weight": torch.randn(16, 8, 3, 3), "1.bias": torch.randn(16)}
    torch.save(state, tmp_path / "tiny.pth")
    (entry_points,) = (block for block in blocks("toml") if "autoad_nni.features" in block)
    entry_points = entry_points.replace('"', "").replace("project.entry-points.", "")
    site = install(tmp_path, "mine", "1.0", entry_points, autoad_nni_mine=blocks("python")[2])
    monkeypatch.chdir(tmp_path)
    with seen(site):
        words = re.search(r"`autoad-nni (plugins check tiny [^`]*)`", PAGE)
        assert words is not None
        ended, without = command(*words[1].split()), command("plugins", "check", "tiny")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"  {len(FEATURE_CHECKS) + 1} checks, all passed."
    assert (without.code, without.out) == (2, "") and "Expected --weights FILE or --download." in without.err


def test_the_defect_generator_keeps_the_contract(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "defects_of_the_page.py").write_text(blocks("python")[3])
    monkeypatch.syspath_prepend(str(tmp_path))
    burn = importlib.import_module("defects_of_the_page").burn
    for check in DEFECT_CHECKS:
        check(burn)


@pytest.mark.slow
def test_the_renamed_template_passes_its_tests_and_the_one_on_the_page(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "examples", tmp_path / "repository/examples", ignore=shutil.ignore_patterns("__pycache__"))
    subprocess.run(["bash", "-ec", blocks("")[0]], check=True, cwd=tmp_path / "repository")
    mine = tmp_path / "autoad-nni-mine"
    left = [file for file in mine.rglob("*") if file.is_file() and "nni_knn" in file.read_text() + file.name]
    assert left == []
    assert 'mine = "autoad_nni_mine:MineHypothesis"' in (mine / "pyproject.toml").read_text()
    (mine / "tests/test_page.py").write_text(blocks("python")[0])
    words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(words, cwd=mine, capture_output=True, text=True, env=environment)
    assert ended.returncode == 0, ended.stdout
    assert "25 passed" in ended.stdout


def test_the_strategy_keeps_the_contract(tmp_path: Path) -> None:
    entry_points = next(block for block in blocks("toml") if "climber" in block)
    entry_points = entry_points.replace('"', "").replace("project.entry-points.", "").replace("autoad_nni_mine.", "")
    site = install(tmp_path, "mine", "1.0", entry_points, climber=blocks("python")[6])
    with seen(site):
        ended = command("plugins", "check", "climber")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == f"  {len(STRATEGY_CHECKS) + 1} checks, all passed."


def test_a_search_runs_in_the_space_of_the_page(tmp_path: Path) -> None:
    space, architecture = blocks("python")[4:6]
    entry_points = "".join(block for block in blocks("toml") if "strided" in block)
    entry_points = (
        entry_points.replace('"', "").replace("project.entry-points.", "").replace("autoad_nni_mine.", "mine_")
    )
    site = install(tmp_path, "mine", "1.0", entry_points, mine_space=space, mine_architecture=architecture)
    values = {"hypothesis": ["density", "reconstruction"], "distance": ["l2"], "width": [4, 16, 64]}
    file = write(
        tmp_path / "x.yml",
        trialCommand=f"{TRIAL} --space strided --members 1",
        tuner=tuner(space="strided", strategy="random", known=True),
        searchSpace={label: {"_type": "choice", "_value": choice} for label, choice in values.items()},
        maxTrialNumber=3,
    )
    with seen(site):
        ended = command("search", file, "--output", tmp_path / "run")
        printed = command("space", "strided")
        model = ad.load(tmp_path / "run")
    assert (ended.code, ended.err, printed.code) == (0, "", 0)
    assert set(json.loads(printed.out)) == set(values)
    assert type(model.scorer.detector.autoencoder).__name__ == "Strided"
    lines = history(tmp_path / "run")
    assert (lines[0]["known"], lines[0]["sample"]["width"]) == ("plain", 16)
    assert len(lines) == 3 and "ok" in {line["verdict"] for line in lines}
    assert {line["plugins"]["search space strided"] for line in lines} == {"mine 1.0"}
