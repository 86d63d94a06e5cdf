"""SSIM autoencoder, AnoGAN and the feature dictionary: methods that say where an anomaly is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from autoad_nni.competitors import Competitor, load_competitor
from autoad_nni.competitors.anogan import AnoGan
from autoad_nni.competitors.feature_dictionary import FeatureDictionary
from autoad_nni.competitors.ssim_autoencoder import SsimAutoencoder
from autoad_nni.data import LabelledImages, Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import pixel_auroc
from autoad_nni.models.distances.ssim import SsimDistance
from autoad_nni.registry import COMPETITORS

FAST: dict[str, dict[str, Any]] = {
    "anogan": {"epochs": 1, "search_steps": 3},
    "feature_dictionary": {"extractor": "patches", "stride": 4},
    "msp": {"epochs": 1},
    "odin": {"epochs": 1},
    "ssim_autoencoder": {"epochs": 1},
}


def squares(n: int, defects: int, seed: int) -> LabelledImages:
    """Vertical stripes with a little noise; the last ``defects`` have a bright square somewhere."""
    rng = np.random.default_rng(seed)
    images = np.tile(0.3 + 0.1 * (np.arange(32) % 8 < 4), (n, 1, 32, 1)) + 0.02 * rng.standard_normal((n, 1, 32, 32))
    masks = np.zeros((n, 32, 32), bool)
    for i in range(n - defects, n):
        y, x = rng.integers(0, 24, 2)
        masks[i, y : y + 8, x : x + 8] = True
    images[masks[:, None]] += 0.4
    labels = torch.from_numpy(masks.any((1, 2)).astype(np.uint8))
    return LabelledImages(torch.from_numpy(images.clip(0, 1)).float(), labels, torch.from_numpy(masks))


@pytest.fixture(scope="module")
def stripes() -> Task:
    return Task("stripes", squares(40, 0, 0).images, squares(16, 6, 1), squares(16, 6, 2))


def figures(method: Competitor, held: LabelledImages) -> tuple[float, float]:
    prediction = method.predict(held.images)
    assert held.masks is not None
    return (
        auroc(held.labels.numpy(), prediction.score.numpy()),
        pixel_auroc(held.masks.numpy(), prediction.anomaly_map[:, 0].numpy()),
    )


def test_every_competitor_is_here() -> None:
    assert set(FAST) == set(COMPETITORS.names())


@pytest.mark.parametrize("name", FAST)
@pytest.mark.slow
def test_scores_and_maps_have_their_shapes_and_the_same_seed_gives_the_same(name: str) -> None:
    task = load_task(TaskOptions(data="digits", abnormal=("uniform",), limit=200))
    one, same = (load_competitor(name, seed=3, **FAST[name]).fit(task).predict(task.test.images[:7]) for _ in range(2))
    assert (one.score.shape, one.anomaly_map.shape) == ((7,), (7, 1, 8, 8))
    assert torch.isfinite(one.score).all()
    assert torch.isfinite(one.anomaly_map).all()
    assert torch.equal(one.score, same.score)
    assert torch.equal(one.anomaly_map, same.anomaly_map)


@pytest.mark.parametrize(
    ("method", "least"),
    [
        pytest.param(FeatureDictionary(extractor="patches", stride=4), 0.95, id="feature_dictionary"),
        pytest.param(SsimAutoencoder(epochs=100, latent=20), 0.8, id="ssim_autoencoder", marks=pytest.mark.hours),
        pytest.param(AnoGan(epochs=25, search_steps=60), 0.8, id="anogan", marks=pytest.mark.hours),
        pytest.param(AnoGan(epochs=25, encoder=True), 0.8, id="anogan with encoder", marks=pytest.mark.hours),
    ],
)
def test_squares_are_found_and_shown_where_they_are(stripes: Task, method: Competitor, least: float) -> None:
    image_figure, pixel_figure = figures(method.fit(stripes), stripes.test)
    assert image_figure > least
    assert pixel_figure > least


def test_the_dictionary_is_its_formula_written_out(stripes: Task) -> None:
    method = FeatureDictionary(extractor="pixels", stride=4, size=6, nearest=2, variance=0.9).fit(stripes)
    features = method.extractor(stripes.train, (4,))[0].permute(0, 2, 3, 1).reshape(-1, 1).double().numpy()
    assert method.components.shape == (len(PCA(0.9).fit(features).components_), features.shape[1])
    image = stripes.test.images[:1]
    vectors = method.extractor(image, (4,))[0][0].flatten(1).T
    expected = []
    for vector in vectors:
        distances = [float((method.components @ (vector - method.mean) - entry).norm()) for entry in method.entries]
        expected.append(sum(sorted(distances)[:2]) / 2)
    assert float(method.predict(image).score[0]) == pytest.approx(max(expected), rel=1e-4)


def test_more_locations_than_the_dictionary_is_fitted_on(stripes: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoad_nni.competitors.feature_dictionary._FITTED_ON", 500)
    assert figures(FeatureDictionary(extractor="patches", stride=4).fit(stripes), stripes.test)[0] > 0.95


def test_the_autoencoder_s_map_is_the_dissimilarity_of_what_it_reconstructs(stripes: Task) -> None:
    large = dataclasses.replace(
        stripes,
        train=stripes.train.repeat(1, 1, 4, 4)[:8],
        validation=LabelledImages(stripes.validation.images.repeat(1, 1, 4, 4), stripes.validation.labels),
    )
    method = SsimAutoencoder(epochs=1).fit(large)
    method.sign, method.smoothing = 1, 0.0
    image = large.validation.images[:1]
    with torch.no_grad():
        expected = SsimDistance().map(method.network(image), image)
    prediction = method.predict(image)
    assert torch.allclose(prediction.anomaly_map, expected)
    assert float(prediction.score) == float(expected.max())


@pytest.mark.slow
def test_the_autoencoder_trains_for_epochs_or_for_processor_time(stripes: Task) -> None:
    assert SsimAutoencoder(epochs=2).fit(stripes).trained_epochs == 2
    assert 1 <= SsimAutoencoder(seconds=1e-3).fit(stripes).trained_epochs < 3


@pytest.mark.slow
def test_the_search_finds_an_image_that_the_generator_can_make(stripes: Task) -> None:
    method = AnoGan(epochs=1, search_steps=150).fit(stripes)
    with torch.no_grad():
        made = (method.generator(torch.randn(2, 100, 1, 1, generator=torch.Generator().manual_seed(5))) + 1) / 2
    found = float(method.predict(made).score.mean())
    method.search_steps = 0
    assert found < 0.7 * float(method.predict(made).score.mean())


def test_an_image_s_score_does_not_depend_on_calls_before(stripes: Task) -> None:
    method = AnoGan(epochs=1, search_steps=5).fit(stripes)
    image = stripes.test.images[:1]
    first = method.predict(image).score
    method.predict(stripes.test.images[3:5])
    assert torch.equal(method.predict(image).score, first)


def test_unknown_names_and_settings() -> None:
    with pytest.raises(AutoADError, match="Unknown competitor 'odn'"):
        load_competitor("odn")
    with pytest.raises(AutoADError, match=r"settings of msp.*Expected those of Msp"):
        load_competitor("msp", depth=3)
