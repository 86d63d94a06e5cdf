from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import roc_auc_score

from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import aupro, normal_threshold, pixel_auroc, rpro

Real = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]
MaskedMaps = tuple[Mask, Real]
WITH_MASKS = pytest.mark.parametrize("metric", [pixel_auroc, aupro, lambda m, s: rpro(m, s, threshold=0.0)])
LIMITS = pytest.mark.parametrize("max_fpr", [0.01, 0.3, 0.77, 1.0])
quick = settings(deadline=None, derandomize=True, max_examples=60)


def regions_by_flood(mask: Mask) -> list[Mask]:
    """The 8-connected regions, by spreading from one pixel at a time."""
    left, found = mask.copy(), []
    while left.any():
        region = np.zeros_like(mask)
        ahead = [tuple(int(i) for i in np.argwhere(left)[0])]
        while ahead:
            y, x = ahead.pop()
            if 0 <= y < mask.shape[0] and 0 <= x < mask.shape[1] and left[y, x]:
                left[y, x], region[y, x] = False, True
                ahead += [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        found.append(region)
    return found


def naive_aupro(masks: Mask, maps: Real, max_fpr: float) -> float:
    """The curve point by point: every distinct score as threshold, every region by itself."""
    regions = [(i, region) for i, mask in enumerate(masks) for region in regions_by_flood(mask)]
    rates, overlaps = [0.0], [0.0]
    for threshold in np.unique(maps)[::-1]:
        found = maps >= threshold
        rates.append(float(found[~masks].mean()))
        overlaps.append(float(np.mean([found[i][region].mean() for i, region in regions])))
    within = [i for i, rate in enumerate(rates) if rate <= max_fpr]
    x, y = [rates[i] for i in within], [overlaps[i] for i in within]
    if len(within) < len(rates):
        after = len(within)
        slope = (overlaps[after] - y[-1]) / (rates[after] - x[-1])
        x, y = [*x, max_fpr], [*y, y[-1] + slope * (max_fpr - x[-1])]
    return sum((x[i + 1] - x[i]) * (y[i] + y[i + 1]) / 2 for i in range(len(x) - 1)) / max_fpr


def naive_threshold(maps: Real, min_area: int) -> float:
    """Every score from the lowest up, every image."""
    for threshold in np.unique(maps):
        if all(region.sum() < min_area for image in maps for region in regions_by_flood(image > threshold)):
            return float(threshold)
    raise AssertionError("nothing lies above the maximum")


def case(seed: int, levels: int | None, shape: tuple[int, int, int] = (3, 9, 11), share: float = 0.2) -> MaskedMaps:
    """Noise above which defects lie a little; few levels make heavy ties."""
    rng = np.random.default_rng(seed)
    masks = rng.random(shape) < share
    maps = rng.standard_normal(shape) + masks
    return masks, maps if levels is None else np.round(maps * levels) / levels


@st.composite
def masked_maps(draw: st.DrawFn) -> MaskedMaps:
    """Masks with both kinds of pixels and maps of few values."""
    shape = (draw(st.integers(1, 3)), draw(st.integers(1, 5)), draw(st.integers(2, 5)))
    masks = draw(arrays(bool, shape))
    assume(masks.any() and not masks.all())
    return masks, draw(arrays(np.int64, shape, elements=st.integers(-5, 5))) / 4


def test_golden_values() -> None:
    # Two regions: {0.9, 0.4} (touching at a corner) and {0.6}. Normal: 0.7, 0.4, 0.1 and 0.1.
    masks = [[[1, 0, 0, 1], [0, 1, 0, 0]]]
    maps = [[[0.9, 0.7, 0.1, 0.6], [0.4, 0.4, 0.1, 0.1]]]
    # Found from: 0.9 at rate 0; 0.6 at 1/5; 0.4 linearly from 1/5 to 2/5 (a tie with one normal pixel).
    # Found up to rate 1, in fifths: 0.9: 5; 0.6: 4; 0.4: 3 + 1/2. Up to 2/5: 2, 1 and 1/2. Up to 1.5/5: 1.5, 0.5, 1/8.
    assert pixel_auroc(masks, maps) == pytest.approx((5 + 4 + 3.5) / 5 / 3)
    assert aupro(masks, maps, max_fpr=1) == pytest.approx(((5 + 3.5) / 2 + 4) / 2 / 5)
    assert aupro(masks, maps, max_fpr=0.4) == pytest.approx(((2 + 0.5) / 2 + 1) / 2 / 2)
    assert aupro(masks, maps) == pytest.approx(((1.5 + 0.125) / 2 + 0.5) / 2 / 1.5)  # the limit lies within the tie
    # Above 0.4, strictly: 0.9 of the first region, all of the second.
    assert rpro(masks, maps, threshold=0.4) == pytest.approx((1 / 2 + 1) / 2)
    assert rpro(masks, maps, threshold=0.39) == 1
    assert rpro(masks, maps, threshold=0.9) == 0


def test_golden_threshold() -> None:
    maps = [[[5, 0, 1], [0, 4, 1], [0, 0, 1]], [[0, 0, 2], [0, 0, 0], [3, 0, 0]]]
    # 5 and 4 touch at a corner, and 4 touches the three 1s.
    assert [normal_threshold(maps, min_area=area) for area in (1, 2, 3, 5, 6, 9)] == [5, 4, 1, 1, 0, 0]


def test_constant_and_perfect_maps() -> None:
    masks, _ = case(0, None)
    assert pixel_auroc(masks, masks) == aupro(masks, masks) == rpro(masks, masks, threshold=0.5) == 1
    assert pixel_auroc(masks, ~masks) == aupro(masks, ~masks) == 0
    constant = np.full(masks.shape, 7.5)
    assert pixel_auroc(masks, constant) == 0.5
    assert aupro(masks, constant) == pytest.approx(0.15)  # the diagonal up to 0.3
    assert normal_threshold(constant, min_area=3) == 7.5


@LIMITS
@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("share", [0.05, 0.2, 0.6])
def test_aupro_equals_the_naive_twin(levels: int | None, share: float, max_fpr: float) -> None:
    for seed in range(3):
        masks, maps = case(seed, levels, share=share)
        expected = naive_aupro(masks, maps, max_fpr)
        assert aupro(masks, maps, max_fpr=max_fpr) == pytest.approx(expected, abs=1e-12)
        narrow = maps.astype(np.float32)
        assert aupro(masks, narrow, max_fpr=max_fpr) == pytest.approx(naive_aupro(masks, narrow, max_fpr), abs=1e-12)


@quick
@given(masked_maps(), st.floats(0.01, 1))
def test_aupro_equals_the_naive_twin_with_ties(data: MaskedMaps, max_fpr: float) -> None:
    assert aupro(*data, max_fpr=max_fpr) == pytest.approx(naive_aupro(*data, max_fpr), abs=1e-9)


@quick
@given(masked_maps())
def test_pixel_auroc_is_the_auroc_of_all_pixels(data: MaskedMaps) -> None:
    masks, maps = (part.ravel() for part in data)
    assert pixel_auroc(*data) == pytest.approx(auroc(masks, maps))
    assert pixel_auroc(*data) == pytest.approx(roc_auc_score(masks, maps))


@quick
@given(masked_maps())
def test_threshold_equals_the_naive_twin(data: MaskedMaps) -> None:
    _, maps = data
    for min_area in range(1, maps[0].size + 1):
        assert normal_threshold(maps, min_area=min_area) == naive_threshold(maps, min_area)


def test_threshold_equals_the_naive_twin_without_ties() -> None:
    for seed in range(3):
        maps = case(seed, None)[1].astype(np.float32)
        for min_area in (1, 2, 7, 30, 99):
            assert normal_threshold(maps, min_area=min_area) == naive_threshold(maps, min_area)


@quick
@given(masked_maps(), st.integers(-6, 6))
def test_rpro_equals_a_loop_over_the_regions(data: MaskedMaps, quarter: int) -> None:
    masks, maps = data
    parts = [(maps[i][r] > quarter / 4).mean() for i, mask in enumerate(masks) for r in regions_by_flood(mask)]
    assert rpro(masks, maps, threshold=quarter / 4) == pytest.approx(np.mean(parts))


@quick
@given(masked_maps(), st.floats(0.01, 1), st.randoms(use_true_random=False))
def test_only_the_order_of_scores_matters_not_that_of_images(data: MaskedMaps, limit: float, random: Random) -> None:
    masks, maps = data
    area, auc, cut = aupro(masks, maps, max_fpr=limit), pixel_auroc(masks, maps), normal_threshold(maps, min_area=2)
    overlap = rpro(masks, maps, threshold=cut)
    assert all(0 <= value <= 1 for value in (area, auc, overlap))
    other = np.exp(3 * maps) - 7
    assert (aupro(masks, other, max_fpr=limit), pixel_auroc(masks, other)) == (area, auc)
    assert normal_threshold(other, min_area=2) == pytest.approx(np.exp(3 * cut) - 7)
    order = list(range(len(maps)))
    random.shuffle(order)
    masks, maps = masks[order], maps[order]
    assert aupro(masks, maps, max_fpr=limit) == pytest.approx(area)
    assert pixel_auroc(masks, maps) == pytest.approx(auc)
    assert normal_threshold(maps, min_area=2) == cut
    assert rpro(masks, maps, threshold=cut) == pytest.approx(overlap)


@quick
@given(masked_maps(), st.integers(2, 3))
def test_enlarging_the_images_changes_nothing(data: MaskedMaps, factor: int) -> None:
    masks, maps = (part.repeat(factor, 1).repeat(factor, 2) for part in data)
    assert aupro(masks, maps) == pytest.approx(aupro(*data))
    assert pixel_auroc(masks, maps) == pytest.approx(pixel_auroc(*data))
    assert rpro(masks, maps, threshold=0.5) == pytest.approx(rpro(*data, threshold=0.5))
    assert normal_threshold(maps, min_area=2 * factor**2) == normal_threshold(data[1], min_area=2)


@quick
@given(masked_maps(), st.integers(-5, 5), st.integers(2, 9))
def test_the_size_of_a_region_does_not_matter(data: MaskedMaps, score: int, width: int) -> None:
    def with_strip(columns: int) -> MaskedMaps:
        """A region of one score beside the images; between them a normal column."""
        masks, maps = (np.pad(part, ((0, 0), (0, 0), (0, columns + 1))) for part in data)
        masks[:, :, -columns:], maps[:, :, -columns:] = True, score / 4
        return masks, maps

    assert aupro(*with_strip(width)) == pytest.approx(aupro(*with_strip(1)))
    assert rpro(*with_strip(width), threshold=0.1) == pytest.approx(rpro(*with_strip(1), threshold=0.1))


def test_float64_is_not_rounded_to_float32() -> None:
    masks, maps = np.array([[[0, 1]]]), np.array([[[1.0, np.nextafter(1.0, 2)]]])
    assert pixel_auroc(masks, maps) == aupro(masks, maps) == 1
    assert pixel_auroc(masks, maps.astype(np.float32)) == 0.5  # there the two are one number
    assert normal_threshold(maps, min_area=1) == np.nextafter(1.0, 2)
    assert normal_threshold(maps, min_area=2) == 1
    # A threshold that float32 cannot hold: float32(0.1) is above 0.1.
    assert rpro(masks, np.full((1, 1, 2), 0.1, np.float32), threshold=0.1) == 1
    assert rpro(masks, np.full((1, 1, 2), 0.1), threshold=0.1) == 0


def test_the_threshold_of_float32_maps_is_one_of_their_scores() -> None:
    maps = case(1, None)[1].astype(np.float32)
    threshold = normal_threshold(maps, min_area=4)
    assert (maps == np.float32(threshold)).any() and float(np.float32(threshold)) == threshold


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, np.int64])
def test_kinds_of_maps_and_masks(kind: type) -> None:
    masks, maps = case(2, 1)
    read_only: Real = maps.astype(kind)
    read_only.setflags(write=False)
    masks.setflags(write=False)
    assert aupro(masks, read_only) == aupro(masks.astype(np.uint8), maps) == aupro(masks.tolist(), maps.tolist())
    assert pixel_auroc(masks, read_only) == pixel_auroc(masks, maps)
    assert normal_threshold(read_only, min_area=3) == normal_threshold(maps, min_area=3)
    assert aupro(masks.transpose(0, 2, 1), read_only.transpose(0, 2, 1)) == pytest.approx(aupro(masks, maps))


def test_memory_is_four_bytes_a_normal_pixel_and_arrays_of_one_image() -> None:
    masks, maps = case(0, None, (60, 128, 128), share=0.3)
    narrow = maps.astype(np.float32)
    n_normal, image = int((~masks).sum()), masks[0].size

    def peak(measured: Callable[[], float]) -> int:
        measured()  # scipy's modules are no part of it
        tracemalloc.start()
        measured()
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return used

    assert peak(lambda: aupro(masks, narrow)) < 4 * n_normal + 64 * image
    assert peak(lambda: pixel_auroc(masks, narrow)) < 4 * n_normal + 64 * image
    assert peak(lambda: aupro(masks, maps)) < 8 * n_normal + 64 * image
    assert peak(lambda: rpro(masks, narrow, threshold=0.5)) < 64 * image
    assert peak(lambda: normal_threshold(narrow, min_area=50)) < 64 * image


def test_importing_the_module_imports_no_scipy() -> None:
    check = "import autoad_nni.metrics.pixel, sys; sys.exit('scipy' in sys.modules)"
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("metric", [pixel_auroc, aupro])
@pytest.mark.parametrize(("value", "count"), [(0, "0 of 8"), (1, "8 of 8")])
def test_one_kind_of_pixel_only(metric: Callable[..., float], value: int, count: str) -> None:
    with pytest.raises(AutoADError, match=f"one kind of pixel only: {count} are defect. Expected normal and"):
        metric(np.full((2, 2, 2), value), np.zeros((2, 2, 2)))


def test_no_pixel_of_the_kind_that_is_needed() -> None:
    nothing = np.zeros((0, 4, 4))
    for metric in (pixel_auroc, aupro):
        with pytest.raises(AutoADError, match="0 of 0 are defect"):
            metric(nothing, nothing)
    with pytest.raises(AutoADError, match="0 of 8 are defect"):
        rpro(np.zeros((2, 2, 2)), np.zeros((2, 2, 2)), threshold=0)
    with pytest.raises(AutoADError, match=r"maps of shape \(0, 4, 4\): no pixel"):
        normal_threshold(nothing, min_area=1)
    assert rpro(np.ones((1, 2, 2)), np.ones((1, 2, 2)), threshold=0) == 1


@WITH_MASKS
def test_programming_errors(metric: Callable[..., float]) -> None:
    masks = np.array([[[0, 1], [1, 1]]])
    with pytest.raises(ValueError, match="2 of 4 scores are not finite"):
        metric(masks, [[[0.0, np.nan], [np.inf, 1]]])
    with pytest.raises(ValueError, match="other than 0"):
        metric(255 * masks, masks)
    with pytest.raises(ValueError, match=r"\(1, 2, 2\) and maps of shape \(2, 2\); expected \(n, h, w\) both"):
        metric(masks, masks[0])
    with pytest.raises(ValueError, match="expected"):
        metric(masks[0], masks[0])


def test_arguments_out_of_range() -> None:
    masks, maps = case(0, None)
    for max_fpr in (0, -0.1, 1.01, float("nan")):
        with pytest.raises(ValueError, match="max_fpr is"):
            aupro(masks, maps, max_fpr=max_fpr)
    for min_area in (0, -1, 100):
        with pytest.raises(ValueError, match=rf"min_area is {min_area}; expected 1 to h \* w = 99"):
            normal_threshold(maps, min_area=min_area)
    with pytest.raises(ValueError, match=r"maps of shape \(9, 11\)"):
        normal_threshold(maps[0], min_area=1)
    with pytest.raises(ValueError, match="1 of 297 scores are not finite"):
        normal_threshold(np.where(maps == maps.max(), -np.inf, maps), min_area=1)
    with pytest.raises(ValueError, match="threshold is nan"):
        rpro(masks, maps, threshold=float("nan"))
