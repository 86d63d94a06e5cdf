from __future__ import annotations

import pytest
import torch
from torch import Tensor

from autoad_nni.models.windows import cut_windows


def located(n: int, height: int, width: int) -> Tensor:
    """Images whose channels are the image's number, the row and the column of each pixel."""
    number, row, column = torch.meshgrid(torch.arange(n), torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([number, row, column], 1).float()


@pytest.mark.parametrize(
    ("side", "size", "per_image"), [(8, (8, 8), 1), (8, (15, 23), 2), (9, (27, 20), 6), (16, (64, 48), 12)]
)
def test_windows_are_squares_of_their_image_as_many_as_fit(side: int, size: tuple[int, int], per_image: int) -> None:
    windows = cut_windows(located(5, *size), side, seed=0)
    assert windows.shape == (5 * per_image, 3, side, side)
    assert windows[:, 0, 0, 0].tolist() == [i for i in range(5) for _ in range(per_image)]
    offsets = torch.arange(side)
    for window in windows:
        top, left = window[1:, 0, 0].int().tolist()
        assert 0 <= top <= size[0] - side and 0 <= left <= size[1] - side
        assert (window[0] == window[0, 0, 0]).all()
        assert torch.equal(window[1], (top + offsets)[:, None].expand(side, side).float())
        assert torch.equal(window[2], (left + offsets)[None, :].expand(side, side).float())


def test_a_window_as_large_as_the_image_is_the_image() -> None:
    images = torch.rand(7, 3, 8, 8)
    assert torch.equal(cut_windows(images, 8, seed=3), images)


def test_windows_lie_everywhere_the_corners_included() -> None:
    windows = cut_windows(located(40, 12, 20), 8, seed=0)
    corners = {tuple(window[1:, 0, 0].int().tolist()) for window in cut_windows(located(400, 12, 20), 8, seed=0)}
    assert corners == {(top, left) for top in range(5) for left in range(13)}
    # Each image has places of its own, and within an image windows differ.
    assert len({tuple(window[1:, 0, 0].int().tolist()) for window in windows}) > 30


def test_the_seed_alone_decides_and_the_global_state_is_left_alone() -> None:
    images = torch.rand(6, 1, 20, 20)
    before = torch.get_rng_state()
    first = cut_windows(images, 8, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(3)
    assert torch.equal(cut_windows(images, 8, seed=0), first)
    assert not torch.equal(cut_windows(images, 8, seed=1), first)
