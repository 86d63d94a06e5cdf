"""What holds for every reading, of models that were trained on real images."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from feature_samples import sample_of
from torch import Tensor

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.models.detector import Detector
from autoad_nni.models.readings import READINGS, WHOLE, Reading, pool
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, predict_scores
from autoad_nni.models.smoothing import smooth
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings

LAYER = {"channels": 8, "kernel": 3, "pooling": "average", "pooling_kernel": 3, "normalization": "batch"}
SAMPLES: dict[str, tuple[str, dict[str, Any]]] = {
    "autoencoder": (
        "autoencoder",
        {"hypothesis": "centroid", "distance": "l2", "layer1_activation": "elu"}
        | {f"layer1_{key}": value for key, value in LAYER.items()},
    ),
    "features": (
        "features",
        sample_of("feature_autoencoder", stages="4", hypothesis="density", layers="2 of 1x1 to 8"),
    ),
}


@cache
def task() -> Task:
    return load_task(TaskOptions(data="digits", abnormal=("photos",), limit=200, image_size=17))


@cache
def trained(name: str) -> Detector:
    space, sample = SAMPLES[name]
    settings = TrialSettings(training=TrainingSettings(epochs=2), space=space, device="cpu")
    detector = run_trial(sample, task(), settings).detector
    assert detector is not None
    return detector


@pytest.fixture(params=SAMPLES)
def detector(request: pytest.FixtureRequest) -> Detector:
    return trained(request.param)


def images() -> Tensor:
    return task().validation.images


@pytest.mark.parametrize("smoothing", [0.0, 1.5])
def test_there_are_all_readings_and_the_score_is_a_number_of_the_map(detector: Detector, smoothing: float) -> None:
    assert detector.reader.readings() == (WHOLE, *READINGS)
    scorer = Scorer(detector, ScoringSettings(smoothing=smoothing))
    before, maps = detector.reader.reading, []
    try:
        for reading in READINGS:
            detector.reader.reading = reading
            score, anomaly_map = predict(scorer, images())
            assert torch.equal(score, pool(anomaly_map, reading.pooling)), reading.name
            maps.append(anomaly_map)
    finally:
        detector.reader.reading = before
    assert len({tuple(each.flatten().tolist()) for each in maps}) == len(READINGS) / 4, "four poolings of each map"


@pytest.mark.parametrize("reading", [WHOLE, READINGS[0], READINGS[-1]], ids=lambda reading: reading.name)
def test_scores_alone_are_those_of_a_prediction(detector: Detector, reading: Reading) -> None:
    before = detector.reader.reading
    detector.reader.reading = reading
    try:
        scorer = Scorer(detector)
        assert torch.equal(predict_scores(scorer, images()), predict(scorer, images()).score)
    finally:
        detector.reader.reading = before


def test_the_whole_image_s_score_is_not_of_its_map(detector: Detector) -> None:
    """It is Eq. 2: both terms, each in units of the training images; its map is that of the distance."""
    before = detector.reader.reading
    detector.reader.reading = WHOLE
    try:
        score, anomaly_map = predict(Scorer(detector, ScoringSettings(smoothing=1.5)), images())
    finally:
        detector.reader.reading = before
    with torch.no_grad():
        terms = detector(detector.inputs(images()))
        hypothesis = detector.hypothesis.score(terms.code).view(len(images()), -1).mean(1)
    expected = terms.distance / detector.distance_scale + hypothesis / detector.hypothesis_scale
    torch.testing.assert_close(score, expected, rtol=1e-3, atol=1e-3)
    enlarged = torch.nn.functional.interpolate(terms.distance_map, images().shape[2:], mode="bilinear")
    torch.testing.assert_close(anomaly_map, smooth(enlarged / detector.distance_scale, 1.5), rtol=1e-3, atol=1e-3)


def test_normal_images_have_maps_around_zero_with_deviation_one(detector: Detector) -> None:
    """One scale for all parts: what was held out has it, and validation nearly."""
    held_out = task().train[4::5]
    before = detector.reader.reading
    try:
        for part in ("distance", "code"):
            detector.reader.reading = Reading(part)
            scorer = Scorer(detector, ScoringSettings(smoothing=0))
            values = detector.reader.join(
                dict(zip(("distance", "code"), scorer.parts(held_out)[1:], strict=True)),
                Reading(part),
                tuple(getattr(detector.reader, f"{part}_place_mean").shape[1:]),
            )
            assert values.mean().item() == pytest.approx(0, abs=1e-3)
            assert values.std(correction=0).item() == pytest.approx(1, abs=1e-3)
    finally:
        detector.reader.reading = before
