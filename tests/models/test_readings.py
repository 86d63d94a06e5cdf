"""Readings, against loops over places and pixels in numpy."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from scipy.ndimage import zoom
from torch import Tensor

from autoad_nni.errors import AutoADError
from autoad_nni.models.readings import PARTS, POOLINGS, READINGS, WHOLE, Reader, Reading, pool

SIZE = (6, 8)


def maps_of(n: int, h: int = 6, w: int = 8, *, seed: int = 0) -> Tensor:
    """Positive maps; each place has a level and a spread of its own."""
    generator, of_place = torch.Generator().manual_seed(seed), torch.Generator().manual_seed(5)
    level, spread = 3 * torch.rand(h, w, generator=of_place), 0.1 + torch.rand(h, w, generator=of_place)
    return (level + spread * torch.randn(n, 1, h, w, generator=generator)).abs()


def fitted(**parts: Tensor) -> Reader:
    reader = Reader()
    reader.fit(parts)
    return reader


def standardized_by_hand(normal: Tensor, new: Tensor, by_place: bool) -> Tensor:
    """Each pixel of ``new`` in units of the normal maps, in loops."""
    numbers, given = normal.double().numpy()[:, 0], new.double().numpy()[:, 0]
    mean, variance = numbers.mean(), numbers.var()
    found = np.zeros_like(given)
    if not by_place:
        return torch.from_numpy((given - mean) / math.sqrt(variance))[:, None]
    n, h, w = numbers.shape
    own = n / (n + 10)
    means, deviations = np.zeros((h, w)), np.zeros((h, w))
    for row, column in itertools.product(range(h), range(w)):
        values = numbers[:, row, column]
        means[row, column] = own * values.mean() + (1 - own) * mean
        deviations[row, column] = math.sqrt(own * values.var() + (1 - own) * variance)
    least = 0.05 * deviations.mean()
    for row, column in itertools.product(range(h), range(w)):
        found[:, row, column] = (given[:, row, column] - means[row, column]) / max(deviations[row, column], least)
    return torch.from_numpy(found)[:, None]


@pytest.mark.parametrize("by_place", [False, True], ids=["all places", "by place"])
@pytest.mark.parametrize("n", [1, 5, 60])
@pytest.mark.parametrize("part", ["distance", "code"])
def test_a_map_is_measured_by_those_of_normal_images(part: str, n: int, by_place: bool) -> None:
    normal, new = maps_of(n), maps_of(4, seed=1)
    reader = fitted(**{part: normal})
    got = reader.join({part: new}, Reading(part, by_place), SIZE)
    torch.testing.assert_close(got.double(), standardized_by_hand(normal, new, by_place), rtol=1e-4, atol=1e-5)


def test_both_is_the_sum_of_the_two_on_one_scale() -> None:
    """The code's map has other values and another size; the scale of either does not matter."""
    distance, code = maps_of(30), 1000 * maps_of(30, 3, 4, seed=2)
    new = {"distance": maps_of(4, seed=1), "code": 1000 * maps_of(4, 3, 4, seed=3)}
    reader = fitted(distance=distance, code=code)
    for by_place in (False, True):
        both, *parts = (reader.join(new, Reading(part, by_place), SIZE) for part in ("both", "distance", "code"))
        assert both.shape == parts[0].shape == (4, 1, 6, 8) and parts[1].shape == (4, 1, 3, 4)
        torch.testing.assert_close(both, parts[0] + enlarged_by_hand(parts[1], 2), rtol=1e-4, atol=1e-4)
        assert 0.2 < parts[0].std() / parts[1].std() < 5


def test_two_sided_is_the_distance_from_the_mean_of_each_part() -> None:
    """Before parts are added and maps enlarged: an unusually easy location does not make up for a hard one."""
    new = {"distance": maps_of(4, 3, 4, seed=1), "code": maps_of(4, 3, 4, seed=3)}
    reader = fitted(distance=maps_of(30, 3, 4), code=maps_of(30, 3, 4, seed=2))
    for by_place in (False, True):
        signed = [reader.join(new, Reading(part, by_place), (3, 4)) for part in ("distance", "code")]
        assert all(each.min() < 0 for each in signed)
        for part, expected in zip(
            PARTS, (*(each.abs() for each in signed), signed[0].abs() + signed[1].abs()), strict=True
        ):
            torch.testing.assert_close(reader.join(new, Reading(part, by_place, "max", True), (3, 4)), expected)
    middle = torch.tensor([0.0, 2.0]).view(1, 1, 1, 2)
    reader = fitted(distance=torch.tensor([0.0, 2.0]).view(2, 1, 1, 1).expand(-1, -1, 1, 2))
    assert reader.join({"distance": middle}, Reading("distance", two_sided=True), (1, 4)).flatten().tolist() == [1, 1]


def test_golden_values_of_a_place_between_all_places_and_its_own() -> None:
    """Ten images: weight 1/2. Two places, always 1 and always 3, so mean 2 and variance 1 at all places."""
    normal = torch.tensor([1.0, 3.0]).view(1, 1, 1, 2).expand(10, -1, -1, -1)
    reader = fitted(distance=normal)
    assert (reader.distance_mean.item(), reader.distance_deviation.item()) == (2.0, 1.0)
    torch.testing.assert_close(reader.distance_place_mean.flatten(), torch.tensor([1.5, 2.5]))
    torch.testing.assert_close(reader.distance_place_deviation.flatten(), torch.full((2,), math.sqrt(0.5)))
    new = {"distance": torch.tensor([2.0, 2.0]).view(1, 1, 1, 2)}
    assert reader.join(new, Reading("distance"), (1, 2)).flatten().tolist() == [0.0, 0.0]
    by_place = reader.join(new, Reading("distance", True), (1, 2)).flatten()
    torch.testing.assert_close(by_place, torch.tensor([math.sqrt(0.5), -math.sqrt(0.5)]))


def test_a_place_where_normal_images_hardly_differ_does_not_outweigh_the_others() -> None:
    normal = torch.randn(40_000, 1, 1, 10, generator=torch.Generator().manual_seed(0))
    normal[..., 3] *= 1e-4
    reader = fitted(distance=normal)
    deviation = reader.distance_place_deviation.flatten()
    unclamped = (
        (normal.var(0, correction=0) * 40_000 / 40_010 + normal.var(correction=0) * 10 / 40_010).sqrt().flatten()
    )
    assert deviation[3] == pytest.approx(float(0.05 * unclamped.mean()), rel=1e-4) and unclamped[3] < deviation[3]
    torch.testing.assert_close(deviation[:3], unclamped[:3])


def enlarged_by_hand(maps: Tensor, factor: int) -> Tensor:
    """Straight lines between the middles of locations, by scipy."""
    lines = [zoom(each, factor, order=1, mode="nearest", grid_mode=True) for each in maps[:, 0].numpy()]
    return torch.from_numpy(np.stack(lines))[:, None]


def test_maps_of_one_size_keep_it_and_others_are_enlarged_to_the_image() -> None:
    normal = {"distance": maps_of(20, 6, 8), "code": maps_of(20, 3, 4, seed=2)}
    new = {"distance": maps_of(2, 6, 8, seed=1), "code": maps_of(2, 3, 4, seed=3)}
    reader = fitted(**normal)
    parts = [reader.join(new, Reading(part), (12, 16)) for part in ("distance", "code")]
    assert [tuple(each.shape[2:]) for each in parts] == [(6, 8), (3, 4)]
    both = reader.join(new, Reading("both"), (12, 16))
    expected = enlarged_by_hand(parts[0], 2) + enlarged_by_hand(parts[1], 4)
    torch.testing.assert_close(both, expected, rtol=1e-4, atol=1e-4)


def test_the_readings_are_those_of_the_parts_there_are() -> None:
    distance, code = maps_of(9), maps_of(9, 3, 4)
    alone, two = fitted(distance=distance), fitted(distance=distance, code=code)
    assert Reader().readings() == (WHOLE,)
    assert alone.readings() == (WHOLE, *(each for each in READINGS if each.part == "distance"))
    assert two.readings() == (WHOLE, *READINGS)
    assert len(READINGS) == 3 * 2 * 2 * 4 and len(set(READINGS)) == 48


@pytest.mark.parametrize("value", [0.0, 0.25, 1e6])
def test_a_part_that_is_equal_everywhere_tells_nothing(value: float) -> None:
    """Also where it is equal but for rounding."""
    flat = torch.full((9, 1, 6, 8), value)
    flat[::2] *= 1 + 1e-7
    reader = fitted(distance=flat, code=maps_of(9))
    assert reader.parts == ("code",) and {each.part for each in reader.readings()} == {"whole", "code"}
    assert fitted(distance=maps_of(9), code=flat).parts == ("distance",)
    assert fitted(distance=flat).readings() == (WHOLE,)


def test_a_part_that_varies_little_still_tells() -> None:
    assert fitted(distance=5 + 1e-3 * maps_of(9)).parts == ("distance",)
    assert fitted(distance=1e-12 * maps_of(9)).parts == ("distance",)


def test_names_say_the_reading_and_come_back() -> None:
    names = [reading.name for reading in (WHOLE, *READINGS)]
    assert len(set(names)) == 49 and names[:2] == ["whole", "distance/raw/max"]
    for reading in (WHOLE, *READINGS):
        assert Reading.parse(reading.name) == reading
        assert reading.score_from_map == (reading != WHOLE)
    assert names[1:] == [
        f"{part}/{place}/{pooling}"
        for part in PARTS
        for place in ("raw", "raw_two_sided", "by_place", "by_place_two_sided")
        for pooling in POOLINGS
    ]


@pytest.mark.parametrize(
    "name", ["", "half", "distance", "distance/raw", "distance/raw/median", "distance/two_sided/max", "whole/raw/max"]
)
def test_a_name_that_is_none(name: str) -> None:
    with pytest.raises(
        AutoADError, match=rf"^The reading is '{name}'\. Expected whole, or PART/PLACE/POOLING w"
    ) as caught:
        Reading.parse(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("reading", [WHOLE, *READINGS], ids=lambda reading: reading.name)
def test_the_reading_and_its_statistics_are_part_of_the_state(tmp_path: Path, reading: Reading) -> None:
    saved = fitted(distance=maps_of(9), code=maps_of(9, 3, 4, seed=2))
    saved.reading = reading
    save_file({name: tensor.contiguous() for name, tensor in saved.state_dict().items()}, tmp_path / "reader")
    fresh = Reader()
    fresh.load_state_dict(load_file(tmp_path / "reader"))
    assert fresh.reading == reading and fresh.readings() == saved.readings()
    if reading.score_from_map:
        new = {"distance": maps_of(4, seed=1), "code": maps_of(4, 3, 4, seed=3)}
        assert torch.equal(fresh.join(new, reading, (12, 16)), saved.join(new, reading, (12, 16)))


def test_a_state_with_a_reading_that_is_none_is_refused() -> None:
    state = fitted(distance=maps_of(9)).state_dict()
    state["_extra_state"] = torch.tensor(list(b"half"), dtype=torch.uint8)
    with pytest.raises(AutoADError, match="The reading is 'half'"):
        Reader().load_state_dict(state)


def test_a_second_fit_takes_the_place_of_the_first() -> None:
    reader = fitted(distance=maps_of(9))
    reader.fit({"distance": maps_of(7, 3, 4, seed=4)})
    fresh = fitted(distance=maps_of(7, 3, 4, seed=4))
    assert all(torch.equal(value, fresh.state_dict()[name]) for name, value in reader.state_dict().items())


@given(st.integers(1, 7), st.integers(1, 40), st.integers(1, 40), st.integers(0, 99))
def test_pooling_against_sorted_pixels(n: int, h: int, w: int, seed: int) -> None:
    maps = torch.randn(n, 1, h, w, generator=torch.Generator().manual_seed(seed))
    pixels = np.sort(maps.double().numpy().reshape(n, -1), 1)[:, ::-1]
    for pooling, share in (("max", 0.0), ("top1", 0.01), ("top5", 0.05), ("mean", 1.0)):
        count = max(1, round(share * h * w))
        expected = torch.from_numpy(pixels[:, :count].mean(1))
        torch.testing.assert_close(pool(maps, pooling).double(), expected, rtol=1e-5, atol=1e-6)


def test_a_constant_added_to_a_map_is_added_to_the_score() -> None:
    maps = maps_of(5)
    for pooling in POOLINGS:
        torch.testing.assert_close(pool(maps + 2, pooling), pool(maps, pooling) + 2)
