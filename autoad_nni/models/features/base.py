"""The interface of frozen feature extractors, for built-in and third-party ones alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.in_parts import is_exporting

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "Colour", "FeatureExtractor", "standardized"]

Colour = tuple[float, float, float]
IMAGENET_MEAN: Colour = (0.485, 0.456, 0.406)
IMAGENET_STD: Colour = (0.229, 0.224, 0.225)

# On a CPU, about one image of 224 x 224 at a time: larger maps are beyond what the allocator keeps, and with pages
# fetched anew for each layer 32 images at once take 1.6 times as long (EfficientNet-Lite0).
_PIXELS_AT_A_TIME = 2**16


class FeatureExtractor(nn.Module, ABC):
    """A frozen network: images to maps of features.

    A third party derives from this class and registers, in the entry-point group ``autoad_nni.features``, what makes an
    object of it: a function ``(download: bool = False, weights: Path | None = None)``, or the class itself if its
    constructor takes these. ``strides`` and ``weights`` are set there, and the parameters need no gradient. The mode is
    always that of evaluation.

    Attributes:
        strides: The stages that it offers, each named by its stride: one location of its map stands for stride x
            stride pixels. Ascending.
        weights: Name of the weights and SHA-256 of their content (`autoad_nni.models.weights.weights_id`); "" for an
            extractor that has none. Kept features belong to it.

    Example:
        >>> import torch.nn.functional as F
        >>> class Brightest(FeatureExtractor):
        ...     '''The brightest pixel of each square.'''
        ...     strides = (2, 4)
        ...     def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        ...         for stride in self.strides:
        ...             yield stride, F.max_pool2d(images, stride, ceil_mode=True)
        >>> [tuple(each.shape) for each in Brightest()(torch.rand(5, 3, 9, 16), (4, 2))]
        [(5, 3, 3, 4), (5, 3, 5, 8)]
    """

    strides: tuple[int, ...]
    weights: str = ""

    @abstractmethod
    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield each stage's stride and map, finest first; no more is computed than what is taken.

        Args:
            images: In [0, 1]; `standardized` makes them what a network was trained on.

        Shape:
            ``(batch, 1 or 3, height, width)`` to ``(batch, channels, ceil(height / stride), ceil(width / stride))``.
        """

    def forward(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, ...]:
        """Return the maps of some stages, in the order asked; nothing behind the coarsest of them is computed.

        Args:
            images: In [0, 1], grey or colour.
            stages: Their strides.

        Shape:
            ``(batch, 1 or 3, height, width)`` to ``(batch, channels, ceil(height / stride), ceil(width / stride))`` for
            each stage.

        Raises:
            AutoADError: A stage that the extractor does not have.
        """
        self.check_stages(stages)
        images = images.detach()
        at_a_time = _at_a_time(images)
        with torch.no_grad():
            if at_a_time is None or len(images) <= at_a_time:
                return self._maps(images, stages)
            begins = range(0, len(images), at_a_time)
            parts = [self._maps(images[begin : begin + at_a_time], stages) for begin in begins]
        return tuple(torch.cat(maps) for maps in zip(*parts, strict=True))

    def check_stages(self, stages: Sequence[int]) -> None:
        """Raise AutoADError unless the extractor has all of these stages, and there is one."""
        if not stages or not set(stages) <= set(self.strides):
            offered = ", ".join(map(str, self.strides))
            raise AutoADError(
                f"The stages asked of {type(self).__name__} are {', '.join(map(str, stages)) or 'none'}. Expected some "
                f"of {offered}. Give one or several of these."
            )

    def train(self, mode: bool = True) -> FeatureExtractor:
        """Stay in evaluation mode, also when the model around it trains."""
        return super().train(False)

    def _maps(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, ...]:
        found: dict[int, Tensor] = {}
        for stride, features in self.compute(images):
            found[stride] = features
            if found.keys() >= set(stages):
                break
        return tuple(found[stride] for stride in stages)


def standardized(images: Tensor, mean: Colour = IMAGENET_MEAN, std: Colour = IMAGENET_STD) -> Tensor:
    """Return images as a network was trained on them: grey repeated to three channels, ``(images - mean) / std``.

    Args:
        images: In [0, 1].
        mean: Of red, green and blue in [0, 1]; the default is ImageNet's.
        std: Of the same.

    Shape:
        ``(batch, 1 or 3, height, width)`` to ``(batch, 3, height, width)``, channels last in memory.
    """
    colour = images.expand(-1, 3, -1, -1)
    prepared = (colour - images.new_tensor(mean).view(1, 3, 1, 1)) / images.new_tensor(std).view(1, 3, 1, 1)
    return prepared.contiguous(memory_format=torch.channels_last)


def _at_a_time(images: Tensor) -> int | None:
    """How many images to compute at a time; None for all, also in an export, where their number is left open."""
    if images.device.type != "cpu" or is_exporting():
        return None
    return max(_PIXELS_AT_A_TIME // (images.shape[2] * images.shape[3]), 1)
