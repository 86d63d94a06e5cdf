from __future__ import annotations

import json
from pathlib import Path

import pytest

from autoad_nni import __version__
from autoad_nni.errors import AutoADError
from autoad_nni.runs.one_trial import read_sample
from autoad_nni.searches.plugins import plugins_of_search
from autoad_nni.trial.plugins import check_plugins, plugins_of_trial

OURS = f"autoad-nni {__version__}"
SAMPLE = {"hypothesis": "density", "distance": "l21", "layer1_kernel": 3}
USED = ("autoencoder", ("digits", "photos", "uniform"))


def test_a_trial_names_hypothesis_distance_space_and_data() -> None:
    assert plugins_of_trial(SAMPLE, *USED) == dict.fromkeys(
        [
            "hypothesis density",
            "distance l21",
            "search space autoencoder",
            "data set digits",
            "data set photos",
            "data set uniform",
        ],
        OURS,
    )


def test_a_search_names_all_that_it_may_run() -> None:
    space = {
        "hypothesis": {"_type": "choice", "_value": ["density", "cluster"]},
        "distance": {"_type": "choice", "_value": ["l1"]},
    }
    keys = ["hypothesis cluster", "hypothesis density", "distance l1", "search space autoencoder", "strategy random"]
    assert plugins_of_search(space, strategy="random", space="autoencoder") == dict.fromkeys(keys, OURS)
    keys[-1:] = ["data set digits", "data set photos"]
    named = plugins_of_search(space, strategy=None, space="autoencoder", data_sets=["digits", "photos"])
    assert named == dict.fromkeys(keys, OURS)


def test_what_is_installed_as_recorded_passes() -> None:
    check_plugins(plugins_of_trial(SAMPLE, *USED))
    check_plugins({})


@pytest.mark.parametrize(
    ("key", "recorded", "message"),
    [
        (
            "hypothesis knn",
            "autoad-nni-knn 0.2.0",
            "The hypothesis 'knn' is not installed. Expected autoad-nni-knn 0.2.0, with which this was recorded. "
            "Install it with: pip install autoad-nni-knn==0.2.0",
        ),
        (
            "distance l1",
            "autoad-nni 0.0.1",
            f"The distance 'l1' is of {OURS}. Expected autoad-nni 0.0.1, with which this was recorded. "
            "Install it with: pip install autoad-nni==0.0.1",
        ),
        (
            "search space autoencoder",
            f"other-spaces {__version__}",
            f"The search space 'autoencoder' is of {OURS}. Expected other-spaces {__version__}, with which this was "
            f"recorded. Install it with: pip install other-spaces=={__version__}",
        ),
    ],
)
def test_a_missing_or_other_plugin_is_named(key: str, recorded: str, message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        check_plugins({**plugins_of_trial(SAMPLE, "autoencoder"), key: recorded})
    assert str(caught.value) == message


@pytest.mark.parametrize("recorded", [{"colour red": OURS}, {"density": OURS}, {"hypothesis density": 1}])
def test_a_record_changed_by_hand_is_one_line(recorded: dict[str, str]) -> None:
    with pytest.raises(AutoADError, match="changed by hand: restore it"):
        check_plugins(recorded)


def test_a_sample_file_may_record_its_plugins(tmp_path: Path) -> None:
    file = tmp_path / "best.json"
    for content, expected in (
        (SAMPLE, (SAMPLE, {}, "")),
        ({"sample": SAMPLE}, (SAMPLE, {}, "")),
        ({"sample": SAMPLE, "plugins": {"a b": "c d"}}, (SAMPLE, {"a b": "c d"}, "")),
        ({"trial": {"sample": SAMPLE, "known": "plain"}}, (SAMPLE, {}, "plain")),
    ):
        file.write_text(json.dumps(content))
        assert read_sample(file) == expected
    file.write_text(json.dumps({"sample": SAMPLE, "plugins": ["a"]}))
    with pytest.raises(AutoADError, match="holds plugins: "):
        read_sample(file)
