from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import ndimage

from autoad_nni.models.smoothing import smooth


@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.7, 4.0, 11.0])
@pytest.mark.parametrize("size", [(8, 8), (23, 17), (9, 40)])
def test_smoothing_is_scipys_with_the_border_mirrored(size: tuple[int, int], deviation: float) -> None:
    """Deviation 11 reaches over the border of the border: the mirror image is mirrored again."""
    maps = torch.rand(3, 1, *size, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    expected = [
        ndimage.gaussian_filter(image, deviation, mode="reflect", radius=math.ceil(3 * deviation))
        for image in maps[:, 0].numpy()
    ]
    np.testing.assert_allclose(smooth(maps, deviation)[:, 0].numpy(), expected, rtol=1e-10)
    np.testing.assert_allclose(smooth(maps.float(), deviation)[:, 0].numpy(), expected, rtol=1e-5)


def test_smoothing_keeps_the_mean_and_the_place() -> None:
    maps = torch.zeros(1, 1, 15, 21)
    maps[0, 0, 4, 13] = 1
    smoothed = smooth(maps, 1.5)
    assert smoothed.sum().item() == pytest.approx(1, rel=1e-5)
    assert divmod(int(smoothed.argmax()), 21) == (4, 13)
    torch.testing.assert_close(smoothed[0, 0, 4, 9:13], smoothed[0, 0, 4, 14:18].flip(0))
    assert torch.equal(smooth(maps, 0), maps)


@pytest.mark.parametrize("deviation", [0.0, 0.7, 2.0, 9.0])
@pytest.mark.parametrize("size", [(12, 20), (17, 23), (40, 41), (5, 6)])
def test_maps_are_enlarged_then_smoothed(size: tuple[int, int], deviation: float) -> None:
    """Both at once give what one after the other gives; so does a map that has its size already."""
    maps = torch.rand(3, 1, 5, 6, generator=torch.Generator().manual_seed(0))
    enlarged = torch.nn.functional.interpolate(maps, size, mode="bilinear")
    got = smooth(maps, deviation, size)
    assert got.shape == (3, 1, *size)
    torch.testing.assert_close(got, smooth(enlarged, deviation), rtol=1e-4, atol=1e-5)


def test_an_enlarged_map_is_a_straight_line_between_the_middles_of_locations() -> None:
    line = smooth(torch.tensor([0.0, 4.0]).view(1, 1, 1, 2), 0, (1, 8)).flatten()
    assert line.tolist() == [0, 0, 0.5, 1.5, 2.5, 3.5, 4, 4]
