"""Several models of features together."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from feature_samples import sample_of
from torch import Tensor

from autoad_nni.models.build import build_detector
from autoad_nni.models.ensemble import Ensemble, mean_of
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.models.features.pixels import PixelFeatures
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.models.training import TrainingSettings, fit


def member(images: Tensor, stages: str, enlargement: int) -> Scorer:
    detector = build_detector(sample_of(stages=stages, enlargement=enlargement), channels=1, space="features")
    model = detector.autoencoder
    assert isinstance(model, FeatureModel)
    features = model.extract(images)
    model.prepare(features)
    fit(detector, features, settings=TrainingSettings(epochs=1), seed=0)
    return Scorer(detector)


def test_an_extractor_runs_once_for_all_members_whatever_their_stages(monkeypatch: pytest.MonkeyPatch) -> None:
    images = torch.rand(6, 1, 32, 24, generator=torch.Generator().manual_seed(0))
    members = [member(images, *each) for each in (("8", 1), ("4+8", 1), ("4", 2), ("8+16", 2))]
    expected = mean_of(members, [predict(each, images) for each in members])
    runs: list[int] = []
    compute = PixelFeatures.compute

    def counted(self: PixelFeatures, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        runs.append(images.shape[2])
        return compute(self, images)

    monkeypatch.setattr(PixelFeatures, "compute", counted)
    got = predict(Ensemble(members), images)
    assert runs == [32, 64], "heights of images: as they are, and enlarged"
    assert torch.equal(got.score, expected.score) and torch.equal(got.anomaly_map, expected.anomaly_map)
