"""Which images a trial trains on, which it takes statistics from, and what it reports."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from detectors import run_model
from feature_samples import sample_of
from torch import Tensor, nn
from toys import ReadNever

from autoad_nni.data import LabelledImages, Task
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.feature_model import FeatureModel, FeatureReconstruction
from autoad_nni.models.features import FeatureMaps
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.locations import vectors_of
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, predict_parts
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial import fitting
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import FeatureSpace

SETTINGS = TrialSettings(training=TrainingSettings(epochs=2, batch_size=8), device="cpu")
FEATURES = replace(SETTINGS, space="features")


class Conv(nn.Module):
    """A small autoencoder with a code at each of four locations; notes the images that it trains on."""

    hypothesis_name, distance_name = "centroid", "l2"

    def __init__(self, hypothesis: str = "centroid") -> None:
        super().__init__()
        self.hypothesis_name = hypothesis
        self.encoder = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.Tanh(), nn.AvgPool2d(4))
        self.decoder = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(3, 1, 3, padding=1))
        self.trained_on: set[bytes] = set()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self.trained_on |= {image.numpy().tobytes() for image in images}
        code = self.encoder(images)
        return self.decoder(code), code

    def macs(self, height: int, width: int) -> int:
        return 1


def task_of(n: int, side: int = 8) -> Task:
    """Every fifth training image is brighter and rougher than the others: statistics say which ones were used."""
    generator = torch.Generator().manual_seed(0)
    train = 0.3 + 0.1 * torch.rand(n, 1, side, side, generator=generator)
    train[4::5] = 0.5 + 0.4 * torch.rand(len(train[4::5]), 1, side, side, generator=generator)
    images = 0.3 + 0.3 * torch.rand(24, 1, side, side, generator=generator)
    images[12:] += 0.2
    labels = torch.tensor([0] * 12 + [1] * 12, dtype=torch.uint8)
    return Task("rooms", train, LabelledImages(images, labels), ReadNever())  # type: ignore[arg-type]


def images_of(seen: set[bytes], images: Tensor) -> list[int]:
    """The numbers of the images that were seen."""
    return [i for i, image in enumerate(images) if image.numpy().tobytes() in seen]


def trained_on(n: int, settings: TrialSettings = SETTINGS) -> tuple[list[int], Detector]:
    child, task = Conv(), task_of(n)
    result = run_model(lambda: child, task, settings)
    assert result.detector is not None, result.detail
    return images_of(child.trained_on, task.train), result.detector


@pytest.mark.parametrize("n", [5, 9, 10, 23, 40])
def test_every_fifth_image_is_not_trained_on(n: int) -> None:
    assert trained_on(n)[0] == [i for i in range(n) if i % 5 != 4]


def test_of_fewer_than_five_the_last_is_not_trained_on() -> None:
    assert [trained_on(n)[0] for n in (2, 3, 4)] == [[0], [0, 1], [0, 1, 2]]


def test_a_single_image_is_both() -> None:
    seen, detector = trained_on(1)
    assert seen == [0]
    distance = predict_parts(Scorer(detector), task_of(1).train)[1]["distance"]
    torch.testing.assert_close(detector.reader.get_buffer("distance_mean"), distance.mean())


def test_at_most_so_many_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting._MOST_HELD_OUT == 500
    monkeypatch.setattr(fitting, "_MOST_HELD_OUT", 3)
    assert trained_on(40)[0] == [i for i in range(40) if i not in (4, 19, 34)]


def test_windows_are_not_cut_from_the_images_that_are_held_out() -> None:
    child, task = Conv(), task_of(20)
    settings = replace(SETTINGS, scoring=ScoringSettings(patch=8))  # as large as the image: each is one window
    detector = run_model(lambda: child, task, settings).detector
    assert images_of(child.trained_on, task.train) == [i for i in range(20) if i % 5 != 4]
    assert detector is not None
    prediction = predict(Scorer(detector, settings.scoring), task.train[4::5])
    torch.testing.assert_close(detector.normal_score[0], prediction.score.mean())
    torch.testing.assert_close(detector.normal_map[1], prediction.anomaly_map.std(correction=0))


@pytest.mark.parametrize("hypothesis", ["density", "cluster", "centroid", "memory", "reconstruction"])
def test_statistics_are_those_of_the_images_that_were_held_out(hypothesis: str) -> None:
    task = task_of(40)
    detector = run_model(lambda: Conv(hypothesis), task, SETTINGS).detector
    assert detector is not None
    scorer = Scorer(detector)
    held_out, others = (predict_parts(scorer, images)[1] for images in (task.train[4::5], task.train[:4]))
    assert set(held_out) == ({"distance"} if hypothesis == "reconstruction" else {"distance", "code"})
    for part, maps in held_out.items():
        mean, deviation = (detector.reader.get_buffer(f"{part}_{name}") for name in ("mean", "deviation"))
        torch.testing.assert_close(mean, maps.mean(), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(deviation, maps.std(correction=0), rtol=1e-4, atol=1e-6)
        assert abs(others[part].mean() - mean) > 0.1 * deviation, "or it proves nothing"
    prediction = predict(scorer, task.train[4::5])
    torch.testing.assert_close(detector.normal_score[0], prediction.score.mean(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.normal_score[1], prediction.score.std(correction=0), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(detector.normal_map[0], prediction.anomaly_map.mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("hypothesis", ["density", "cluster", "centroid", "memory"])
def test_the_terms_of_the_whole_score_are_on_the_scale_of_the_images_that_were_held_out(hypothesis: str) -> None:
    """A memory is at no distance from the images that are in it."""
    task = task_of(40)
    detector = run_model(lambda: Conv(hypothesis), task, SETTINGS).detector
    assert detector is not None
    with torch.no_grad():
        terms = detector(task.train[4::5])
        scores = detector.hypothesis.score(terms.code)
    torch.testing.assert_close(detector.distance_scale, terms.distance.std(correction=0), rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(detector.hypothesis_scale, scores.std(correction=0), rtol=1e-3, atol=1e-6)
    assert not torch.isclose(detector.hypothesis_scale, torch.tensor(1.0))


def test_nearest_neighbour_s_reconstruction_is_measured_on_images_that_are_not_in_its_span() -> None:
    """Of its own images it is exact: divided by what is left of rounding, it would be the whole score."""
    detector = run_trial(sample_of("nearest_neighbour", stages="4"), task_of(40, 24), FEATURES).detector
    assert detector is not None
    assert detector.distance_scale > 1e-3 and detector.hypothesis_scale > 1e-2


def test_a_single_held_out_image_has_no_scale_and_that_of_the_training_images_stays() -> None:
    detector = run_model(lambda: Conv("centroid"), task_of(4), SETTINGS).detector
    assert detector is not None
    with torch.no_grad():
        terms = detector(task_of(4).train[:3])
    torch.testing.assert_close(detector.distance_scale, terms.distance.std(correction=0), rtol=1e-3, atol=1e-6)


def test_what_is_fitted_to_codes_is_fitted_to_those_of_training_images() -> None:
    task = task_of(40)
    kept = torch.tensor([i for i in range(40) if i % 5 != 4])
    detector = run_model(lambda: Conv("memory"), task, SETTINGS).detector
    assert detector is not None and detector.local is not None
    with torch.no_grad():
        codes = detector(task.train[kept]).code_map
        components = detector.local.projection(codes)[:, : codes.shape[1]]
        local = vectors_of(detector.local.whitening(components))
    torch.testing.assert_close(detector.local.whitening.means, components.mean(0))
    for hypothesis, vectors in ((detector.hypothesis, codes.flatten(1)), (detector.local.hypothesis, local)):
        memory = hypothesis.get_buffer("memory")
        assert len(memory) == len(vectors)
        torch.testing.assert_close(memory.sort(0).values, vectors.sort(0).values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("known", ["patchcore", "padim", "pca"])
def test_what_is_fitted_to_features_is_fitted_to_those_of_training_images(known: str) -> None:
    task = task_of(40, 24)
    kept = torch.tensor([i for i in range(40) if i % 5 != 4])
    detector = run_trial(sample_of(known, stages="4", projection="16"), task, FEATURES).detector
    assert detector is not None and isinstance(detector.autoencoder, FeatureModel)
    model = detector.autoencoder
    joined = model._joined(model.extract(task.train[kept]))
    torch.testing.assert_close(model.means, joined.mean((0, 2, 3)))
    standardized = (joined - model.means[:, None, None]) / model.deviations[:, None, None]
    centre = standardized.mean((0, 2, 3)) if model.local_codes else standardized.flatten(1).mean(0)
    torch.testing.assert_close(model.projection.centre, centre, rtol=1e-4, atol=1e-4)
    held_out = predict_parts(Scorer(detector), task.train[4::5])[1]
    for part in detector.reader.parts:
        torch.testing.assert_close(detector.reader.get_buffer(f"{part}_mean"), held_out[part].mean())


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("known", sorted(FeatureSpace.known))
def test_few_images_are_enough_for_known_methods(known: str, n: int) -> None:
    """Their figures may be poor; nothing crashes."""
    result = run_trial(sample_of(known, stages="4"), task_of(n, 24), FEATURES)
    assert result.record.verdict.value in ("ok", "constant_score"), result.record.detail
    assert n < 3 or result.record.verdict.value == "ok"


@pytest.mark.parametrize("hypothesis", ["density", "cluster", "centroid", "memory", "reconstruction"])
def test_few_images_are_enough_for_an_autoencoder(hypothesis: str) -> None:
    for n in (2, 3, 6):
        result = run_model(lambda: Conv(hypothesis), task_of(n), SETTINGS)
        assert result.metrics["verdict"] == "ok", (n, result.detail)


@pytest.mark.parametrize("known", ["patchcore", "feature_autoencoder", "pca"])
def test_a_trial_of_features_reports_its_last_round_once_with_its_figures(known: str) -> None:
    """Where nothing is trained there is one round."""
    reports: list[tuple[int, float, dict[str, float]]] = []
    sample = sample_of(known, stages="4", projection="16")
    result = run_trial(sample, task_of(40, 24), FEATURES, on_epoch=lambda *figures: reports.append(figures))
    assert [number for number, _, _ in reports] == ([1, 2] if known == "feature_autoencoder" else [1])
    assert reports[-1][2] == result.record.validation
    assert result.detector is not None
    again = evaluate(Scorer(result.detector), task_of(40, 24).validation)
    assert again == pytest.approx(dict(result.record.validation))
    assert result.record.reading == result.detector.reader.reading.name


def test_before_the_last_round_the_figures_are_those_of_the_whole_images() -> None:
    """Statistics for readings are there only when the training is over."""
    task, reports = task_of(40), list[dict[str, float]]()
    first = run_model(Conv, task, replace(SETTINGS, training=replace(SETTINGS.training, epochs=1)))
    assert first.detector is not None

    def on_epoch(number: int, loss: float, figures: dict[str, float]) -> None:
        reports.append(figures)

    two = run_model(Conv, task, SETTINGS, on_epoch=on_epoch)
    assert len(reports) == 2 and reports[1] == {name: two.metrics[name] for name in reports[1]}
    assert two.metrics["auroc"] >= max(0.5, reports[0]["auroc"] - 0.5)


def test_the_best_of_the_readings_is_never_worse_than_the_whole_image() -> None:
    task = task_of(40)
    result = run_model(Conv, task, SETTINGS)
    assert result.detector is not None
    chosen: dict[str, Any] = dict(result.metrics)
    for reading in result.detector.reader.readings():
        result.detector.reader.reading = reading
        assert evaluate(Scorer(result.detector), task.validation)["auroc"] <= chosen["auroc"] + 1e-9


@pytest.mark.parametrize("known", ["patchcore", "padim", "feature_autoencoder", "pca"])
def test_of_features_the_model_sees_few_images_at_a_time(known: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model without trained parameters saves nothing for backward: every number of images fits into its limit."""
    seen: list[int] = []
    forward = FeatureModel.forward

    def counted(self: FeatureModel, features: FeatureMaps) -> FeatureReconstruction:
        seen.append(len(features))
        return forward(self, features)

    monkeypatch.setattr(FeatureModel, "forward", counted)
    assert run_trial(sample_of(known, stages="4"), task_of(200, side=128), FEATURES).detector is not None
    assert max(seen) == 8, "8 images have 8,192 locations"


def held_out_of(detector: Detector, task: Task) -> tuple[Scorer, Tensor]:
    return Scorer(detector), task.train[4::5]


def test_where_places_count_an_image_is_measured_by_the_others() -> None:
    task = task_of(60)
    scorer, held_out = held_out_of(trained_on(60)[1], task)
    reader = scorer.detector.reader
    _, maps = predict_parts(scorer, held_out)
    for name in ("distance/by_place/max", "code/by_place_two_sided/top5", "both/by_place/mean"):
        reader.reading = Reading.parse(name)
        before, expected = copy.deepcopy(reader.state_dict()), []
        for i in range(12):
            reader.fit({part: torch.cat([each[:i], each[i + 1 :]]) for part, each in maps.items()})
            expected.append(predict(scorer, held_out).score[i])
        reader.load_state_dict(before)
        found = fitting.score_held_out(scorer, task.train)
        assert torch.allclose(found, torch.stack(expected), atol=1e-5)
        assert not torch.allclose(found, predict(scorer, held_out).score, atol=1e-3)
        assert all(torch.equal(value, before[key]) for key, value in reader.state_dict().items())


@pytest.mark.parametrize("reading", ["whole", "distance/raw/max", "code/raw_two_sided/mean"])
def test_elsewhere_held_out_images_are_scored_as_any_others(reading: str) -> None:
    task = task_of(60)
    scorer, held_out = held_out_of(trained_on(60)[1], task)
    scorer.detector.reader.reading = Reading.parse(reading)
    assert torch.equal(fitting.score_held_out(scorer, task.train), predict(scorer, held_out).score)


def test_in_windows_and_of_one_image_too() -> None:
    task = task_of(9)
    scorer, held_out = held_out_of(trained_on(9)[1], task)
    scorer.detector.reader.reading = Reading("distance", by_place=True)
    assert len(held_out) == 1
    assert torch.equal(fitting.score_held_out(scorer, task.train), predict(scorer, held_out).score)
    wide = task_of(60, side=16)
    in_windows = Scorer(trained_on(9)[1], ScoringSettings(patch=8, two_sided=True))
    assert torch.equal(fitting.score_held_out(in_windows, wide.train), predict(in_windows, wide.train[4::5]).score)


@pytest.mark.parametrize("by_place", [False, True])
def test_a_new_image_exceeds_the_held_out_ones_as_often_as_any_of_them_would(by_place: bool) -> None:
    """Of 10, the highest is exceeded in 1 of 11 cases; measured by themselves, by place, in a third of all."""
    scorer = Scorer(Detector(nn.Module(), ReconstructionHypothesis(), L1Distance()), ScoringSettings(smoothing=0))
    scorer.detector.autoencoder.forward = lambda images: (torch.zeros_like(images), images.flatten(1))
    reader = scorer.detector.reader
    reader.reading = Reading("distance", by_place=by_place)
    generator, exceeded, by_themselves = torch.Generator().manual_seed(0), 0.0, 0.0
    for _ in range(100):
        train, new = torch.rand(150, 1, 16, 16, generator=generator).split([50, 100])
        reader.fit(predict_parts(scorer, train[4::5])[1])
        scores = predict(scorer, new).score
        exceeded += float((scores > fitting.score_held_out(scorer, train).max()).float().mean()) / 100
        by_themselves += float((scores > predict(scorer, train[4::5]).score.max()).float().mean()) / 100
    assert exceeded == pytest.approx(1 / 11, abs=0.04)
    assert (by_themselves > 0.25) == by_place
