"""Defects planted into real images: digits, clothes, a texture, colour photographs."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from torch import Tensor

from autoad_nni.data import ImageShape, SourceOptions, TaskOptions, load_task
from autoad_nni.data.planting import planter as module
from autoad_nni.data.planting.foreground import find_object
from autoad_nni.data.planting.plant import MIN_CHANGE
from autoad_nni.data.planting.planter import PlantedImage, Planter
from autoad_nni.data.planting.whole import WHOLE
from autoad_nni.data.sources.photos import Photos
from autoad_nni.data.textures import write_textures
from autoad_nni.errors import AutoADError
from autoad_nni.registry import DEFECTS


def digits(side: int) -> Tensor:
    return load_task(TaskOptions(data="digits", abnormal=("uniform",), image_size=side)).train[:60]


def crops(photograph: np.ndarray) -> Tensor:
    pixels = torch.from_numpy(photograph)
    places = np.random.default_rng(0).integers(0, 512 - 64, (40, 2))
    return torch.stack([pixels[top : top + 64, left : left + 64] for top, left in places])[:, None] / 255


def bricks() -> Tensor:
    return crops(data.brick())


def photographs() -> Tensor:
    return Photos(SourceOptions()).read(np.arange(40), ImageShape(3, 48, 64))


def planted_in(images: Tensor, n: int = 20, **options: object) -> list[PlantedImage]:
    planter = Planter(images[n:], **options)  # type: ignore[arg-type]
    return [planter.plant(image, np.random.default_rng(i)) for i, image in enumerate(images[:n])]


SETS = {"digits": digits(8), "enlarged digits": digits(40), "bricks": bricks(), "photographs": photographs()}


@pytest.mark.parametrize("images", SETS.values(), ids=SETS.keys())
def test_only_the_mask_changes_and_it_is_seen(images: Tensor) -> None:
    before = images.clone()
    for image, planted in zip(images, planted_in(images), strict=False):
        assert (planted.image.shape, planted.image.dtype) == (image.shape, torch.float32)
        assert (planted.mask.shape, planted.mask.dtype) == (image.shape[1:], torch.bool)
        assert torch.equal(planted.image[:, ~planted.mask], image[:, ~planted.mask])
        assert planted.image.min() >= 0 and planted.image.max() <= 1
        span = images.quantile(0.999) - images.quantile(0.001)
        change = (planted.image - image)[:, planted.mask].abs().mean()
        assert change > 0.5 * MIN_CHANGE / 255 * span, planted.kind
        share = planted.mask.float().mean()
        assert share == 1 if planted.kind in WHOLE else 0 < share < 0.95, planted.kind
    assert torch.equal(images, before)


def test_every_kind_is_planted_and_they_differ_in_strength_and_size() -> None:
    planted = planted_in(photographs().repeat(4, 1, 1, 1), 120)
    assert {each.kind for each in planted} == {*DEFECTS.names(), *WHOLE}
    local = [each for each in planted if each.kind not in WHOLE]
    assert 40 < len(local) < 80, "about half of 120"
    strengths = [each.strength for each in local]
    areas = [float(each.mask.float().mean()) for each in local]
    assert min(strengths) < 0.1 and max(strengths) > 0.9
    assert max(areas) > 30 * min(areas)


def test_the_random_generator_determines_all() -> None:
    first, again = (planted_in(bricks(), 5) for _ in range(2))
    assert all(torch.equal(a.image, b.image) and torch.equal(a.mask, b.mask) for a, b in zip(first, again, strict=True))
    other = Planter(bricks()[20:]).plant(bricks()[0], np.random.default_rng(77))
    assert not torch.equal(other.image, first[0].image)


@pytest.mark.parametrize("kind", [*DEFECTS.names(), *WHOLE])
def test_kinds_can_be_chosen(kind: str) -> None:
    assert {each.kind for each in planted_in(crops(data.gravel()), 4, kinds=(kind,))} == {kind}


def test_sizes_are_those_of_one_planter() -> None:
    images = bricks()
    before = planted_in(images, 5)
    small, large = (planted_in(images, 20, kinds=("stain",), sizes=(size, size)) for size in (0.2, 1.0))
    areas = [np.mean([float(each.mask.float().mean()) for each in planted]) for planted in (small, large)]
    assert areas[1] > 4 * areas[0]
    assert all(torch.equal(a.mask, b.mask) for a, b in zip(before, planted_in(images, 5), strict=True))


def test_defects_lie_on_the_object() -> None:
    """A digit enlarged: of a defect on it at most the blurred edge of the digit is beside it."""
    images = digits(64)
    planter = Planter(images[30:], kinds=DEFECTS.names())
    assert planter.has_background
    for i, image in enumerate(images[:30]):
        mask = planter.plant(image, np.random.default_rng(i)).mask
        assert image[0][mask].gt(0.02).float().mean() > 0.7, i


def whole(kind: str, images: Tensor) -> tuple[Tensor, Tensor]:
    """The images before and after."""
    return images[:6], torch.stack([each.image for each in planted_in(images, 6, kinds=(kind,))])


def test_ways_to_be_wrong_as_a_whole() -> None:
    images = photographs()
    before, inverted = whole("inverted", images)
    low, high = images.quantile(0.001), images.quantile(0.999)
    assert torch.allclose(inverted, (low + high - before).clamp(low, high), atol=3 / 255)

    before, jumbled = whole("jumbled", images)  # 48 rows, 64 columns
    inside = (before > low) & (before < high)
    assert not torch.equal(jumbled, before) and inside.float().mean() > 0.9
    assert torch.allclose(jumbled.flatten(2).sort().values, before.flatten(2).sort().values, atol=0.05)

    before, blurred = whole("blurred", images)
    assert (blurred.var((2, 3)) < before.var((2, 3))).all()
    assert torch.allclose(blurred.mean((2, 3)), before.mean((2, 3)), atol=0.05)

    before, double = whole("double_exposure", images)
    other = 2 * double - before
    nearest = (images[6:, None] - other[None]).abs().mean((2, 3, 4)).min(0).values
    assert nearest.max() < 0.02, "the mean of the image and of another good one"

    before, grainy = whole("grainy", images)
    grain = (grainy - before) / (high - low) * 255
    assert 40 < grain[(grainy > low + 0.01) & (grainy < high - 0.01)].std() < 55

    before, texture = whole("another_texture", images)
    assert (texture - texture.mean(1, keepdim=True)).abs().max() < 1e-6, "photographs of textures are grey"


def test_an_enlarged_image_is_a_part_of_it() -> None:
    rows, columns = np.mgrid[:48, :64] / 64
    ramp = torch.from_numpy(np.stack([rows, columns, rows + columns])).float() * 0.5
    images = ramp.repeat(10, 1, 1, 1)
    _, enlarged = whole("enlarged", images)
    for image in enlarged:
        for channel, axis, side in ((0, 1, 48), (1, 2, 64)):
            steps = image[channel].diff(dim=axis - 1)
            assert steps.mean() == pytest.approx(0.5 / 64 / 2, rel=0.1), "half as steep: twice as large"
            assert image[channel].min() >= 0 and image[channel].max() <= 0.5 * side / 64 + 1e-6


def test_a_whole_image_is_changed_whether_it_shows_an_object_or_not() -> None:
    images = digits(64)
    assert Planter(images[30:]).has_background
    _, inverted = whole("inverted", images)
    assert (inverted > 0.5).float().mean() > 0.5, "the background, too"


def test_textures_and_photographs_have_no_background() -> None:
    assert not Planter(bricks()).has_background
    assert not Planter(photographs()).has_background


def test_a_missing_part_of_an_object_shows_the_background() -> None:
    image = digits(64)[0]
    planter = Planter(digits(64)[1:], kinds=("missing_patch",))
    planted = max((planter.plant(image, np.random.default_rng(i)) for i in range(10)), key=lambda each: each.strength)
    assert planted.image[0][planted.mask].mean() < 0.5 * image[0][planted.mask].mean()


def test_dark_images_of_little_contrast_get_defects_of_their_contrast() -> None:
    """A set of 12 bits in 16: its values end at 1/16."""
    planted, dark = planted_in(bricks()), planted_in(bricks() / 16)
    for bright, same in zip(planted, dark, strict=True):
        assert (bright.kind, bright.strength) == (same.kind, same.strength)
        assert torch.equal(bright.mask, same.mask)
        assert torch.allclose(bright.image / 16, same.image, atol=1e-3)


def test_a_colour_image_gets_spots_of_another_colour() -> None:
    images = photographs()
    changes = []
    for image, planted in zip(images, planted_in(images, kinds=("tint",)), strict=False):
        changes.append((planted.image - image)[:, planted.mask].mean(1))
    spread = torch.stack(changes).std(1, correction=0) / torch.stack(changes).abs().mean(1)
    assert spread.max() > 0.5 and spread.min() < 0.2


def test_an_image_without_anything_still_gets_one() -> None:
    black = torch.zeros(30, 1, 32, 32)
    assert all(each.mask.any() for each in planted_in(black))


def test_an_image_in_which_nothing_can_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "plant", lambda *words, **more: None)
    with pytest.raises(AutoADError, match="no defect planted in it can be seen"):
        planted_in(bricks(), 1)


def test_the_object_of_real_clothes_and_of_a_disc() -> None:
    rows, columns = np.mgrid[:60, :80] - np.array([30, 40])[:, None, None]
    disc = np.hypot(rows, columns) < 15
    rng = np.random.default_rng(0)
    image = np.where(disc, 150 + 30 * np.sin(columns), 40.0)[..., None] + rng.normal(0, 1.5, (60, 80, 3))
    found = find_object(image)
    assert found is not None
    assert (found.on & disc).sum() > 0.97 * disc.sum() and (found.on & ~disc).mean() < 0.03
    assert np.allclose(found.background, 40, atol=1) and found.side == pytest.approx(np.sqrt(disc.sum()), rel=0.1)
    assert find_object(np.full((60, 80, 1), 99.0)) is None
    assert find_object(rng.uniform(0, 255, (60, 80, 1))) is None


@pytest.mark.slow
def test_textures_are_as_they_were_before_there_were_other_sets(tmp_path: Path) -> None:
    """Pixels of all images and masks of two seeds, as the first release wrote them."""
    for seed, expected in ((0, "033f01ca7ab9ad56"), (1, "79551ed10ec4de7e")):
        write_textures(tmp_path / str(seed), seed=seed)
        total = hashlib.sha256()
        for path in sorted((tmp_path / str(seed)).rglob("*.png")):
            total.update(path.relative_to(tmp_path / str(seed)).as_posix().encode())
            with Image.open(path) as image:
                total.update(np.asarray(image).tobytes())
        assert total.hexdigest()[:16] == expected
