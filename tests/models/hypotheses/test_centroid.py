from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from toys import TwoNumbers

from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.centroid import CentroidHypothesis
from autoad_nni.models.training import TrainingSettings, fit


def ball(n: int = 500, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 4, generator=generator) * 3 + torch.tensor([20.0, -20.0, 0.05, -0.05])


def fitted(**settings: float) -> CentroidHypothesis:
    hypothesis = CentroidHypothesis(**settings)
    hypothesis.fit(ball())
    return hypothesis


def naive_distances(codes: Tensor, hypothesis: CentroidHypothesis) -> np.ndarray:
    centre, unit = hypothesis.centre.numpy(), hypothesis.unit.item()
    return np.array(
        [sum(((z - c) / unit) ** 2 for z, c in zip(code, centre, strict=True)) / 4 for code in codes.numpy()]
    )


def test_score_and_objective_are_those_of_the_source() -> None:
    hypothesis = fitted(nu=0.2, weight=0.5)
    hypothesis.begin_epoch(0.5)
    batch = ball(seed=1)[:40]
    distances = naive_distances(batch, hypothesis)
    squared_radius = hypothesis.squared_radius.item()
    np.testing.assert_allclose(hypothesis.score(batch), distances - squared_radius, rtol=1e-4, atol=1e-5)
    objective = squared_radius + sum(max(0, d - squared_radius) for d in distances) / (0.2 * 40)
    assert hypothesis.regularizer(batch).item() == pytest.approx(0.5 * objective, rel=1e-4)


def test_a_case_worked_out_by_hand() -> None:
    """Centre 5, unit 2, squared radius 1; codes 5, 9, 11 lie 0, 4, 9 away. Outside: 3 and 8."""
    hypothesis = CentroidHypothesis(nu=0.5, weight=1.0, warm_up=0)
    hypothesis.fit(torch.tensor([[3.0], [7.0]]))
    hypothesis.begin_epoch(0.0)
    codes = torch.tensor([[5.0], [9.0], [11.0]])
    assert hypothesis.score(codes).tolist() == pytest.approx([-1, 3, 8])
    assert hypothesis.regularizer(codes).item() == pytest.approx(1 + (3 + 8) / (0.5 * 3))


def test_the_radius_holds_all_but_nu() -> None:
    hypothesis = fitted(nu=0.1)
    assert (hypothesis.score(ball()) > 0).float().mean().item() == pytest.approx(0.1, abs=0.005)


def test_the_centre_is_the_first_mean_without_zeros_and_stays() -> None:
    hypothesis = fitted()
    least = 0.1 * hypothesis.unit
    mean = ball().mean(0)
    torch.testing.assert_close(hypothesis.centre[:2], mean[:2])
    expected = [max(abs(m), least.item()) * (-1 if m < 0 else 1) for m in mean[2:].tolist()]
    assert hypothesis.centre[2:].tolist() == pytest.approx(expected)
    assert hypothesis.centre.abs().min() >= 0.99 * least
    before = hypothesis.centre.clone()
    hypothesis.fit(ball() + 7)
    assert torch.equal(hypothesis.centre, before)


@pytest.mark.parametrize(("progress", "inside"), [(None, False), (0.0, False), (0.29, False), (0.3, True), (0.9, True)])
def test_the_radius_enters_the_objective_after_the_warm_up(progress: float | None, inside: bool) -> None:
    hypothesis = fitted(warm_up=0.3, weight=1.0)
    if progress is not None:
        hypothesis.begin_epoch(progress)
    at_centre = hypothesis.centre[None].clone()
    assert hypothesis.squared_radius > 0
    expected = hypothesis.squared_radius.item() if inside else 0.0
    assert hypothesis.regularizer(at_centre).item() == pytest.approx(expected)
    assert hypothesis.score(at_centre).item() == pytest.approx(-hypothesis.squared_radius.item())


class Noting(CentroidHypothesis):
    """Notes in each training batch whether the radius is in the objective."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[bool] = []

    def regularizer(self, codes: Tensor) -> Tensor:
        at_centre = super().regularizer(self.centre[None])
        self.noted.append(bool(at_centre > 0))
        return super().regularizer(codes)


@pytest.mark.parametrize(("epochs", "warm_up"), [(1, 1), (2, 1), (3, 2), (5, 3), (20, 10)])
def test_the_radius_is_in_the_objective_in_the_second_half_of_a_short_training_too(epochs: int, warm_up: int) -> None:
    detector = Detector(TwoNumbers(), hypothesis := Noting(), L2Distance())
    images = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    fit(detector, images, settings=TrainingSettings(epochs=epochs, batch_size=4), seed=0)
    assert hypothesis.noted == [False] * 3 * warm_up + [True] * 3 * (epochs - warm_up)


def test_codes_within_the_ball_are_ranked_too() -> None:
    hypothesis = fitted()
    nearer, farther = hypothesis.score(hypothesis.centre + torch.tensor([[0.1], [0.5]]) * hypothesis.unit).tolist()
    assert nearer < farther < 0
