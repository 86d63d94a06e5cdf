"""Metrics of chosen images against those of `pixel.py`, which see the chosen maps themselves."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.pixel import aupro, normal_threshold, pixel_auroc, rpro
from autoad_nni.metrics.pixel_draws import MapDraws, ThresholdDraws

Images = tuple[npt.NDArray[np.bool_], npt.NDArray[np.float32], npt.NDArray[np.int64]]
quick = settings(deadline=None, derandomize=True, max_examples=60)


def images(seed: int, *, n: int = 7, side: int = 6, values: int = 0) -> Images:
    """Maps with two regions in each of the first images; of few different values, if asked for."""
    random = np.random.default_rng(seed)
    n_anomalous = int(random.integers(1, n))
    labels = (np.arange(n) < n_anomalous).astype(np.int64)
    masks = np.zeros((n, side, side), bool)
    for i in range(n_anomalous):
        masks[i, random.integers(0, 2), : random.integers(1, side)] = True
        masks[i, random.integers(3, side), random.integers(0, side)] = True
    maps = random.normal(size=masks.shape) + masks + random.normal(size=(n, 1, 1)) / 2
    return masks, (maps if not values else np.round(maps * values) / values).astype(np.float32), labels


def a_draw(seed: int, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    random = np.random.default_rng(seed)
    return np.concatenate([random.choice(np.flatnonzero(labels == k), (labels == k).sum()) for k in (0, 1)])


@quick
@given(st.integers(0, 10**6), st.sampled_from([0, 1, 3]), st.sampled_from([0.05, 0.3, 1.0]))
def test_of_few_pixels_they_are_the_same(seed: int, values: int, max_fpr: float) -> None:
    """Ties, within a kind of pixel and between the two, included."""
    masks, maps, labels = images(seed, values=values)
    draws, drawn = MapDraws(masks, maps), a_draw(seed, labels)
    assert draws.pixel_auroc(drawn) == pytest.approx(pixel_auroc(masks[drawn], maps[drawn]), abs=1e-12)
    expected = aupro(masks[drawn], maps[drawn], max_fpr=max_fpr)
    assert draws.aupro(drawn, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)


@quick
@given(st.integers(0, 10**6), st.sampled_from([0, 3]), st.sampled_from([1, 2, 4]))
def test_rpro_is_the_same_with_the_threshold_of_the_normal_images_that_are_drawn(
    seed: int, values: int, min_area: int
) -> None:
    masks, maps, labels = images(seed, values=values)
    drawn = a_draw(seed, labels)
    threshold = normal_threshold(maps[drawn][labels[drawn] == 0], min_area=min_area)
    expected = rpro(masks[drawn], maps[drawn], threshold=threshold)
    found = ThresholdDraws(masks, maps, labels, min_area=min_area).rpro(drawn)
    assert found == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_of_many_pixels_they_differ_by_less_than_a_thousandth(seed: int) -> None:
    masks, maps, labels = images(seed, n=12, side=64)
    draws, drawn = MapDraws(masks, maps), a_draw(seed, labels)
    assert maps.size > 10 * 2000
    assert draws.pixel_auroc(drawn) == pytest.approx(pixel_auroc(masks[drawn], maps[drawn]), abs=1e-3)
    assert draws.aupro(drawn) == pytest.approx(aupro(masks[drawn], maps[drawn]), abs=1e-3)


def test_one_kind_of_pixel_is_refused() -> None:
    with pytest.raises(AutoADError, match=r"^masks with one kind of pixel only"):
        MapDraws(np.zeros((2, 3, 3), bool), np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="2 of 18 scores are not finite"):
        MapDraws(np.eye(3, dtype=bool)[None].repeat(2, 0), np.where(np.arange(18) < 2, np.nan, 0.0).reshape(2, 3, 3))
