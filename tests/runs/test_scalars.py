"""What TensorBoard's own code reads of a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import Client

from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

# TensorBoard warns of its own copy of a package.
pytestmark = pytest.mark.filterwarnings("ignore:html5lib.s sanitizer is deprecated")

SAMPLES: list[dict[str, Any]] = [
    {"distance": "l1", "channels": 3, "bias": True, "sizes": [1, 2]},
    {"distance": "l2", "channels": 8, "bias": False, "sizes": [1, 2]},
    {"distance": "l1", "channels": 3, "bias": True, "sizes": [1, 2]},  # tried twice
    {"distance": "l2", "channels": 8, "bias": True, "sizes": None},
]


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """A search of four trials, the last of which was too slow."""
    search = ScalarWriter(tmp_path / "search")
    for number, sample in enumerate(SAMPLES):
        ok = number < 3
        writer = ScalarWriter(tmp_path / f"trial-{number:04d}")
        if ok:
            writer.add(1, {"loss/train": 2.0, "validation/auroc": 0.25})
            writer.add(2, {"loss/train": 1.0, "validation/auroc": 0.5 + number / 8})
        verdict, reward = (Verdict.OK, 0.5 + number / 8) if ok else (Verdict.OVER_TIME, 0.0)
        ms = 1.5 + number if ok else None
        record = TrialRecord(number=number, sample=sample, verdict=verdict, reward=reward, seconds=2.0, ms=ms)
        writer.add_trial(record)
        search.add(number, {"reward": reward, "best": reward})
    return tmp_path


def hparams_tab(logs: Path, route: str, **asked: Any) -> Any:
    """What the tab's server answers to its page."""
    from tensorboard.backend.event_processing.data_provider import MultiplexerDataProvider
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.base_plugin import TBContext
    from tensorboard.plugins.hparams.hparams_plugin import HParamsPlugin

    multiplexer = EventMultiplexer().AddRunsFromDirectory(str(logs)).Reload()
    plugin = HParamsPlugin(TBContext(data_provider=MultiplexerDataProvider(multiplexer, str(logs))))
    answer = Client(plugin.get_plugin_apps()[route]).post("/", json={"experimentName": "", **asked})
    assert answer.status_code == 200, answer.get_data()
    return json.loads(answer.get_data())


def rows(logs: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = hparams_tab(
        logs,
        "/session_groups",
        allowedStatuses=["STATUS_SUCCESS", "STATUS_FAILURE", "STATUS_RUNNING", "STATUS_UNKNOWN"],
        colParams=[],
        startIndex=0,
        sliceSize=100,
    )["sessionGroups"]
    return found


def test_the_tab_has_one_row_for_each_trial_also_where_two_have_the_same_sample(logs: Path) -> None:
    found = rows(logs)
    assert sorted(row["name"] for row in found) == [f"trial-{number:04d}" for number in range(4)]
    assert [len(row["sessions"]) for row in found] == [1] * 4
    for row in found:
        sample = SAMPLES[int(row["name"][-1])]
        text = {
            label: value if isinstance(value, str | bool | int) else json.dumps(value)
            for label, value in sample.items()
        }
        assert row["hparams"] == text


def test_a_row_has_the_reward_the_time_of_an_image_and_the_last_metrics(logs: Path) -> None:
    for row in rows(logs):
        number = int(row["name"][-1])
        metrics = {each["name"]["tag"]: each["value"] for each in row["metricValues"]}
        expected = 0.5 + number / 8
        if number < 3:
            assert metrics == {
                "reward": expected, "ms": 1.5 + number, "validation/auroc": expected, "loss/train": 1.0
            }  # fmt: skip
        else:
            assert metrics == {"reward": 0.0}
        [session] = row["sessions"]
        assert session["status"] == ("STATUS_SUCCESS" if number < 3 else "STATUS_FAILURE")
        assert session["endTimeSecs"] - session["startTimeSecs"] == pytest.approx(2.0, abs=1e-3)


def test_the_tab_knows_the_values_of_each_label(logs: Path) -> None:
    experiment = hparams_tab(logs, "/experiment", includeMetrics=True)
    infos = {info["name"]: info for info in experiment["hparamInfos"]}
    assert set(infos) == set(SAMPLES[0])
    assert sorted(infos["distance"]["domainDiscrete"]) == ["l1", "l2"]
    assert infos["channels"]["domainInterval"] == {"minValue": 3.0, "maxValue": 8.0}
    tags = [info["name"]["tag"] for info in experiment["metricInfos"]]
    assert sorted(tags) == ["loss/train", "ms", "reward", "validation/auroc"], "nothing of the search's own run"
