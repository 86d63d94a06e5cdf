from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from cli.small_experiment import content, tuner
from installed import seen
from named_space import KNOWN, install_named_space

from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import Experiment, make_experiment, read_experiment
from autoad_nni.searches.short_form import expand
from autoad_nni.searches.spaces import to_search_space
from autoad_nni_search_spaces import AutoencoderSpace, FeatureSpace

COMMAND = "autoad-nni trial --data digits --abnormal photos"


def made(space: dict[str, Any], **changes: Any) -> Experiment:
    whole = content(**{"trialCommand": COMMAND, "searchSpace": space, "tuner": tuner(), **changes})
    return make_experiment(whole, name="x.yml", folder=Path())


@pytest.mark.parametrize(
    ("short", "long"),
    [
        ({"space": "autoencoder", "layers": 2}, to_search_space(AutoencoderSpace(2))),
        ({"space": "autoencoder"}, to_search_space(AutoencoderSpace())),
        ({"space": "features"}, to_search_space(FeatureSpace())),
    ],
)
def test_it_stands_for_the_whole_space(short: dict[str, Any], long: dict[str, Any]) -> None:
    assert expand(short) == long
    assert list(expand(short)) == list(long), "in that order, which seeds depend on"


def test_values_by_label_narrow_it() -> None:
    narrow = expand({"space": "features", "extractor": ["contrast", "pixels"], "layers": "none"})
    whole = to_search_space(FeatureSpace())
    assert narrow.pop("extractor") == {"_type": "choice", "_value": ["contrast", "pixels"]}
    assert narrow.pop("layers") == {"_type": "choice", "_value": ["none"]}, "a label there, not a number of layers"
    assert narrow == {label: whole[label] for label in narrow} and len(narrow) == len(whole) - 2


def test_a_third_party_s_space_is_found_in_the_same_way(tmp_path: Path) -> None:
    with seen(install_named_space(tmp_path)):
        file = made({"space": "named", "layers": 1}, tuner=tuner(known=True))
        assert file.search_space == to_search_space(AutoencoderSpace(1))
        assert file.advisor_arguments is not None and file.advisor_arguments["space"] == "named"
        assert file.trial_arguments[-2:] == ["--space", "named"] and KNOWN


def test_the_space_is_named_for_trials_and_strategy(tmp_path: Path) -> None:
    file = made({"space": "features"})
    assert file.trial_arguments == [*COMMAND.split()[2:], "--space", "features"]
    assert file.advisor_arguments is not None and file.advisor_arguments["space"] == "features"
    assert file.content["searchSpace"] == file.search_space == to_search_space(FeatureSpace()) and file.was_short
    assert file.content["trialCommand"] == f"{COMMAND} --space features", "what NNI gets"
    path = tmp_path / "space.yml"
    path.write_text("{space: features}")
    (tmp_path / "x.yml").write_text(yaml.safe_dump(content(searchSpace=None, searchSpaceFile="space.yml")))
    apart = read_experiment(tmp_path / "x.yml")
    assert apart.search_space == file.search_space and "searchSpaceFile" not in apart.content


def test_what_is_said_twice_in_agreement_stays() -> None:
    command = f"{COMMAND} --space=features --epochs 1"
    file = made({"space": "features"}, trialCommand=command, tuner=tuner(space="features"))
    assert file.content["trialCommand"] == command
    assert made({"space": "autoencoder"}).content["trialCommand"] == COMMAND, "the default"


def test_a_tuner_of_nni_is_given_no_arguments() -> None:
    file = made({"space": "features"}, tuner={"name": "TPE", "classArgs": {"optimize_mode": "maximize"}})
    assert file.tuner_arguments == {"optimize_mode": "maximize"} and file.trial_arguments[-1] == "features"


def test_the_long_form_is_left_as_it_is() -> None:
    whole = content()
    file = make_experiment(whole, name="x.yml", folder=Path())
    assert file.content is whole and not file.was_short and file.reasons == ()


@pytest.mark.parametrize(
    ("space", "changes", "message"),
    [
        ({"space": "nosuch"}, {}, "Unknown search space 'nosuch'"),
        ({"space": "autoencoder", "layers": 0}, {}, "searchSpace has layers: 0. Expected a whole number of 1 or more."),
        ({"space": "autoencoder", "layers": True}, {}, "searchSpace has layers: True."),
        ({"space": "features", "extractors": []}, {}, "searchSpace has 'extractors' beside space: features. Expected"),
        (
            {"space": "features"},
            {"tuner": tuner(space="autoencoder")},
            "x.yml: searchSpace has space: features, tuner.classArgs has space: autoencoder. Expected the same",
        ),
        (
            {"space": "features"},
            {"trialCommand": f"{COMMAND} --space autoencoder"},
            "x.yml: searchSpace has space: features, trialCommand has --space autoencoder. Expected the same",
        ),
    ],
)
def test_faults(space: dict[str, Any], changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as raised:
        made(space, **changes)
    assert str(raised.value).startswith(message), raised.value
