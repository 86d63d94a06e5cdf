from __future__ import annotations

import numpy as np
import pytest
import torch
from toys import Halving

from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer
from autoad_nni.runs.map_colours import MapScale, colour_bar, heat, map_scale

BLACK, YELLOW = [0, 0, 8], [252, 254, 164]


def test_colours_rise_in_brightness_and_are_cut_at_both_ends() -> None:
    colours = heat(np.linspace(-1, 2, 31)[None], low=0.0, high=1.0)[0].astype(int)
    brightness = colours @ [299, 587, 114]
    assert (np.diff(brightness) >= 0).all() and (np.diff(brightness[10:21]) > 0).all()
    assert (colours[:11] == colours[0]).all() and (colours[20:] == colours[-1]).all()


def test_what_is_faint_but_found_is_seen_beside_what_is_strong() -> None:
    drawn = MapScale(low=1.0, usual=2.0, high=100.0).brightness(np.array([0.0, 1.0, 2.0, 10.0, 100.0]))
    assert drawn == pytest.approx([0, 0, np.log(2) / np.log(100), 0.5, 1])


@pytest.mark.parametrize("value", [0.0, 5.0, -3e6])
def test_flat_maps_are_black(value: float) -> None:
    detector = Detector(Halving(), ReconstructionHypothesis(), L1Distance())
    detector.normal_map = torch.tensor([value, 0.0])
    assert (map_scale(Scorer(detector)).brightness(np.full((4, 4), value)) == 0).all()


def test_a_brightness_and_its_value_belong_together() -> None:
    scale = MapScale(low=-2.0, usual=1.5, high=80.0)
    for share in (0.0, 0.25, 0.5, 1.0):
        assert float(scale.brightness(np.array(scale.value(share)))) == pytest.approx(share)
    assert (scale.value(0), scale.value(1)) == pytest.approx((-2, 80))


def test_the_bar_goes_from_black_to_yellow_with_ticks_below() -> None:
    bar = np.asarray(colour_bar(MapScale(low=0.0, usual=1.0, high=10.0), 401))
    assert bar[0, 0].tolist() == BLACK and bar[0, -1].tolist() == YELLOW
    assert (bar[:14, :, 0].astype(int) @ np.ones(401) == bar[0, :, 0].sum()).all(), "the same in each of its rows"
    assert [x for x in range(401) if (bar[15, x] == 0).all()] == [0, 100, 200, 300, 400]
    assert (bar[19:] < 128).any(), "numbers"


def test_the_threshold_is_marked_at_its_colour() -> None:
    scale = MapScale(low=0.0, usual=1.0, high=10.0)
    plain, marked = (np.asarray(colour_bar(scale, 401, threshold=threshold)) for threshold in (None, 2.0))
    taller = marked.shape[0] - plain.shape[0]
    [places] = np.nonzero((marked[taller : taller + 14] != plain[:14]).any((0, 2)))
    assert abs(places - round(400 * float(scale.brightness(np.array(2.0))))).max() <= 1
    beyond = np.asarray(colour_bar(scale, 401, threshold=11.0))
    assert (beyond[taller:] == plain).all() and (beyond[:taller] == 0xEE).all()
