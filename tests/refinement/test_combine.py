from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_networks import tiny_classifier, tiny_segmenter
from torch import Tensor

from autoad_nni.refinement import grad_cam, object_mask, refine, refine_map


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_golden(dtype: torch.dtype) -> None:
    """Worked out by hand from r (1 - G) s."""
    score_map = torch.tensor([[[[2.0, 4.0], [8.0, 0.0]]], [[[1.0, 1.0], [1.0, 1.0]]]], dtype=dtype)
    cam = torch.tensor([[[[0.0, 0.25], [0.5, 0.5]]], [[[1.0, 0.0], [0.75, 0.5]]]], dtype=dtype)
    saliency = torch.tensor([[[[1.0, 0.5], [0.25, 1.0]]], [[[1.0, 0.0], [1.0, 0.5]]]], dtype=dtype)
    expected = torch.tensor([[[[2.0, 1.5], [1.0, 0.0]]], [[[0.0, 0.0], [0.25, 0.25]]]], dtype=dtype)
    refined = refine_map(score_map, cam, saliency)
    assert refined.dtype == dtype
    torch.testing.assert_close(refined, expected, rtol=0, atol=0)


def naive(score_map: Tensor, cam: Tensor, saliency: Tensor) -> Tensor:
    out = torch.empty_like(score_map)
    for index in product(*map(range, score_map.shape)):
        out[index] = float(score_map[index]) * (1 - float(cam[index])) * float(saliency[index])
    return out


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_as_pixel_by_pixel_and_never_higher(seed: int, n: int, height: int, width: int) -> None:
    random = torch.Generator().manual_seed(seed)
    score_map, cam, saliency = torch.rand((3, n, 1, height, width), generator=random, dtype=torch.float64)
    refined = refine_map(score_map, cam, saliency)
    torch.testing.assert_close(refined, naive(score_map, cam, saliency))
    assert (refined >= 0).all() and (refined <= score_map).all()
    whole = torch.ones_like(score_map)
    torch.testing.assert_close(refine_map(score_map, 1 - whole, whole), score_map)


ONES = torch.ones(2, 1, 3, 3)


@pytest.mark.parametrize(
    ("maps", "part"),
    [
        ((ONES, ONES, ONES[:1]), "Expected three of one shape"),
        ((ONES[:, 0], ONES[:, 0], ONES[:, 0]), "Expected three of one shape"),
        ((-ONES, ONES, ONES), "score_map"),
        ((ONES * float("nan"), ONES, ONES), "score_map"),
        ((ONES * float("inf"), ONES, ONES), "score_map"),
        ((ONES, ONES * 1.1, ONES), "grad_cam"),
        ((ONES, ONES, -ONES), "saliency"),
    ],
)
def test_wrong_maps(maps: tuple[Tensor, Tensor, Tensor], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        refine_map(*maps)


def test_refine_is_the_product_of_its_parts() -> None:
    classifier, segmenter = tiny_classifier(), tiny_segmenter()
    photographs, score_map = torch.rand(2, 3, 24, 32), torch.rand(2, 1, 6, 8)
    result = refine(score_map, photographs, classifier=classifier, segmenter=segmenter, target=1, object_name="dog")
    cam = grad_cam(classifier, photographs, target=1, size=(6, 8))
    mask = object_mask(segmenter, photographs, "dog", size=(6, 8))
    lowered = score_map - score_map.amin((2, 3), keepdim=True)
    for got, expected in zip(result, (lowered, 1 - cam, mask, lowered * (1 - cam) * mask), strict=True):
        torch.testing.assert_close(got, expected)


@pytest.mark.parametrize("lift", [-3.0, 20.0])
def test_what_a_hypothesis_lifts_all_over_changes_nothing(lift: float) -> None:
    networks = {"classifier": tiny_classifier(), "segmenter": tiny_segmenter()}
    photographs, score_map = torch.rand(2, 1, 20, 20), torch.rand(2, 1, 10, 10)
    refined, lifted = (refine(each, photographs, **networks).refined for each in (score_map, score_map + lift))
    torch.testing.assert_close(refined, lifted, rtol=0, atol=1e-5)
