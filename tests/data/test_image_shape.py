from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoad_nni.data import ImageShape, to_image_shape
from autoad_nni.errors import AutoADError

SIDES = st.integers(8, 48)


def test_grey_is_the_luma_of_red_green_and_blue() -> None:
    primaries = torch.eye(3).mul(255).to(torch.uint8).view(3, 3, 1, 1).expand(3, 3, 8, 8)
    grey = to_image_shape(primaries, ImageShape(1, 8, 8))
    assert grey[:, 0, 0, 0].tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_rgb_from_grey_repeats_the_channel() -> None:
    grey = torch.rand(2, 1, 8, 8)
    assert torch.equal(to_image_shape(grey, ImageShape(3, 8, 8)), grey.repeat(1, 3, 1, 1))


def test_bytes_of_the_right_shape_are_divided_by_255_exactly() -> None:
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_image_shape(images, ImageShape(1, 16, 16)), images.to(torch.float32) / 255)


def test_shrinking_is_antialiased() -> None:
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::4] = 1
    # Without antialiasing every eighth column would be read, all of them black or all white.
    assert to_image_shape(stripes, ImageShape(1, 8, 8))[..., 1:-1].sub(0.25).abs().max() < 0.03


def test_halving_averages_with_triangle_weights() -> None:
    image = torch.zeros(1, 1, 16, 16)
    image[..., 7] = 1
    # A triangle of half-width 2 around 7.0 and 9.0 (pixel centres at 7.5): weights 3/8 and 1/8.
    assert to_image_shape(image, ImageShape(1, 8, 8))[0, 0, 4].tolist() == pytest.approx(
        [0, 0, 0, 0.375, 0.125, 0, 0, 0]
    )


@settings(deadline=None, derandomize=True, max_examples=40)
@given(SIDES, SIDES, SIDES, SIDES, st.sampled_from([1, 3]), st.sampled_from([1, 3]), st.integers(0, 255))
def test_constant_images_stay_constant_and_any_image_in_range(
    height: int, width: int, new_height: int, new_width: int, before: int, after: int, value: int
) -> None:
    shape = ImageShape(after, new_height, new_width)
    constant = to_image_shape(torch.full((2, before, height, width), value, dtype=torch.uint8), shape)
    assert constant.shape == (2, *shape) and constant.dtype == torch.float32
    assert constant.sub(value / 255).abs().max() < 1e-6
    noise = to_image_shape(torch.randint(0, 2, (2, before, height, width), dtype=torch.uint8) * 255, shape)
    assert noise.min() >= 0 and noise.max() <= 1


def test_out_is_written_and_returned() -> None:
    out = torch.full((1, 3, 8, 8), torch.nan)
    assert to_image_shape(torch.ones(1, 1, 9, 9), ImageShape(3, 8, 8), out=out) is out
    assert out.sub(1).abs().max() < 1e-6


def test_two_channels_are_refused() -> None:
    with pytest.raises(AutoADError, match=r"images with 2 channels\. Expected 1 \(grey\) or 3 \(RGB\)"):
        to_image_shape(torch.zeros(1, 2, 8, 8), ImageShape(1, 8, 8))


def test_resized_keeps_channels() -> None:
    assert ImageShape(3, 20, 30).resized(8) == ImageShape(3, 8, 8)
    assert ImageShape(3, 20, 30).resized(None) == ImageShape(3, 20, 30)
