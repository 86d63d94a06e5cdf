from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from small_networks import TinySegmenter, tiny_segmenter
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.refinement import Segmenter, object_mask

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


class Answering(nn.Module):
    """Answers with what a function makes of the tiny network's scores."""

    def __init__(self, change: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.tiny, self.change = TinySegmenter(), change

    def forward(self, images: Tensor) -> object:
        return self.change(self.tiny(images)["out"])


def answering(change: Callable[[Tensor], object]) -> Segmenter:
    return replace(tiny_segmenter(), module=Answering(change))


@pytest.mark.parametrize("change", [lambda scores: scores, lambda scores: OrderedDict(out=scores, aux=0 * scores)])
def test_a_plain_tensor_is_as_good_as_a_mapping(change: Callable[[Tensor], object]) -> None:
    assert torch.equal(object_mask(answering(change), IMAGE, "cat"), object_mask(tiny_segmenter(), IMAGE, "cat"))


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda scores: {"aux": scores, "logits": scores}, "a mapping of aux, logits"),
        (lambda scores: (scores, scores), "tuple"),
        (lambda scores: None, "NoneType"),
        (lambda scores: scores.argmax(1), "a tensor of shape (1, 16, 16)"),
        (lambda scores: scores[:, :2], "a tensor of shape (1, 2, 16, 16)"),
    ],
)
def test_a_network_that_gives_something_else(change: Callable[[Tensor], object], got: str) -> None:
    with pytest.raises(AutoADError) as caught:
        object_mask(answering(change), IMAGE)
    assert str(caught.value) == (
        f"the segmentation network Answering gives {got}. Expected scores of shape (1, 3, H, W), one for each of the 3 "
        "classes, or a mapping with these as 'out'. Wrap it, or correct Segmenter(classes=...)."
    )


@pytest.mark.parametrize("size", [(4, 4), (50, 30)])
def test_another_size(size: tuple[int, int]) -> None:
    mask = object_mask(tiny_segmenter(side=32), torch.rand(3, 1, 16, 16), size=size)
    assert mask.shape == (3, 1, *size)
    assert mask.min() >= 0 and mask.max() <= 1


@pytest.mark.parametrize("name", ["kitten", "background"])
def test_a_class_that_there_is_not(name: str) -> None:
    with pytest.raises(AutoADError, match=f"the object is '{name}'. Expected one of cat, dog"):
        object_mask(tiny_segmenter(), IMAGE, name)
