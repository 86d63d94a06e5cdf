from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.distances.l21 import L21Distance

Array = NDArray[np.float64]
DTYPES = (torch.float32, torch.float64)


def naive_l1(difference: Array) -> tuple[Array, float]:
    channels, height, width = difference.shape
    values = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            values[y, x] = sum(abs(difference[k, y, x]) for k in range(channels)) / channels
    return values, float(np.abs(difference).mean())


def naive_l2(difference: Array) -> tuple[Array, float]:
    channels, height, width = difference.shape
    values = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            values[y, x] = sum(difference[k, y, x] ** 2 for k in range(channels)) / channels
    return values, float((difference**2).mean())


def naive_l21(difference: Array) -> tuple[Array, float]:
    channels, height, width = difference.shape
    values = np.zeros((height, width))
    roots = []
    for x in range(width):
        column = [difference[k, y, x] for k in range(channels) for y in range(height)]
        roots.append(math.sqrt(sum(value**2 for value in column) / len(column)))
        for y in range(height):
            square = sum(difference[k, y, x] ** 2 for k in range(channels)) / channels
            values[y, x] = square / roots[x] if roots[x] > 0 else 0.0
    return values, sum(roots) / width


TWINS: list[tuple[type[Distance], Callable[[Array], tuple[Array, float]]]] = [
    (L1Distance, naive_l1),
    (L2Distance, naive_l2),
    (L21Distance, naive_l21),
]

# Two images: 2 channels, 2 rows, 3 columns. Worked out by hand:
# image 0, channel 0: [[1, 0, 2], [0, 0, 2]], channel 1: [[-1, 0, 2], [0, 0, -2]]; image 1: all 0.5.
#   |d| per pixel: [[1, 0, 2], [0, 0, 2]], mean 5/6;  d^2 per pixel: [[1, 0, 4], [0, 0, 4]], mean 9/6
#   column RMS: sqrt((1 + 1) / 4) = sqrt(1/2), 0, sqrt(16 / 4) = 2; map: [[1 / sqrt(1/2), 0, 2], [0, 0, 2]]
FIRST = [[[1.0, 0.0, 2.0], [0.0, 0.0, 2.0]], [[-1.0, 0.0, 2.0], [0.0, 0.0, -2.0]]]
GOLDEN: dict[type[Distance], tuple[list[list[float]], float, float]] = {
    L1Distance: ([[1.0, 0.0, 2.0], [0.0, 0.0, 2.0]], 5 / 6, 0.5),
    L2Distance: ([[1.0, 0.0, 4.0], [0.0, 0.0, 4.0]], 1.5, 0.25),
    L21Distance: ([[math.sqrt(2), 0.0, 2.0], [0.0, 0.0, 2.0]], (math.sqrt(0.5) + 2) / 3, 0.5),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", GOLDEN)
def test_golden_values(kind: type[Distance], dtype: torch.dtype) -> None:
    images = torch.full((2, 2, 2, 3), 0.25, dtype=dtype)
    difference = torch.stack([torch.tensor(FIRST), torch.full((2, 2, 3), 0.5)]).to(dtype)
    expected_map, first, second = GOLDEN[kind]
    score = kind()(images + difference, images)
    assert score.dtype == dtype
    torch.testing.assert_close(score, torch.tensor([first, second], dtype=dtype))
    values = kind().map(images + difference, images)
    torch.testing.assert_close(values[0, 0], torch.tensor(expected_map, dtype=dtype))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kind", "naive"), TWINS)
@settings(deadline=None, derandomize=True, max_examples=25)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    scale=st.sampled_from([1e-3, 1.0, 30.0]),
    seed=st.integers(0, 999),
)
def test_equals_the_naive_twin_and_the_map_adds_up_to_the_score(
    kind: type[Distance],
    naive: Callable[[Array], tuple[Array, float]],
    dtype: torch.dtype,
    channels: int,
    height: int,
    width: int,
    scale: float,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    images = torch.from_numpy(rng.random((3, channels, height, width))).to(dtype)
    reconstruction = images + scale * torch.from_numpy(rng.standard_normal(images.shape)).to(dtype)
    reconstruction[:, :, :, 0] = images[:, :, :, 0]  # a column without any difference
    values, score = kind().map(reconstruction, images), kind()(reconstruction, images)
    assert values.shape == (3, 1, height, width)
    assert score.shape == (3,)
    assert bool((values >= 0).all())
    torch.testing.assert_close(values.mean((1, 2, 3)), score)
    difference = reconstruction.double().numpy() - images.double().numpy()
    rtol, atol = (1e-4, 1e-6) if dtype == torch.float32 else (1e-9, 1e-12)
    for i in range(3):
        expected_map, expected_score = naive(difference[i])
        np.testing.assert_allclose(values[i, 0].double().numpy(), expected_map, rtol=rtol, atol=atol)
        np.testing.assert_allclose(float(score[i]), expected_score, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", GOLDEN)
@pytest.mark.parametrize("through_map", [False, True])
def test_gradient_is_finite_where_nothing_differs(kind: type[Distance], dtype: torch.dtype, through_map: bool) -> None:
    images = torch.rand(2, 3, 5, 4, dtype=dtype, generator=torch.Generator().manual_seed(0))
    reconstruction = images.clone()
    reconstruction[1, :, :, 1] += 1e-12
    reconstruction[1, :, :, 2] += 0.5
    reconstruction.requires_grad_()
    score = kind().map(reconstruction, images).mean() if through_map else kind()(reconstruction, images).mean()
    score.backward()
    assert reconstruction.grad is not None
    assert bool(torch.isfinite(reconstruction.grad).all())
    assert bool((reconstruction.grad[0] == 0).all())
    assert bool((reconstruction.grad[1, :, :, 2] > 0).all())


@pytest.mark.parametrize("kind", GOLDEN)
def test_gradient_equals_finite_differences(kind: type[Distance]) -> None:
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 2, 3, 4, dtype=torch.float64, generator=generator)
    reconstruction = torch.rand(2, 2, 3, 4, dtype=torch.float64, generator=generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda r: kind()(r, images), (reconstruction,))


def test_l21_differs_from_l1_on_grey_images() -> None:
    images = torch.zeros(1, 1, 4, 4)
    spot = images.clone()
    spot[0, 0, 1, 1] = 1.0
    assert float(L1Distance()(spot, images)) == pytest.approx(1 / 16)
    assert float(L21Distance()(spot, images)) == pytest.approx(math.sqrt(1 / 4) / 4)


@pytest.mark.parametrize("kind", GOLDEN)
def test_symmetric_and_zero_only_for_equal_images(kind: type[Distance]) -> None:
    generator = torch.Generator().manual_seed(2)
    a, b = torch.rand(2, 4, 3, 6, 5, generator=generator)
    torch.testing.assert_close(kind()(a, b), kind()(b, a))
    assert bool((kind()(a, a) == 0).all())
    assert bool((kind()(a, b) > 0).all())
