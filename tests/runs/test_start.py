from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.runs.start import RunStart
from autoad_nni.trial.request import TrialRequest
from autoad_nni.version import __version__

START = RunStart(
    request=TrialRequest.from_options(data="digits", abnormal="photos", image_size=16, two_sided=True, patch=8),
    images="a1",
    image_shape=(1, 16, 16),
    plugins={"data set digits": f"autoad-nni {__version__}"},
    metadata={"experiment": "small.yml"},
)


def test_what_a_search_began_with_is_kept_once(tmp_path: Path) -> None:
    START.write(tmp_path)
    replace(START, images="b2").write(tmp_path)
    assert RunStart.read(tmp_path) == START


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"data": "digits", "abnormal": "photos", "image_size": 20, "two_sided": True, "patch": 8}, "image_size=16"),
        ({"data": "digits", "abnormal": "uniform", "image_size": 16, "two_sided": True, "patch": 8}, "abnormal=photos"),
        ({"data": "digits", "abnormal": "photos", "image_size": 16, "patch": 8}, "two_sided=True"),
    ],
)
def test_other_options_are_refused_and_the_first_is_named(
    tmp_path: Path, options: dict[str, object], message: str
) -> None:
    with pytest.raises(AutoADError) as caught:
        START.check_same(replace(START, request=TrialRequest.from_options(**options)), tmp_path)
    assert f"began with {message}, now it is" in str(caught.value) and "\n" not in str(caught.value)


def test_competitors_may_be_others(tmp_path: Path) -> None:
    request = TrialRequest.from_options(**{**START.request.options(), "competitors": "msp"})
    START.check_same(replace(START, request=request), tmp_path)
    replace(START, request=request).check_same(START, tmp_path)


def test_another_version_of_a_data_set_is_refused(tmp_path: Path) -> None:
    other = replace(START, plugins={"data set digits": "third-party 0.9"})
    with pytest.raises(AutoADError, match=r"The data set 'digits' is of autoad-nni .* Expected third-party 0.9"):
        other.check_same(START, tmp_path)


def test_an_experiment_of_plain_nnictl_has_none(tmp_path: Path) -> None:
    assert RunStart.read(tmp_path) is None


@pytest.mark.parametrize(
    "content",
    ["{", "[]", '{"plugins": 3}', json.dumps({"request": {}, "images": "", "image_shape": [1, 2], "plugins": {}})],
)
def test_a_file_changed_by_hand_is_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "started.json").write_text(content)
    with pytest.raises(AutoADError, match=r"started.json .*Expected .* or remove it\.$") as caught:
        RunStart.read(tmp_path)
    assert "\n" not in str(caught.value)
