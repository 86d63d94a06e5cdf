"""A sound toy, and toys that break one promise each, most of them in a way that happens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.features import FeatureExtractor
from autoad_nni.models.features.base import standardized


class Sound(FeatureExtractor):
    """Two convolutions of fixed weights, each of stride 2, normalized."""

    strides: tuple[int, ...] = (2, 4)
    weights = "sound 0"

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, 2, padding=1), nn.Conv2d(4, 6, 3, 2, padding=1)
        self.normalization = nn.BatchNorm2d(4)
        generator = torch.Generator().manual_seed(0)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
        self.eval().requires_grad_(False)

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        features = self.normalization(self.first(standardized(images)))
        yield 2, features
        yield 4, self.second(F.relu(features))


class NoSubclass(nn.Module):
    strides, weights = (1,), ""

    def forward(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, ...]:
        FeatureExtractor.check_stages(self, stages)  # type: ignore[arg-type]
        return tuple(images.detach().clone() for _ in stages)


class FloorSizes(Sound):
    """No padding where the last row is cut off."""

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        for stride in self.strides:
            yield stride, F.avg_pool2d(images, stride)


class CoarsestOnly(Sound):
    """Asked for one, it gives the coarsest, whichever was asked."""

    def forward(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, ...]:
        self.check_stages(stages)
        return super().forward(images, stages if len(stages) > 1 else self.strides[1:])


class AnyStage(Sound):
    """Takes the nearest stage that it has."""

    def forward(self, images: Tensor, stages: Sequence[int]) -> tuple[Tensor, ...]:
        return super().forward(images, [min(self.strides, key=lambda each: abs(each - stage)) for stage in stages])


class CentredByTheBatch(Sound):
    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        for stride, maps in super().compute(images):
            yield stride, maps - maps.mean()


class UnguardedDivision(Sound):
    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        yield from super().compute(images / images.amax((1, 2, 3), keepdim=True))


class Constant(Sound):
    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        for stride, maps in super().compute(images):
            yield stride, torch.linspace(0, 1, maps.shape[-1]).expand(maps.shape)


class Trainable(Sound):
    def __init__(self) -> None:
        super().__init__()
        self.requires_grad_(True)


class TrainsItsNormalization(Sound):
    def train(self, mode: bool = True) -> FeatureExtractor:
        nn.Module.train(self, mode)
        return self


class ChangesImages(Sound):
    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        features = super().compute(images.clone())
        images.add_(1e-3)
        yield from features


_GLOBAL: list[float] = []


class RandomWeights(Sound):
    """Drawn for each process, and kept for all objects of it."""

    def __init__(self) -> None:
        super().__init__()
        if not _GLOBAL:
            _GLOBAL.append(torch.Generator().seed() % 1000 / 1000 + 0.5)
        self.first.weight.mul_(_GLOBAL[0])


BROKEN: dict[type, str] = {
    NoSubclass: "is_a_feature_extractor",
    FloorSizes: "maps_have_the_size_of_their_stage",
    CoarsestOnly: "stages_come_in_the_order_asked_and_alone_as_with_others",
    AnyStage: "a_stage_that_it_does_not_have_is_refused",
    CentredByTheBatch: "features_do_not_depend_on_the_batch",
    UnguardedDivision: "features_are_finite_whatever_the_images",
    Constant: "different_images_have_different_features",
    Trainable: "nothing_is_trained",
    TrainsItsNormalization: "train_changes_nothing",
    ChangesImages: "images_are_left_as_they_are",
    RandomWeights: "a_new_process_gives_the_same",
}
