"""What every distance has to keep to, one function per promise; the docstring is what a failure says."""

from __future__ import annotations

import torch
from torch import Tensor

from autoad_nni.models.distances.base import Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.testing.checking import Factory, check, expect, expect_equal, loaded
from autoad_nni.testing.new_process import in_new_process
from autoad_nni.testing.trained_detector import digits, expect_training

__all__ = ["DISTANCE_CHECKS", "scores_of_fixed_images"]


def pair(n: int = 5, channels: int = 1, height: int = 16, width: int = 16) -> tuple[Tensor, Tensor]:
    """Reconstructions, some of their values outside [0, 1], and images."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(n, channels, height, width, generator=generator)
    return images + 0.3 * torch.randn(images.shape, generator=generator), images


def scores_of_fixed_images(plugin: Factory[Distance]) -> Tensor:
    """The same computation in every process."""
    distance: Distance = plugin().eval()
    with torch.no_grad():
        scores: Tensor = distance(*pair())
    return scores


@check
def is_a_distance(plugin: Factory[Distance]) -> None:
    """The plugin can be made without arguments, and is an autoad_nni.models.distances.base.Distance."""
    expect(isinstance(plugin(), Distance), f"a {type(plugin()).__name__}")


@check
def images_of_every_form_are_accepted(plugin: Factory[Distance]) -> None:
    """map() gives (batch, 1, height, width), and the score is (batch,), in the images' dtype and on their device."""
    for device in ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",):
        distance = plugin().to(device)
        for n, channels, height, width in ((1, 1, 8, 8), (4, 3, 8, 32), (2, 1, 17, 12), (3, 3, 32, 32)):
            dtype = torch.float64 if n == 2 else torch.float32
            reconstruction, images = (part.to(device, dtype) for part in pair(n, channels, height, width))
            given = f"for images ({n}, {channels}, {height}, {width})"
            try:
                values, scores = distance.map(reconstruction, images), distance(reconstruction, images)
            except Exception as error:
                expect(False, f"{type(error).__name__} {given}: {error}")
            expect(values.shape == (n, 1, height, width), f"a map {tuple(values.shape)} {given}")
            expect(scores.shape == (n,), f"scores {tuple(scores.shape)} {given}")
            for what in (values, scores):
                same = what.dtype == images.dtype and what.device == images.device
                expect(same, f"{what.dtype} on {what.device} for images of {images.dtype} on {images.device}")


@check
def the_score_is_the_mean_of_the_map(plugin: Factory[Distance]) -> None:
    """The score of an image is the mean of its map."""
    distance, (reconstruction, images) = plugin(), pair()
    means = distance.map(reconstruction, images).flatten(1).mean(1)
    expect_equal(distance(reconstruction, images), means, "the score, and the mean of the map", tolerance=1e-3)


@check
def equal_images_have_distance_zero(plugin: Factory[Distance]) -> None:
    """Map and score are zero for equal images (up to 1e-6)."""
    _, images = pair()
    values, scores = plugin().map(images, images), plugin()(images, images)
    expect(values.abs().max().item() <= 1e-6, f"a map up to {values.abs().max().item():.4g}")
    expect(scores.abs().max().item() <= 1e-6, f"scores up to {scores.abs().max().item():.4g}")


@check
def it_is_never_negative(plugin: Factory[Distance]) -> None:
    """Neither map nor score is ever negative, also for reconstructions outside [0, 1]."""
    distance, (reconstruction, images) = plugin(), pair()
    for scale in (0.1, 1.0, 100.0):
        far = images + scale * (reconstruction - images)
        least = min(distance.map(far, images).min().item(), distance(far, images).min().item())
        expect(least >= 0, f"{least:.4g}")


@check
def numbers_are_finite_whatever_the_images(plugin: Factory[Distance]) -> None:
    """Map, score and its gradient are finite for images that are black, equal to theirs, nearly so, and huge (1e4)."""
    noise, images = pair()
    kinds = {
        "equal": (images, images),
        "black": (0 * images, 0 * images),
        "constant": (0 * images + 0.5, 0 * images + 1),
        "nearly equal": (images + 1e-6 * noise, images),
        "tiny": (1e-6 * noise, 1e-6 * images),
        "huge": (1e4 * noise, images),
    }
    for kind, (reconstruction, target) in kinds.items():
        distance = plugin()
        given = reconstruction.clone().requires_grad_()
        scores = distance(given, target)
        finite = torch.isfinite(scores).all() and torch.isfinite(distance.map(given, target)).all()
        expect(bool(finite), f"a map or score that is infinite or undefined for {kind} images")
        if scores.requires_grad:
            scores.mean().backward()
        gradient = torch.zeros_like(given) if given.grad is None else given.grad
        expect(bool(torch.isfinite(gradient).all()), f"a gradient that is infinite or undefined for {kind} images")


@check
def scores_do_not_depend_on_the_batch(plugin: Factory[Distance]) -> None:
    """The score of an image is the same alone and among others."""
    distance, (reconstruction, images) = plugin().eval(), pair()
    alone = torch.cat([distance(reconstruction[i : i + 1], images[i : i + 1]) for i in range(len(images))])
    expect_equal(alone, distance(reconstruction, images), "scores one by one, and all at once", tolerance=1e-3)


@check
def a_defect_scores_higher_and_shows_in_the_map(plugin: Factory[Distance]) -> None:
    """An image with a defect that is not reconstructed scores higher, and its map is higher inside the defect."""
    distance, images = plugin().eval(), digits(24)[:20]
    reconstruction = (images + 0.02 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)
    defective = images.clone()
    defective[:, :, 3:9, 4:10] = 1 - defective[:, :, 3:9, 4:10]
    scores = distance(reconstruction.repeat(2, 1, 1, 1), torch.cat([defective, images]))
    share = (scores[:20] > scores[20:]).double().mean().item()
    expect(share == 1, f"a higher score for {share:.0%} of 20 images with a defect")
    values = distance.map(reconstruction, defective)
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[3:9, 4:10] = True
    means = values[..., inside].mean().item(), values[..., ~inside].mean().item()
    expect(means[0] > means[1], f"a mean of {means[0]:.4g} inside and {means[1]:.4g} outside")


@check
def a_loaded_one_goes_on_as_the_saved_one(plugin: Factory[Distance]) -> None:
    """A fresh object with the saved state (safetensors) gives the same map and score, also when both then train on."""
    distance, (reconstruction, images) = plugin(), pair(40)
    _train(distance, reconstruction, images)
    fresh = loaded(distance, plugin())
    for now in ("", "after more training batches"):
        for one in (fresh, distance) if now else ():
            with torch.random.fork_rng(devices=[]):
                _train(one, reconstruction, images)
        for what in ("map", "forward"):
            got, wanted = (getattr(one.eval(), what)(reconstruction, images) for one in (fresh, distance))
            expect_equal(got, wanted, f"{what}() of the loaded and of the saved object {now}".rstrip(), tolerance=1e-3)


def _train(distance: Distance, reconstruction: Tensor, images: Tensor) -> None:
    distance.train()
    for batch in zip(torch.split(reconstruction, 8), torch.split(images, 8), strict=True):
        distance(*batch)


@check
def a_new_process_gives_the_same(plugin: Factory[Distance]) -> None:
    """The same images and seed give the same scores in another process."""
    wanted = scores_of_fixed_images(plugin)
    expect_equal(in_new_process(scores_of_fixed_images, plugin), wanted, "scores in a new process, and in this one")


@check
def a_detector_trains_with_it(plugin: Factory[Distance]) -> None:
    """In a detector trained on handwritten digits, the weights move and the scores of the images differ."""
    expect_training(ReconstructionHypothesis(), plugin())


DISTANCE_CHECKS = (
    is_a_distance,
    images_of_every_form_are_accepted,
    the_score_is_the_mean_of_the_map,
    equal_images_have_distance_zero,
    it_is_never_negative,
    numbers_are_finite_whatever_the_images,
    scores_do_not_depend_on_the_batch,
    a_defect_scores_higher_and_shows_in_the_map,
    a_loaded_one_goes_on_as_the_saved_one,
    a_new_process_gives_the_same,
    a_detector_trains_with_it,
)
