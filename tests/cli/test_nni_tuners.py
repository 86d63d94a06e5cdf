"""What ``launch`` finds wrong with a tuner of NNI before it starts a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_command import command
from small_experiment import space, write

from autoad_nni.search.experiment_file import read_experiment
from autoad_nni.search.nni_tuners import check_tuner

MAXIMIZE = {"optimize_mode": "maximize"}


@pytest.mark.parametrize(
    ("tuner", "parts"),
    [
        ({"name": "TPE"}, ("the tuner TPE has optimize_mode minimize", "Write classArgs: {optimize_mode: maximize}.")),
        ({"name": "tpe", "classArgs": {"seed": 3}}, ("Write classArgs: {seed: 3, optimize_mode: maximize}.",)),
        ({"name": "Evolution", "classArgs": {"optimize_mode": "minimize"}}, ("the tuner Evolution has optimize_mode",)),
        ({"className": "nni.algorithms.hpo.tpe_tuner.TpeTuner", "codeDirectory": "."}, ("TpeTuner has optimize_mode",)),
        ({"className": "my.T", "codeDirectory": ".", "classArgs": {"optimize_mode": "minimize"}}, ("the tuner my.T",)),
        ({"name": "TPEE"}, ("NNI has no tuner 'TPEE'. Expected one of Anneal, ", "Correct tuner.name.")),
        ({"className": "nni.none.T", "codeDirectory": "."}, ("cannot be imported: No module named 'nni.none'",)),
        ({"name": "TPE", "classArgs": ["maximize"]}, ("tuner.classArgs is ['maximize']. Expected a mapping.",)),
    ],
)
def test_launch_refuses_a_tuner_that_searches_the_worst_model(
    tmp_path: Path, tuner: dict[str, Any], parts: tuple[str, ...]
) -> None:
    ended = command("launch", write(tmp_path / "x.yml", tuner=tuner))
    assert ended.code == 2 and ended.err.count("\n") == 1 and ended.out == ""
    for part in parts:
        assert part in ended.err


@pytest.mark.parametrize(
    ("search_space", "part"),
    [
        ({**space(), "hypothesis": ["density"]}, "searchSpace has hypothesis: ['density']. Expected {_type: choice"),
        (space(layer1_kernel=[2]), "unknown value 2 for layer1_kernel"),
        (space(layer1_kernel=None), "The label 'layer1_kernel' is missing"),
    ],
)
def test_the_space_is_checked_for_them_too(tmp_path: Path, search_space: dict[str, Any], part: str) -> None:
    ended = command("launch", write(tmp_path / "x.yml", tuner={"name": "Random"}, searchSpace=search_space))
    assert ended.code == 2 and ended.err.count("\n") == 1 and part in ended.err


@pytest.mark.parametrize(
    "tuner",
    [
        {"name": "TPE", "classArgs": MAXIMIZE},
        {"name": "Evolution"},
        {"name": "GP"},
        {"name": "Random"},
        {"name": "GridSearch"},
        {"name": "BatchTuner"},
        {"className": "my.T", "codeDirectory": "."},
    ],
)
def test_those_that_maximise_pass(tmp_path: Path, tuner: dict[str, Any]) -> None:
    check_tuner(read_experiment(write(tmp_path / "x.yml", tuner=tuner)))
