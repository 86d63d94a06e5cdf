"""A trial on its way: what it reaches at a rung, and that looking changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from detectors import make_detector
from toys import Conv, ReadNever

from autoad_nni.data import LabelledImages, Task
from autoad_nni.models.build import build_detector, place
from autoad_nni.models.scoring import ScoringSettings
from autoad_nni.models.training import TrainingSettings, fit, fit_statistics
from autoad_nni.trial.fitting import fit_and_validate
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.run import Rungs, TrialResult, run_trial, train_and_validate
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import Verdict

SAMPLE: dict[str, Any] = {
    "hypothesis": "density",
    "distance": "l2",
    "layer1_channels": 8,
    "layer1_kernel": 3,
    "layer1_pooling": "max",
    "layer1_pooling_kernel": 3,
    "layer1_normalization": "batch",
    "layer1_activation": "elu",
}
STEPS = 40
WHOLE = TrialSettings(training=TrainingSettings(epochs=1, steps=STEPS, batch_size=8), device="cpu", threads=1)
WINDOWS = replace(WHOLE, scoring=ScoringSettings(patch=8, two_sided=True))
SHARES = (0.25, 0.5)


@pytest.fixture(scope="module")
def task() -> Task:
    """Noise is normal, somewhat brighter noise is not."""
    generator = torch.Generator().manual_seed(0)
    normal = torch.rand(76, 1, 12, 12, generator=generator) * 0.6
    bright = torch.rand(16, 1, 12, 12, generator=generator) * 0.62
    labels = torch.tensor([0] * 26 + [1] * 16, dtype=torch.uint8)
    validation = LabelledImages(torch.cat([normal[50:], bright]), labels)
    return Task("noise", normal[:50], validation, test=ReadNever())  # type: ignore[arg-type]


class Visits:
    """Lets a trial go on past the first rungs, and keeps what it has shown there."""

    def __init__(self, n_passed: int) -> None:
        self.records: list[tuple[int, TrialRecord]] = []
        self._n_passed = n_passed

    def goes_on(self, rung: int, record: TrialRecord) -> bool:
        self.records.append((rung, record))
        return len(self.records) <= self._n_passed


def run(task: Task, settings: TrialSettings, visits: Visits, **changes: Any) -> TrialResult:
    rungs = Rungs(SHARES, visits.goes_on)
    return run_trial({**SAMPLE, **changes}, task, settings, number=7, rungs=rungs)


@pytest.mark.parametrize("settings", [WHOLE, WINDOWS], ids=["whole", "windows"])
@pytest.mark.parametrize("hypothesis", ["density", "cluster", "reconstruction"])
def test_looking_changes_nothing(task: Task, settings: TrialSettings, hypothesis: str) -> None:
    visits = Visits(2)
    looked = run(task, settings, visits, hypothesis=hypothesis)
    alone = run_trial({**SAMPLE, "hypothesis": hypothesis}, task, settings, number=7)
    assert [rung for rung, _ in visits.records] == [0, 1]
    assert replace(looked.record, seconds=0.0, ms=None) == replace(alone.record, seconds=0.0, ms=None)
    assert looked.detector is not None and alone.detector is not None
    state = alone.detector.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in looked.detector.state_dict().items())


def test_a_stopped_trial_has_its_last_reward_and_no_model(task: Task) -> None:
    visits = Visits(1)
    result = run(task, WHOLE, visits)
    (_, first), (_, second) = visits.records
    assert result.detector is None and result.record == second
    assert second.verdict is Verdict.STOPPED and not second.ok
    assert second.validation == {"auroc": second.reward} and 0 < second.reward < 1
    assert first.reward != second.reward
    assert second.number == 7 and second.sample == SAMPLE and second.plugins == first.plugins != {}
    assert second.macs is not None and second.macs > 0
    assert second.detail == "At 0.5 of its steps others did better." and second.fingerprint == second.reading == ""


class Left(Exception):
    pass


def left_after(n_steps: int, task: Task, settings: TrialSettings) -> Any:
    """A detector whose training was left in the middle, with its training images."""
    torch.manual_seed(settings.seed)
    detector = place(build_detector(SAMPLE, channels=1, space=settings.space), torch.device("cpu"))
    kept = [i for i in range(len(task.train)) if i % 5 != 4]  # what remains of a holding out

    def leave(rung: int) -> None:
        raise Left

    with pytest.raises(Left):
        fit(
            detector,
            task.train[kept],
            settings=settings.training,
            seed=settings.seed,
            rungs=[n_steps / STEPS],
            on_rung=leave,
        )
    return detector, task.train[kept]


def test_a_rung_shows_what_the_model_would_be_if_its_training_ended_there(task: Task) -> None:
    """The twin: training is left in the middle, statistics are taken, and a trial of no steps evaluates it."""
    visits = Visits(0)
    reward = run(task, WHOLE, visits).record.reward
    detector, images = left_after(STEPS // 4, task, WHOLE)
    detector.eval()
    fit_statistics(detector, images, batch_size=8, calibrate=False)
    with pytest.MonkeyPatch.context() as patch:  # it is trained already
        patch.setattr("autoad_nni.trial.fitting.fit", lambda *_, on_epoch, **__: on_epoch(1, 0.0))
        validated = fit_and_validate(detector, task, WHOLE, lambda: None, None)
    assert validated.figures["auroc"] == reward


def test_a_model_that_would_be_rejected_at_a_rung_can_come_alive_later(task: Task) -> None:
    class ConstantAtFirst(Conv):
        """One reconstruction for all images in the first half of its training."""

        n_steps = 0

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            self.n_steps += self.training
            reconstruction, code = super().forward(images)
            return (0 * reconstruction + 0.5 if self.n_steps <= STEPS // 2 else reconstruction), code

    def of(visits: Visits) -> TrialResult:
        return train_and_validate(
            lambda: make_detector(ConstantAtFirst()), task, WHOLE, rungs=Rungs(SHARES[:1], visits.goes_on)
        )

    passing, stopping = Visits(1), Visits(0)
    assert of(passing).record.ok
    stopped = of(stopping).record
    assert stopped.reward == 0.0 and stopped.validation == {} and stopped.verdict is Verdict.STOPPED
    assert stopped.detail.startswith("At 0.25 of its steps: ignores_input: ")


def test_a_model_in_which_nothing_is_trained_comes_to_no_rung(task: Task) -> None:
    sample = {"extractor": "pixels", "stages": "4", "enlargement": 1, "neighbourhood": 1, "vectors": "location"}
    sample |= {"projection": "all", "layers": "none", "hypothesis": "memory", "distance": "l2"}
    visits = Visits(0)
    result = run_trial(sample, task, replace(WHOLE, space="features"), rungs=Rungs(SHARES, visits.goes_on))
    assert result.record.ok and visits.records == []


@pytest.mark.parametrize(
    ("steps", "shares", "expected"),
    [(40, (0.25, 0.5), [0, 1]), (2, (0.25, 0.5), [1]), (1, (0.25, 0.5), []), (3, (1 / 9, 1 / 3), [1])],
)
def test_of_rungs_after_one_step_the_last_counts_and_none_is_at_the_end(
    task: Task, steps: int, shares: tuple[float, ...], expected: list[int]
) -> None:
    settings = replace(WHOLE, training=TrainingSettings(epochs=1, steps=steps, batch_size=40))
    visits = Visits(9)
    run_trial(SAMPLE, task, settings, rungs=Rungs(shares, visits.goes_on))
    assert [rung for rung, _ in visits.records] == expected


def test_what_a_plugin_draws_at_a_rung_does_not_change_the_training(task: Task) -> None:
    class Draws(Conv):
        """Draws when it is evaluated, and has dropout when it is trained."""

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            if not self.training:
                torch.rand(3), np.random.rand(), random.random()
                return super().forward(images)
            return super().forward(images * (torch.rand(()) < 0.8))

    def fingerprint(rungs: Rungs | None) -> str:
        make: Callable[[], Any] = lambda: make_detector(Draws())  # noqa: E731
        return train_and_validate(make, task, WHOLE, rungs=rungs).record.fingerprint

    assert fingerprint(Rungs(SHARES, lambda rung, record: True)) == fingerprint(None) != ""
