"""What every generator of defects has to keep to, one function per promise; the docstring is what a failure says."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data.planting.canvas import Canvas, Floats
from autoad_nni.data.planting.photograph import photograph
from autoad_nni.data.planting.plant import Generator, plant
from autoad_nni.testing.checking import check, expect, expect_equal
from autoad_nni.testing.new_process import in_new_process
from autoad_nni.testing.trained_detector import digits

__all__ = ["DEFECT_CHECKS", "fixed_defect"]

_SIZES = ((8, 8, 1), (28, 28, 3), (40, 64, 1), (128, 96, 3))
_DRAWS = 20


def canvas(
    height: int = 64, width: int = 64, channels: int = 1, *, seed: int = 0, strength: float = 0.5, on: bool = False
) -> Canvas:
    """A handwritten digit on a grainy ground, to draw on; ``on`` says where the digit is."""
    rng = np.random.default_rng(seed)
    first, other = (_picture(number, height, width, channels, rng) for number in (seed, seed + 1))
    top = int(rng.integers(512 - height))
    foreign = photograph("gravel")[top : top + height, :width].astype(np.float64)[..., None].repeat(channels, 2)
    where = first.mean(2) > 120
    background = np.full(channels, 60.0) if on else None
    return Canvas(first, other, foreign, strength, rng, min(height, width), where if on else None, background)


def _picture(number: int, height: int, width: int, channels: int, rng: np.random.Generator) -> Floats:
    side = max(height, width)
    picture = digits(side)[number, 0, :height, :width].double().numpy()
    bright: Floats = 60 + 140 * picture[..., None] + rng.normal(0, 6, (height, width, channels))
    return bright.clip(0, 255)


def fixed_defect(plugin: Generator) -> Tensor:
    """The same computation in every process."""
    covered, opacity = plugin(canvas())
    return torch.from_numpy((covered[..., 0] * opacity).flatten())


def _draws(plugin: Generator, strength: float) -> Iterator[tuple[Canvas, Tensor]]:
    """What is seen of the generator's defects: the absolute change of each pixel."""
    for seed in range(_DRAWS):
        given = canvas(seed=seed, strength=strength)
        covered, opacity = plugin(given)
        yield given, torch.from_numpy(np.abs((covered - given.image).mean(2) * opacity))


@check
def it_covers_images_of_every_form(plugin: Generator) -> None:
    """It returns (covered, opacity), for grey and colour images of 8 x 8 pixels and more, of any proportion.

    covered is (height, width, channels) and finite, opacity (height, width) and in [0, 1]; so it is if the canvas says
    where the object is.
    """
    for height, width, channels in _SIZES:
        for on in (False, True):
            given = canvas(height, width, channels, on=on)
            what = f"for an image ({height}, {width}, {channels})"
            covered, opacity = plugin(given)
            expect(covered.shape == given.image.shape, f"covered {covered.shape} {what}")
            expect(opacity.shape == given.size, f"opacity {opacity.shape} {what}")
            expect(bool(np.isfinite(covered).all()), f"covered that is infinite or undefined {what}")
            least, most = float(opacity.min()), float(opacity.max())
            expect(least >= 0 and most <= 1, f"an opacity from {least:.4g} to {most:.4g} {what}")


@check
def the_canvas_stays_as_it_is(plugin: Generator) -> None:
    """The arrays of the canvas are not written to."""
    given = canvas()
    before = [part.copy() for part in (given.image, given.other, given.foreign)]
    plugin(given)
    for name, part, old in zip(("image", "other", "foreign"), given[:3], before, strict=True):
        expect(np.array_equal(part, old), f"another {name}")


@check
def the_generator_of_the_canvas_determines_all(plugin: Generator) -> None:
    """Equal canvases get equal defects, whatever else was drawn; another seed of canvas.rng gives another one."""
    state = np.random.get_state()
    try:
        np.random.seed(1)
        first = plugin(canvas())
        np.random.seed(2)
        again, other = plugin(canvas()), plugin(canvas()._replace(rng=np.random.default_rng(9)))
    finally:
        np.random.set_state(state)
    expect(all(map(np.array_equal, first, again)), "another defect on an equal canvas")
    expect(not all(map(np.array_equal, first, other)), "the same defect for another seed")


@check
def its_defects_can_be_seen(plugin: Generator) -> None:
    """Of 20 defects of strength 0.5, half or more change their place by 4 grey levels or more, at the first try."""
    seen = sum(plant(plugin, canvas(seed=seed), tries=1) is not None for seed in range(_DRAWS))
    expect(2 * seen >= _DRAWS, f"{seen}")


@check
def a_defect_is_a_part_of_the_image(plugin: Generator) -> None:
    """Of 20 defects, each has an opacity of 0.2 or more in less than 60 % of the image."""
    shares = [float((plugin(canvas(seed=seed))[1] >= 0.2).mean()) for seed in range(_DRAWS)]
    expect(max(shares) < 0.6, f"{max(shares):.0%}")


@check
def strong_defects_change_more(plugin: Generator) -> None:
    """20 defects of strength 1 change images more, in all, than 20 of strength 0."""
    weak, strong = (sum(float(change.sum()) for _, change in _draws(plugin, strength)) for strength in (0.0, 1.0))
    expect(strong > weak, f"{strong:.4g} grey levels, and {weak:.4g} of strength 0")


@check
def a_new_process_gives_the_same(plugin: Generator) -> None:
    """The same canvas gets the same defect in another process."""
    got = in_new_process(fixed_defect, plugin)
    expect_equal(got, fixed_defect(plugin), "a defect in a new process, and in this one")


DEFECT_CHECKS = (
    it_covers_images_of_every_form,
    the_canvas_stays_as_it_is,
    the_generator_of_the_canvas_determines_all,
    its_defects_can_be_seen,
    a_defect_is_a_part_of_the_image,
    strong_defects_change_more,
    a_new_process_gives_the_same,
)
