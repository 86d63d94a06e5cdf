from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from autoad_nni.models.distances.l21 import L21Distance
from autoad_nni.models.distances.l21_ssim import L21SsimDistance
from autoad_nni.models.distances.ssim import SsimDistance

Array = NDArray[np.float64]


def naive_ssim(reconstruction: Array, image: Array, window: int) -> Array:
    """SSIM of one channel, term by term as Wang et al. write it; windows see the image mirrored at the border."""
    height, width = image.shape
    half = window // 2
    weights = {
        (dy, dx): math.exp(-(dy**2 + dx**2) / (2 * 1.5**2))
        for dy in range(-half, half + 1)
        for dx in range(-half, half + 1)
    }
    total = sum(weights.values())

    def fold(i: int, size: int) -> int:
        return -i - 1 if i < 0 else 2 * size - 1 - i if i >= size else i

    values = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            seen = [
                (w / total, image[at := (fold(y + dy, height), fold(x + dx, width))], reconstruction[at])
                for (dy, dx), w in weights.items()
            ]
            mean_a = sum(w * a for w, a, _ in seen)
            mean_b = sum(w * b for w, _, b in seen)
            var_a = sum(w * (a - mean_a) ** 2 for w, a, _ in seen)
            var_b = sum(w * (b - mean_b) ** 2 for w, _, b in seen)
            cov = sum(w * (a - mean_a) * (b - mean_b) for w, a, b in seen)
            luminance = (2 * mean_a * mean_b + 1e-4) / (mean_a**2 + mean_b**2 + 1e-4)
            values[y, x] = luminance * (2 * cov + 9e-4) / (var_a + var_b + 9e-4)
    return values


def pair(shape: tuple[int, ...], seed: int, noise: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    images = rng.random(shape)
    return torch.from_numpy(images + noise * rng.standard_normal(shape)), torch.from_numpy(images)


@pytest.mark.parametrize(
    ("height", "width", "window"), [(13, 12, 11), (11, 14, 11), (8, 8, 7), (9, 12, 9), (3, 4, 3), (2, 9, 1), (1, 1, 1)]
)
def test_equals_the_naive_twin_with_the_largest_window_that_fits(height: int, width: int, window: int) -> None:
    reconstruction, images = pair((2, 2, height, width), seed=height)
    values = SsimDistance().map(reconstruction, images)
    assert values.shape == (2, 1, height, width)
    for i in range(2):
        channels = [naive_ssim(reconstruction[i, k].numpy(), images[i, k].numpy(), window) for k in range(2)]
        np.testing.assert_allclose(values[i, 0].numpy(), (1 - np.mean(channels, 0)) / 2, atol=1e-12)


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float64, 1e-12), (torch.float32, 2e-6)])
@settings(deadline=None, derandomize=True, max_examples=20)
@given(
    channels=st.sampled_from([1, 3]),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    noise=st.sampled_from([0.0, 1e-3, 0.1, 1.0]),
    seed=st.integers(0, 999),
)
def test_equals_scikit_image(
    dtype: torch.dtype, atol: float, channels: int, height: int, width: int, noise: float, seed: int
) -> None:
    reconstruction, images = pair((2, channels, height, width), seed, noise)
    values = SsimDistance().map(reconstruction.to(dtype), images.to(dtype))
    assert values.dtype == dtype
    for i in range(2):
        _, expected = structural_similarity(
            images[i].numpy(),
            reconstruction[i].numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            channel_axis=0,
            full=True,
        )
        np.testing.assert_allclose(values[i, 0].double().numpy(), (1 - expected.mean(0)) / 2, atol=atol)


def test_golden_values_of_flat_images() -> None:
    """Without structure only brightness differs: (1 - (2 * 0.5 * 0.1 + 1e-4) / (0.25 + 0.01 + 1e-4)) / 2."""
    images = torch.full((1, 1, 12, 12), 0.5, dtype=torch.float64)
    expected = torch.tensor([(1 - 0.1001 / 0.2601) / 2], dtype=torch.float64)
    torch.testing.assert_close(SsimDistance()(torch.full_like(images, 0.1), images), expected)


def test_a_negative_of_the_image_is_worse_than_noise() -> None:
    _, images = pair((1, 1, 20, 20), seed=3)
    noise, _ = pair((1, 1, 20, 20), seed=4)
    distance = SsimDistance()
    assert distance(1 - images, images) > 0.9 > distance(noise, images) > 0.3


@pytest.mark.parametrize("distance", [SsimDistance(), L21SsimDistance()])
def test_the_mean_of_the_map_is_the_score(distance: SsimDistance | L21SsimDistance) -> None:
    reconstruction, images = pair((3, 3, 17, 9), seed=5)
    torch.testing.assert_close(
        distance.map(reconstruction, images).mean((1, 2, 3)), distance(reconstruction, images), atol=1e-12, rtol=1e-12
    )


@pytest.mark.parametrize("distance", [SsimDistance(), L21SsimDistance()])
def test_symmetric_and_zero_only_for_equal_images(distance: SsimDistance | L21SsimDistance) -> None:
    a, b = (images.float() for images in pair((4, 3, 9, 12), seed=6))
    torch.testing.assert_close(distance(a, b), distance(b, a))
    assert bool((distance.map(a, a) == 0).all())
    assert bool((distance(a, b) > 0.01).all())


@pytest.mark.parametrize("shape", [(2, 2, 5, 6), (1, 1, 12, 13)])
@pytest.mark.parametrize("distance", [SsimDistance(), L21SsimDistance()])
def test_gradient_equals_finite_differences(
    distance: SsimDistance | L21SsimDistance, shape: tuple[int, int, int, int]
) -> None:
    reconstruction, images = pair(shape, seed=7)
    # The scale is a constant in the gradient, as it cancels; it must do so above 1 as well as below.
    for factor in (0.2, 5.0):
        assert torch.autograd.gradcheck(lambda r: distance(r, images), (reconstruction * factor).requires_grad_())


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e-6, 1.0, 100.0, 1e6, 1e19, 1e30])
def test_stays_between_0_and_1_with_finite_gradient_at_any_brightness(scale: float) -> None:
    noise, images = (values.float() for values in pair((4, 1, 16, 16), seed=8))
    images[1] = 0.0
    near = images * scale + 1e-3 * scale * noise  # as bright as the image, hardly different: sums cancel most here
    for reconstruction, reference in ((noise * scale, images), (near, images * scale)):
        reconstruction = reconstruction.clone().requires_grad_()
        values = SsimDistance().map(reconstruction, reference)
        assert bool(((values >= 0) & (values <= 1)).all())
        values.mean().backward()
        assert reconstruction.grad is not None
        assert bool(torch.isfinite(reconstruction.grad).all())


def test_bright_flat_images_are_as_near_in_float32_as_in_float64() -> None:
    """E[x^2] - E[x]^2 alone loses everything here; kornia 0.9 gives values above 1 and below 0 for this pair."""
    images = torch.full((1, 1, 28, 28), 100.0)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    reconstruction = images + 0.1 * noise
    exact = SsimDistance().map(reconstruction.double(), images.double())
    assert float((SsimDistance().map(reconstruction, images).double() - exact).abs().max()) < 0.01
    assert 0.2 < float(exact.mean()) < 0.5


def test_l21_ssim_is_the_sum_of_both() -> None:
    reconstruction, images = pair((3, 1, 14, 12), seed=9)
    l21, ssim, both = L21Distance(), SsimDistance(), L21SsimDistance()
    torch.testing.assert_close(both(reconstruction, images), l21(reconstruction, images) + ssim(reconstruction, images))
    torch.testing.assert_close(
        both.map(reconstruction, images), l21.map(reconstruction, images) + ssim.map(reconstruction, images)
    )


def test_mixed_precision_keeps_the_variances() -> None:
    reconstruction, images = (values.float() for values in pair((2, 1, 16, 16), seed=10))
    expected = SsimDistance()(reconstruction, images)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(SsimDistance()(reconstruction, images), expected, rtol=1e-5, atol=0.0)
