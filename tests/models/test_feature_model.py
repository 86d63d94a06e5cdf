"""Models of features on real photographs: every choice, and the known methods against twins in numpy and sklearn."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from feature_samples import sample_of
from safetensors.torch import load_file, save_file
from skimage import data
from sklearn.decomposition import PCA
from torch import Tensor

from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.models.detector import Detector
from autoad_nni.models.feature_model import FEATURE_CHOICES, FeatureModel, build_feature_model
from autoad_nni.models.features import FeatureMaps, load_extractor
from autoad_nni.models.locations import vectors_of
from autoad_nni.models.scoring import Scorer, predict, predict_parts
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.trial.features import extract

HYPOTHESES = ("density", "cluster", "centroid", "reconstruction", "memory")
DISTANCES = ("l1", "l2", "l21")
Numbers = npt.NDArray[np.float64]


@cache
def photographs(n: int, height: int = 41, width: int = 50, channels: int = 3, *, seed: int = 0) -> Tensor:
    """Pieces of three photographs, ``(n, channels, height, width)``."""
    rng = random.Random(seed)
    pictures = [torch.tensor(each).permute(2, 0, 1) / 255 for each in (data.cat(), data.astronaut(), data.coffee())]
    pieces = []
    for i in range(n):
        picture = pictures[i % 3]
        top, left = rng.randrange(picture.shape[1] - height), rng.randrange(picture.shape[2] - width)
        pieces.append(picture[:, top : top + height, left : left + width])
    images = torch.stack(pieces)
    return images if channels == 3 else images.mean(1, keepdim=True)


def trained(sample: dict[str, Any], images: Tensor, *, epochs: int = 1) -> Detector:
    """A detector with the statistics that a trial takes."""
    torch.manual_seed(0)
    detector = build_detector(sample, channels=images.shape[1], space="features")
    model = detector.autoencoder
    assert isinstance(model, FeatureModel)
    features = model.extract(images)
    model.prepare(features)
    fit(detector, features, settings=TrainingSettings(epochs=epochs, batch_size=8), seed=0)
    detector.reader.fit(predict_parts(Scorer(detector), features)[1])
    return detector


def model_of(detector: Detector) -> FeatureModel:
    assert isinstance(detector.autoencoder, FeatureModel)
    return detector.autoencoder


def each_choice() -> Iterator[dict[str, Any]]:
    """Every value of every label, one at a time, from two samples: with layers and without."""
    for base in (sample_of(), sample_of("feature_autoencoder", hypothesis="density", layers="2 of 1x1 to 8")):
        yield base
        for label, values in {**FEATURE_CHOICES, "hypothesis": HYPOTHESES, "distance": DISTANCES}.items():
            yield from ({**base, label: value} for value in values if value != base[label])


def random_choices(n: int) -> Iterator[dict[str, Any]]:
    rng = random.Random(1)
    choices = {**FEATURE_CHOICES, "hypothesis": HYPOTHESES, "distance": DISTANCES}
    for _ in range(n):
        yield sample_of(**{label: rng.choice(values) for label, values in choices.items()})


def short(sample: dict[str, Any]) -> str:
    return "-".join(str(value) for label, value in sample.items() if label != "extractor")


@pytest.mark.parametrize("sample", [*each_choice(), *random_choices(40)], ids=short)
@pytest.mark.slow
def test_every_choice_trains_and_scores(sample: dict[str, Any]) -> None:
    images, new = photographs(14), photographs(5, seed=1)
    detector = trained(sample, images)
    scorer = Scorer(detector)
    features = model_of(detector).extract(new)
    for reading in detector.reader.readings():
        detector.reader.reading = reading
        score, anomaly_map = predict(scorer, features)
        assert score.shape == (5,) and anomaly_map.shape == (5, 1, 41, 50)
        assert score.isfinite().all() and anomaly_map.isfinite().all(), reading
        if reading.score_from_map:
            assert score.std() > 0 and anomaly_map.std() > 0, reading
    terms = detector(features)
    assert terms.reconstruction.shape == terms.target.shape
    assert model_of(detector).local_codes == (sample["vectors"] != "image")
    expected = terms.target.shape[2:] if sample["vectors"] != "image" else (1, 1)
    assert terms.code_map.shape[2:] == expected


def test_the_finest_stage_and_the_enlargement_say_how_many_locations_there_are() -> None:
    for stages, enlargement, grid in (("4", 1, (11, 13)), ("8+16", 1, (6, 7)), ("8+16+32", 2, (11, 13))):
        model = model_of(trained(sample_of(stages=stages, enlargement=enlargement), photographs(6)))
        assert model(model.extract(photographs(6))).code.shape[2:] == grid


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 17, 23), (3, 17, 23), (1, 40, 8), (3, 9, 64)])
@pytest.mark.parametrize("vectors", FEATURE_CHOICES["vectors"])
def test_grey_and_colour_of_any_size(channels: int, height: int, width: int, vectors: str) -> None:
    detector = trained(sample_of(stages="4+8", vectors=vectors), photographs(8, height, width, channels))
    scores, maps = predict(Scorer(detector), photographs(8, height, width, channels, seed=1))
    assert maps.shape == (8, 1, height, width) and scores.isfinite().all() and scores.std() > 0


def means_of_squares(images: Tensor, stride: int) -> Numbers:
    """The mean colour of each square, in loops; what the edge cuts off does not count."""
    n, channels, height, width = images.shape
    h, w = -(-height // stride), -(-width // stride)
    found, numbers = np.zeros((n, channels, h, w)), images.double().numpy()
    for row, column in itertools.product(range(h), range(w)):
        square = numbers[:, :, row * stride : (row + 1) * stride, column * stride : (column + 1) * stride]
        found[:, :, row, column] = square.mean((2, 3))
    return found


def of_neighbourhood(maps: Numbers) -> Numbers:
    """The mean of each location and its neighbours, without those beyond the edge."""
    found = np.zeros_like(maps)
    for row, column in itertools.product(range(maps.shape[2]), range(maps.shape[3])):
        around = maps[:, :, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
        found[:, :, row, column] = around.mean((2, 3))
    return found


def standardized(maps: Numbers, training: Numbers) -> Numbers:
    mean, deviation = training.mean((0, 2, 3)), training.std((0, 2, 3))
    return (maps - mean[:, None, None]) / deviation[:, None, None]


def patchcore_by_hand(images: Tensor, new: Tensor) -> Tensor:
    training, held = (of_neighbourhood(means_of_squares(each, 4)) for each in (images, new))
    training, held = standardized(training, training), standardized(held, training)
    memory = np.moveaxis(training, 1, 3).reshape(-1, training.shape[1])
    found = np.zeros((len(new), *held.shape[2:]))
    for i, row, column in np.ndindex(found.shape):
        found[i, row, column] = np.linalg.norm(memory - held[i, :, row, column], axis=1).min()
    return torch.from_numpy(found)


def test_patchcore_is_the_distance_to_the_nearest_vector_of_any_place() -> None:
    images, new = photographs(6), photographs(4, seed=1)
    sample = sample_of(stages="4")
    detector = trained(sample, images)
    with torch.no_grad():
        got = detector(model_of(detector).extract(new)).hypothesis_map[:, 0]
    assert len(detector.get_buffer("hypothesis.memory")) == 6 * 11 * 13, "of so few vectors, all are kept"
    torch.testing.assert_close(got.double(), patchcore_by_hand(images, new), rtol=1e-4, atol=1e-4)


def test_patchcore_has_no_distance() -> None:
    """All components are kept: what comes back of them differs by rounding, which is not to be read as a distance."""
    detector = trained(sample_of(stages="4"), photographs(6))
    assert detector.reader.parts == ("code",)
    assert not detector(model_of(detector).extract(photographs(4, seed=1))).distance.any()
    whole, maps = predict_parts(Scorer(detector), model_of(detector).extract(photographs(4, seed=1)))
    torch.testing.assert_close(whole, maps["code"].mean((1, 2, 3)) / detector.hypothesis_scale)


def padim_by_hand(images: Tensor, new: Tensor) -> Tensor:
    """The squared Mahalanobis distance at each place, its covariance shrunk to that of all places."""
    training, held = means_of_squares(images, 8), means_of_squares(new, 8)
    training, held = standardized(training, training), standardized(held, training)
    n, d, h, w = training.shape
    covariances = {(i, j): np.cov(training[:, :, i, j].T) for i, j in np.ndindex(h, w)}
    overall = sum(covariances.values()) / (h * w)
    ridge = 1e-3 * np.trace(overall) / d * np.eye(d)
    found = np.zeros((len(new), h, w))
    for (i, j), own in covariances.items():
        inverse = np.linalg.inv((n * own + d * overall) / (n + d) + ridge)
        offsets = held[:, :, i, j] - training[:, :, i, j].mean(0)
        found[:, i, j] = np.einsum("nd,de,ne->n", offsets, inverse, offsets)
    return torch.from_numpy(found)


def test_padim_is_the_mahalanobis_distance_at_each_place() -> None:
    images, new = photographs(30), photographs(6, seed=1)
    detector = trained(sample_of("padim", stages="8"), images)
    with torch.no_grad():
        terms = detector(model_of(detector).extract(new))
        got = terms.hypothesis_map[:, 0].double()
    expected = padim_by_hand(images, new)
    torch.testing.assert_close(terms.code_map.double().square().sum(1), expected, rtol=0.02, atol=0.02)
    # The centroid's centre is pushed away from zero, by a tenth of a deviation in each number.
    unit, radius, centre = (detector.get_buffer(f"hypothesis.{name}") for name in ("unit", "squared_radius", "centre"))
    torch.testing.assert_close(centre, (0.1 * unit).expand_as(centre), rtol=1e-3, atol=0)
    exact = ((terms.code_map / unit - 0.1) ** 2).mean(1) - radius
    torch.testing.assert_close(got, exact.double(), rtol=1e-3, atol=1e-3)
    correlation = np.corrcoef(got.flatten(), expected.flatten())[0, 1]
    assert correlation > 0.99


@pytest.mark.parametrize("size", [16, 64])
def test_pca_is_the_reconstruction_error_of_sklearn(size: int) -> None:
    images, new = photographs(40, 16, 24), photographs(6, 16, 24, seed=1)
    detector = trained(sample_of("pca", projection=str(size), enlargement=1), images)
    training, held = means_of_squares(images, 4), means_of_squares(new, 4)
    flat, shape = (standardized(each, training).reshape(len(each), -1) for each in (training, held)), held.shape
    known, other = flat
    pca = PCA(min(size, 39), svd_solver="full").fit(known)  # 40 images have 39 components
    expected = (other - pca.inverse_transform(pca.transform(other))) ** 2
    with torch.no_grad():
        terms = detector(model_of(detector).extract(new))
    got = terms.distance_map[:, 0].double()
    torch.testing.assert_close(got, torch.from_numpy(expected.reshape(shape).mean(1)), rtol=0.05, atol=0.02)
    torch.testing.assert_close(terms.distance.double(), torch.from_numpy(expected.mean(1)), rtol=0.02, atol=0.01)


def test_nearest_neighbour_is_the_nearest_image_as_far_as_images_span() -> None:
    images, new = photographs(20, 16, 24), photographs(5, 16, 24, seed=1)
    detector = trained(sample_of("nearest_neighbour", enlargement=1), images)
    training, held = means_of_squares(images, 4), means_of_squares(new, 4)
    known, other = (standardized(each, training).reshape(len(each), -1) for each in (training, held))
    pca = PCA(svd_solver="full").fit(known)
    difference = pca.transform(other)[:, None, :19] - pca.transform(known)[None, :, :19]
    expected = torch.from_numpy(np.linalg.norm(difference, axis=2).min(1))
    with torch.no_grad():
        got = detector(model_of(detector).extract(new)).hypothesis_map.flatten()
    torch.testing.assert_close(got.double(), expected, rtol=0.01, atol=0.01)


def test_mean_image_is_the_distance_to_the_mean() -> None:
    images, new = photographs(20, 16, 24), photographs(5, 16, 24, seed=1)
    detector = trained(sample_of("mean_image", enlargement=1), images)
    with torch.no_grad():
        got = detector(model_of(detector).extract(new)).hypothesis_map.flatten().double()
        codes = detector(model_of(detector).extract(new)).code
    distances = codes.double().square().sum(1)
    assert np.corrcoef(got, distances)[0, 1] > 0.95, "but for the push of the centre"


def test_features_from_the_cache_give_the_same_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path))
    images, new = photographs(9), photographs(5, seed=1)
    for sample in (sample_of(stages="4+8"), sample_of("padim", stages="8", enlargement=2)):
        detector = trained(sample, images)
        model = model_of(detector)
        direct = predict(Scorer(detector), new)
        for _ in range(2):  # computed, then read
            kept = extract(model.extractor, new, model.stages, name="pixels")
            cached = predict(Scorer(detector), kept)
            assert torch.equal(cached.score, direct.score) and torch.equal(cached.anomaly_map, direct.anomaly_map)
    assert len(list((tmp_path / "features").iterdir())) == 3


def test_features_of_a_network_from_the_cache_give_the_same_scores_but_for_rounding() -> None:
    """How many images a network sees at a time changes the last digits."""
    images, new = photographs(9, 64, 64), photographs(5, 64, 64, seed=1)
    detector = trained(sample_of(extractor="efficientnet_lite0"), images)
    model = model_of(detector)
    kept = extract(model.extractor, new, model.stages, name="efficientnet_lite0", batch=2)
    direct, cached = predict(Scorer(detector), new), predict(Scorer(detector), kept)
    torch.testing.assert_close(cached.score, direct.score, rtol=0.01, atol=0.01)
    assert direct.score.std() > 0.05


SAVED = {
    "patchcore": sample_of(stages="4"),
    "padim": sample_of("padim", stages="8"),
    "feature_autoencoder": sample_of("feature_autoencoder", stages="8+16"),
    "density": sample_of("feature_autoencoder", hypothesis="density", vectors="place"),
    "pca": sample_of("pca", projection="16"),
    "nearest_neighbour": sample_of("nearest_neighbour"),
    "mean_image": sample_of("mean_image"),
    "efficientnet": sample_of("padim", extractor="efficientnet_lite0", stages="16", projection="16"),
}


@pytest.mark.parametrize("name", SAVED)
def test_a_loaded_model_gives_the_same_scores(tmp_path: Path, name: str) -> None:
    images, new = photographs(12), photographs(5, seed=1)
    detector = trained(SAVED[name], images)
    detector.reader.reading = detector.reader.readings()[-1]
    state = {key: value.contiguous() for key, value in detector.state_dict().items()}
    save_file(state, tmp_path / "model.safetensors")
    loaded = build_detector(SAVED[name], channels=3, space="features")
    loaded.load_state_dict(load_file(tmp_path / "model.safetensors"))
    want, got = predict(Scorer(detector), new), predict(Scorer(loaded.eval()), new)
    assert torch.equal(got.score, want.score) and torch.equal(got.anomaly_map, want.anomaly_map)
    assert want.score.std() > 0


def test_the_weights_of_the_extractor_are_not_in_the_state() -> None:
    detector = trained(SAVED["efficientnet"], photographs(12))
    network = load_extractor("efficientnet_lite0")
    n_weights = sum(weight.numel() for weight in network.state_dict().values())
    state = detector.state_dict()
    assert not any("extractor" in name for name in state)
    assert sum(value.numel() for value in state.values()) < n_weights / 20
    assert not any(parameter.requires_grad for parameter in detector.parameters())
    assert not list(detector.parameters())


def test_channels_are_standardized_by_the_images_that_prepare_it() -> None:
    images = photographs(9)
    model = model_of(trained(sample_of(stages="4+8", neighbourhood=1), images))
    target = model(model.extract(images)).target
    torch.testing.assert_close(target.mean((0, 2, 3)), torch.zeros(6), rtol=0, atol=1e-4)
    torch.testing.assert_close(target.std((0, 2, 3), correction=0), torch.ones(6), rtol=1e-3, atol=0)


def test_a_channel_that_is_always_the_same_stays_finite() -> None:
    images = photographs(9).clone()
    images[:, 1] = 0.25
    detector = trained(sample_of(stages="4"), images)
    other = images.clone()
    other[:, 1] = 0.75
    assert (predict(Scorer(detector), other).score > predict(Scorer(detector), images).score).all()


def test_a_batch_does_not_change_the_scores_of_an_image() -> None:
    detector = trained(sample_of("feature_autoencoder", hypothesis="memory"), photographs(9))
    new = photographs(5, seed=1)
    together = predict(Scorer(detector), new).score
    alone = torch.cat([predict(Scorer(detector), image[None]).score for image in new])
    torch.testing.assert_close(alone, together, rtol=1e-3, atol=1e-3)


def test_multiply_adds_are_those_of_the_convolutions_at_each_location() -> None:
    def macs(**changes: Any) -> int:
        sample = sample_of("feature_autoencoder", **changes)
        return build_feature_model(sample, channels=3, extractor=load_extractor("pixels")).macs(41, 50)

    # Six channels, as wide as the code in between: 6 x 8 + 8 x 8, and back.
    once = 2 * (6 * 8 + 8 * 8)
    assert macs(stages="8+16", layers="2 of 1x1 to 8") == once * 6 * 7
    assert macs(stages="8+16", layers="2 of 3x3 to 8") == 9 * once * 6 * 7
    assert macs(stages="8+16", layers="2 of 1x1 to 8", enlargement=2) == once * 11 * 13
    assert macs(stages="8+16", layers="1 of 1x1 to 8") == 2 * 6 * 8 * 6 * 7
    assert macs(layers="none") == macs(vectors="image") == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"neighbourhood": 5}, "neighbourhood is 5. Expected one of: 1, 3. Choose one of these."),
        ({"enlargement": True}, "enlargement is True. Expected one of: 1, 2. Choose one of these."),
        ({"enlargement": 1.0}, "enlargement is 1.0. Expected one of: 1, 2. Choose one of these."),
        ({"layers": 2}, "layers is 2. Expected one of: none, 1 of 1x1 to 8, "),
        ({"stages": 4}, "stages is 4. Expected one of: 4, 8, 16, 32, 4+8, 8+16, 16+32, 8+16+32. Choose one of these."),
        ({"stage": "4"}, "Unknown label 'stage'. Expected: extractor, hypothesis, distance, stages, enlargement"),
        ({"extractor": "pixel"}, "Unknown feature extractor 'pixel'."),
    ],
)
def test_a_sample_that_is_none(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        build_detector({**sample_of(), **changes}, channels=1, space="features")
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_label_that_is_missing() -> None:
    for label in sample_of():
        given = {name: value for name, value in sample_of().items() if name != label}
        with pytest.raises(AutoADError, match=rf"^The label '{label}' is missing\. Expected: ext"):
            build_detector(given, channels=1, space="features")


def test_it_takes_features_or_images() -> None:
    detector = trained(sample_of(), photographs(9))
    assert detector.takes_features
    features = detector.inputs(photographs(9))
    assert isinstance(features, FeatureMaps) and features.image_size == (41, 50)
    assert torch.equal(predict(Scorer(detector), features).score, predict(Scorer(detector), photographs(9)).score)
    assert Scorer(detector).reconstruct(photographs(9)) is None


def test_vectors_of_a_place_are_in_units_of_their_place() -> None:
    images = photographs(40)
    images = images * torch.linspace(0.2, 1, 50)  # darker on the left
    codes = {
        vectors: model_of(trained(sample_of(stages="8", vectors=vectors), images)) for vectors in ("location", "place")
    }
    spread = {name: model(model.extract(images)).code.std((0, 1)) for name, model in codes.items()}
    assert spread["location"][:, 0].mean() < 0.6 * spread["location"][:, -1].mean()
    assert spread["place"].max() < 1.5 * spread["place"].min()
    assert vectors_of(codes["place"](codes["place"].extract(images)).code).mean(0).abs().max() < 1e-3
