from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.data import TaskOptions
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.request import OPTIONS, TrialRequest
from autoad_nni.trial.settings import TrialSettings

# One value for each option, none of them its default.
VALUES: dict[str, Any] = {
    "data": "folder",
    "abnormal": ["photos", "uniform"],
    "root": "/data/my screws",
    "roots": ["folder=/data/my screws 2"],
    "category": "m4",
    "image_size": 32,
    "limit": 100,
    "download": True,
    "epochs": 7,
    "steps": 300,
    "preset": "paper",
    "patch": 16,
    "two_sided": True,
    "smoothing": 1.5,
    "reward": "aupr_in",
    "max_macs": 10**6,
    "max_ms": 12.5,
    "max_seconds": 2.5,
    "max_memory": 500,
    "device": "cpu",
    "threads": 2,
    "weight_sharing": True,
    "members": 3,
    "competitors": ["msp", "odin"],
    "false_alarm_rate": 0.05,
    "seed": 4,
    "space": "other",
    "weights": "/data/my weights.pth",
}


def test_every_option_is_here() -> None:
    assert {*VALUES, "anomalies"} == set(OPTIONS)  # which excludes abnormal
    assert all(value != OPTIONS[name].default for name, value in VALUES.items())


def test_planted_defects_are_an_option() -> None:
    request = TrialRequest.from_options(data="folder", anomalies="planted", reward="aupro")
    assert request.task.planted and request.reward_name == "planted aupro"
    assert request.to_words() == ["--data", "folder", "--anomalies", "planted", "--reward", "aupro"]
    assert not TrialRequest.from_options(data="folder").task.planted


def test_every_option_arrives_where_it_is_used() -> None:
    request = TrialRequest.from_options(**VALUES)
    assert request.task == TaskOptions(
        data="folder", abnormal=("photos", "uniform"), root=Path("/data/my screws"), category="m4", image_size=32,
        roots=("folder=/data/my screws 2",), limit=100, download=True, seed=4,
    )  # fmt: skip
    assert request.settings == TrialSettings(
        training=TrainingSettings.paper(7, 300), scoring=ScoringSettings(patch=16, two_sided=True, smoothing=1.5),
        reward="aupr_in", max_macs=10**6, max_ms=12.5, max_seconds=2.5, max_memory=500, device="cpu", threads=2,
        seed=4, space="other", download=True, weights=Path("/data/my weights.pth"),
    )  # fmt: skip
    assert (
        request.weight_sharing
        and request.members == 3
        and request.competitors == ("msp", "odin")
        and request.space == "other"
        and request.data_sets == ("folder", "photos", "uniform")
    )


@settings(deadline=None, derandomize=True, max_examples=60)
@given(st.sets(st.sampled_from(sorted(set(VALUES) - {"data"}))))
def test_options_survive_json_and_the_words_of_a_command(chosen: set[str]) -> None:
    chosen |= {"data"} | ({"patch"} if "two_sided" in chosen else set())
    options = {name: VALUES[name] for name in chosen}
    request = TrialRequest.from_options(**options)
    assert request.options() == options, "only what differs from the defaults"
    assert TrialRequest.from_options(**json.loads(json.dumps(request.options()))) == request
    assert parse_request(request.to_words()) == request


def test_defaults_are_those_of_the_dataclasses() -> None:
    assert TrialRequest.from_options(data="digits") == TrialRequest(task=TaskOptions(data="digits"))
    for name, option in OPTIONS.items():
        kinds = (TaskOptions, TrainingSettings, ScoringSettings, TrialSettings, TrialRequest)
        declared = [each for kind in kinds for each in dataclasses.fields(kind) if each.name == name]
        assert declared and all(each.default == option.default for each in declared), name
        assert option.help.endswith((".", ")")), name


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "data is missing. Expected the name of a data set."),
        ({"data": "digits", "epoch": 3}, "Did you mean epochs?"),
        ({"data": "digits", "contamination": 0.5}, "Unknown option 'contamination'."),
        ({"data": "digits", "epochs": 2.5}, "epochs is 2.5. Expected int. Correct it."),
        ({"data": "digits", "epochs": True}, "epochs is True. Expected int. Correct it."),
        ({"data": "digits", "two_sided": 1}, "two_sided is 1. Expected bool. Correct it."),
        ({"data": 5}, "data is 5. Expected str. Correct it."),
        ({"data": "digits", "abnormal": 5}, "abnormal is 5. Expected"),
        ({"data": "digits", "members": 0}, "members is 0. Expected 1 or more. Give members=1 for one model."),
        ({"data": "digits", "preset": "papr"}, "preset is 'papr'. Expected one of default, paper. Give one of these."),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        TrialRequest.from_options(**options)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_numbers_may_be_whole_where_fractions_are_meant() -> None:
    assert TrialRequest.from_options(data="digits", max_seconds=3).settings.max_seconds == 3


def test_relative_paths_start_from_the_folder_of_the_command(tmp_path: Path) -> None:
    assert parse_request(["--data", "digits", "--weights", "w.pth"], tmp_path).settings.weights == tmp_path / "w.pth"
    assert parse_request(["--data", "folder", "--root", "images"], tmp_path).task.root == tmp_path / "images"
    assert parse_request(["--data", "folder", "--root", "/abs"], tmp_path).task.root == Path("/abs")
    home = parse_request(["--data", "folder", "--root", "~/images"], tmp_path).task.root
    assert home == Path("~/images").expanduser()
    words = ["--data", "mnist", "--abnormal", "svhn", "--roots", "mnist=a,svhn=~/b"]
    task = parse_request(words, tmp_path).task
    assert (task.root_of("mnist"), task.root_of("svhn")) == (tmp_path / "a", Path("~/b").expanduser())
