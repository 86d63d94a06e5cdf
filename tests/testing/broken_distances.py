"""A sound toy, and toys that break one promise each, most of them in a way that happens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoad_nni.models.distances.base import Distance


class Sound(Distance):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (reconstruction - images).square().mean(1, keepdim=True)


class NoSubclass(nn.Module):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (reconstruction - images).square().mean(1, keepdim=True)

    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return self.map(reconstruction, images).flatten(1).mean(1)


class MapPerChannel(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (reconstruction - images).square()


class SquareImagesOnly(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        difference = reconstruction - images
        return (difference + 0 * difference.mT).square().mean(1, keepdim=True)


class SumOfTheMap(Sound):
    def forward(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return self.map(reconstruction, images).flatten(1).sum(1)


class NeverZero(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (super().map(reconstruction, images) + 1e-3).sqrt()


class BelowZero(Sound):
    """Forgives small differences, and rewards them."""

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return super().map(reconstruction, images) - 0.05 * (reconstruction - images).abs().mean(1, keepdim=True)


class BareRoot(Sound):
    """A root, whose gradient at 0 is undefined."""

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return super().map(reconstruction, images).sqrt()


class BatchMaximum(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        values = super().map(reconstruction, images)
        return values / values.amax().clamp(min=1e-6)


class MirroredMap(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return super().map(reconstruction, images).flip(-1)


class ForgetsItsBatches(Sound):
    """Grows steeper after the first batches, and counts them where no file keeps the number."""

    n_batches = 0

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        self.n_batches += self.training
        return (1 if self.n_batches < 5 else 2) * super().map(reconstruction, images)


class AlwaysFloat32(Sound):
    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return super().map(reconstruction, images).float()


class HashSeed(Sound):
    """Weighs pixels at random, by a seed that differs from process to process."""

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(hash("toy") % 2**31)
        weights = 0.5 + torch.rand(images.shape[-2:], generator=generator).to(images)
        return weights * super().map(reconstruction, images)


class Rounded(Sound):
    """Rounds, which has the gradient zero."""

    def map(self, reconstruction: Tensor, images: Tensor) -> Tensor:
        return (1e5 * super().map(reconstruction, images)).round() / 1e5


# Toy to the check that it fails.
BROKEN = {
    NoSubclass: "is_a_distance",
    MapPerChannel: "images_of_every_form_are_accepted",
    SquareImagesOnly: "images_of_every_form_are_accepted",
    SumOfTheMap: "the_score_is_the_mean_of_the_map",
    NeverZero: "equal_images_have_distance_zero",
    BelowZero: "it_is_never_negative",
    BareRoot: "numbers_are_finite_whatever_the_images",
    BatchMaximum: "scores_do_not_depend_on_the_batch",
    MirroredMap: "a_defect_scores_higher_and_shows_in_the_map",
    ForgetsItsBatches: "a_loaded_one_goes_on_as_the_saved_one",
    AlwaysFloat32: "images_of_every_form_are_accepted",
    HashSeed: "a_new_process_gives_the_same",
    Rounded: "a_detector_trains_with_it",
}
