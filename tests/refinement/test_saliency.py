from __future__ import annotations

import math

import pytest
import torch
from small_networks import tiny_segmenter

from autoad_nni.errors import AutoADError
from autoad_nni.refinement import object_mask

# exp of the scores of background, cat and dog: 1, 2, 1 on the left, 1, 1, 4 / e on the right, where green is capped.
IMAGE = torch.zeros(1, 3, 16, 16)
IMAGE[:, 0, :, :8] = math.log(2)
IMAGE[:, 1, :, 8:] = 1


@pytest.mark.parametrize(
    ("name", "left", "right"),
    [
        (None, 3 / 4, (1 + math.e) / (2 + math.e)),
        ("cat", 2 / 4, 1 / (2 + math.e)),
        ("dog", 1 / 4, math.e / (2 + math.e)),
    ],
)
def test_golden(name: str | None, left: float, right: float) -> None:
    mask = object_mask(tiny_segmenter(), IMAGE, name)
    assert mask.shape == (1, 1, 16, 16)
    torch.testing.assert_close(mask[..., :8], torch.full((1, 1, 16, 8), left))
    torch.testing.assert_close(mask[..., 8:], torch.full((1, 1, 16, 8), right))


@pytest.mark.parametrize("size", [(4, 4), (50, 30)])
def test_another_size(size: tuple[int, int]) -> None:
    mask = object_mask(tiny_segmenter(side=32), torch.rand(3, 1, 16, 16), size=size)
    assert mask.shape == (3, 1, *size)
    assert mask.min() >= 0 and mask.max() <= 1


@pytest.mark.parametrize("name", ["kitten", "background"])
def test_a_class_that_there_is_not(name: str) -> None:
    with pytest.raises(AutoADError, match=f"the object is '{name}'. Expected one of cat, dog"):
        object_mask(tiny_segmenter(), IMAGE, name)
