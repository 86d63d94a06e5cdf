"""How long a model takes for one image, and the limit on it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
import torch
from detectors import make_detector
from torch import Tensor, nn
from toys import Blank, Conv

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Scorer, ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.runs.one_trial import train_again
from autoad_nni.runs.winner import choose_winner
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import TrialResult, run_trial, train_and_validate
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.trial.timing import ms_per_image, network_ms_per_image
from autoad_nni.verdicts import Verdict

SETTINGS = TrialSettings(training=TrainingSettings(epochs=1), threads=1, device="cpu")
FEATURES: dict[str, Any] = {
    "extractor": "pixels", "stages": "4", "enlargement": 1, "neighbourhood": 1, "vectors": "location",
    "projection": "all", "layers": "none", "hypothesis": "centroid", "distance": "l2",
}  # fmt: skip
BUSY_MS = 20


class Wide(Conv):
    """The same with so much more work that it shows beside what every model takes, on a busy machine too."""

    def __init__(self, width: int = 4000) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.Tanh(), nn.Conv2d(width, 1, 1))


class Named(Blank):
    """With the names by which `make_detector` joins it with the rest."""

    hypothesis_name, distance_name = "reconstruction", "l1"


class Busy(Named):
    """Takes 20 ms of the processor's time for a batch."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        end = time.process_time() + BUSY_MS / 1000
        while time.process_time() < end:
            pass
        return super().forward(images)


class Asleep(Named):
    """Takes 50 ms, but not of the processor's time."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(0.05)
        return super().forward(images)


def scorer(autoencoder: nn.Module, **settings: Any) -> Scorer:
    return Scorer(make_detector(autoencoder), ScoringSettings(**settings))


IMAGES = torch.rand(4, 1, 64, 64)


@pytest.fixture(scope="module")
def digits() -> Task:
    return load_task(TaskOptions(data="digits", abnormal=("photos",), limit=200))


def trial(autoencoder: type[nn.Module], task: Task, **limits: Any) -> TrialResult:
    return train_and_validate(lambda: make_detector(autoencoder()), task, replace(SETTINGS, **limits))


def test_a_large_model_takes_longer_than_a_small_one() -> None:
    small, large = ms_per_image(scorer(Conv()), IMAGES), ms_per_image(scorer(Wide()), IMAGES)
    assert small > 0 and 3 * small < large
    assert 0 < network_ms_per_image(scorer(Wide()), IMAGES) < 2 * large


def test_work_counts_and_waiting_does_not() -> None:
    """So a process that other ones keep from the core measures nearly what it measures alone."""
    assert BUSY_MS <= ms_per_image(scorer(Busy()), IMAGES) < 5 * BUSY_MS
    assert 0 < ms_per_image(scorer(Asleep()), IMAGES) < 50 / 2


@pytest.mark.parametrize(("budget_s", "passes"), [(0.0, 3), (1e9, 15)])
def test_images_come_one_at_a_time_after_one_that_warms_up(budget_s: float, passes: int) -> None:
    model = Named()
    before = torch.get_num_threads()
    ms_per_image(scorer(model), IMAGES, budget_s=budget_s)
    assert [len(batch) for batch in model.seen] == [1] * (1 + passes)
    assert torch.equal(torch.cat(model.seen[1:5])[: min(passes, 4)], IMAGES[:passes]), "one after the other"
    assert torch.get_num_threads() == before


def test_windows_of_an_image_count_together() -> None:
    model = Named()
    ms_per_image(scorer(model, patch=16), IMAGES, budget_s=0.0)
    assert {len(batch) for batch in model.seen} == {49}, "of 16 pixels, that overlap by half"


def test_a_network_that_two_members_take_runs_once(digits: Task) -> None:
    found = [
        run_trial({**FEATURES, "hypothesis": hypothesis}, digits, replace(SETTINGS, space="features")).detector
        for hypothesis in ("centroid", "memory")
    ]
    scorers = [Scorer(detector) for detector in found if detector is not None]
    seen: list[int] = []
    for each in scorers:
        extractor = each.detector.autoencoder.extractor  # one object, or one for each
        extractor.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    ms_per_image(Ensemble(scorers), digits.validation.images, budget_s=0.0)
    n_hooks = 2 if scorers[0].detector.autoencoder.extractor is scorers[1].detector.autoencoder.extractor else 1
    assert seen == [1] * 4 * n_hooks


def test_every_trial_knows_its_time_and_a_limit_above_it_changes_nothing(digits: Task) -> None:
    free, limited = trial(Conv, digits).record, trial(Conv, digits, max_ms=1e9).record
    assert free.ms is not None and free.ms > 0
    assert replace(free, ms=None, seconds=0.0) == replace(limited, ms=None, seconds=0.0)


def test_a_model_is_refused_untrained_if_its_network_alone_takes_too_long(digits: Task) -> None:
    seen: list[bool] = []

    class Noted(Busy):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            seen.append(self.training)
            return super().forward(images)

    record = trial(Noted, digits, max_ms=BUSY_MS / 2).record
    assert record.verdict is Verdict.OVER_MS and record.reward == 0.0 and record.validation == {}
    assert record.ms is not None and record.ms >= BUSY_MS
    assert record.detail == f"{record.ms:.4g} ms for one image, the limit is 10 ms."
    assert seen.count(True) == 1, "where multiply-adds are counted: it was not trained"


def test_a_model_whose_scoring_takes_too_long_is_refused_when_it_is_trained(digits: Task) -> None:
    """Its network takes next to nothing; the memory that it is compared with is known after training only."""
    sample, settings = {**FEATURES, "hypothesis": "memory"}, replace(SETTINGS, space="features")
    record = run_trial(sample, digits, settings).record
    assert record.ok and record.ms is not None
    rounds: list[int] = []
    result = run_trial(
        sample, digits, replace(settings, max_ms=record.ms / 1000), on_epoch=lambda number, *rest: rounds.append(number)
    )
    assert result.record.verdict is Verdict.OVER_MS and result.detector is None


def test_what_was_quick_enough_once_is_trained_again_whatever_the_clock_says_now(digits: Task) -> None:
    request = TrialRequest.from_options(
        data="digits", abnormal="photos", limit=200, space="features", epochs=1, threads=1, max_ms=1e-6
    )
    record = TrialRecord(number=3, sample=FEATURES, verdict=Verdict.OK)
    assert run_trial(FEATURES, digits, request.settings).record.verdict is Verdict.OVER_MS
    assert train_again(record, digits, request).detector is not None


@pytest.mark.slow
def test_members_are_dropped_until_the_winner_keeps_to_the_limit(digits: Task) -> None:
    def member(number: int) -> Any:
        record = TrialRecord(number=number, sample={}, verdict=Verdict.OK, reward=0.9, ms=21.0)
        return record, make_detector(Busy())

    members = [member(number) for number in range(4)]
    request = TrialRequest.from_options(data="digits", abnormal="photos")
    few = replace(digits, train=digits.train[:10])
    whole = choose_winner(members, None, few, request)
    assert len(whole.members) == 4 and whole.ms is not None and whole.ms >= 4 * BUSY_MS
    limited = replace(request, settings=replace(request.settings, max_ms=3 * BUSY_MS - 1))
    winner = choose_winner(members, None, few, limited)
    assert len(winner.members) == 2 and winner.ms is not None and 2 * BUSY_MS <= winner.ms < 3 * BUSY_MS
    strict = replace(request, settings=replace(request.settings, max_ms=21.5))
    alone = choose_winner(members, None, few, strict)
    assert len(alone.members) == 1 and alone.ms == 21.0, "as its trial measured it"
