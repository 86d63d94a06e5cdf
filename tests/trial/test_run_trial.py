from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from detectors import make_detector, run_model
from torch import Tensor, nn
from toys import Conv, ReadNever

from autoad_nni.data import LabelledImages, Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import Scorer
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.evaluate import IMAGE_METRICS, REWARDS, evaluate
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings, pick_device
from autoad_nni.verdicts import RejectedTrial, Verdict

EPOCHS = 3
SETTINGS = TrialSettings(training=TrainingSettings(epochs=EPOCHS, batch_size=8), device="cpu")


class Child(nn.Module):
    """The smallest thing that a search space can freeze to."""

    hypothesis_name = "reconstruction"
    distance_name = "l2"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        reconstruction = self.reconstruct(images)
        return reconstruction, reconstruction.flatten(1)


class Scaled(Child):
    """Reconstructs ``images`` times a learnt number; a perfect copy at 1."""

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(start))

    def reconstruct(self, images: Tensor) -> Tensor:
        return images * self.scale


class FiniteWhileTraining(Scaled):
    def reconstruct(self, images: Tensor) -> Tensor:
        return images * self.scale * (1.0 if self.training else float("nan"))


class ConstantAtFirst(Scaled):
    """Scores all images alike until it has seen them all once, in five steps."""

    def __init__(self) -> None:
        super().__init__()
        self.n_steps = 0

    def reconstruct(self, images: Tensor) -> Tensor:
        if self.training:
            self.n_steps += 1
        return images * (1.0 if self.n_steps <= 5 else 0.5) + 0 * self.scale

    def macs(self, height: int, width: int) -> int:
        return 1


class Blind(Child):
    """Gives one grey image, in the colour that it learns, whatever it sees; its score still differs by image."""

    def __init__(self) -> None:
        super().__init__()
        self.grey = nn.Parameter(torch.tensor(0.5))

    def reconstruct(self, images: Tensor) -> Tensor:
        return 0 * images + self.grey

    def macs(self, height: int, width: int) -> int:
        return 1


class OnePoint(Scaled):
    """Gives all images the same code."""

    hypothesis_name = "centroid"

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images * self.scale, (0 * images * self.scale + 1).flatten(1)


@pytest.fixture(scope="module")
def task() -> Task:
    """Dark images are normal, somewhat brighter ones are not."""
    generator = torch.Generator().manual_seed(0)
    normal, bright = (
        torch.rand(56, 1, 8, 8, generator=generator) * 0.4,
        torch.rand(8, 1, 8, 8, generator=generator) * 0.45,
    )
    labels = torch.tensor([0] * 16 + [1] * 8, dtype=torch.uint8)
    validation = LabelledImages(torch.cat([normal[40:], bright]), labels)
    return Task("dark vs bright", normal[:40], validation, test=ReadNever())  # type: ignore[arg-type]


def random_states() -> tuple[Any, ...]:
    return torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()


def without_seconds(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in ("seconds", "ms")}


def test_one_model_has_one_fingerprint_whatever_else_is_chosen(task: Task) -> None:
    """Of the pixels at a place, seen by a centroid, there is no reconstruction that a distance could be of."""
    sample = {"extractor": "pixels", "stages": "4", "enlargement": 1, "neighbourhood": 1, "vectors": "location"}
    sample |= {"projection": "all", "layers": "none", "hypothesis": "centroid", "distance": "l2"}
    settings = replace(SETTINGS, space="features")
    found = [
        run_trial({**sample, **other}, task, settings).record
        for other in ({}, {"distance": "l1"}, {"hypothesis": "memory"})
    ]
    assert found[0].fingerprint == found[1].fingerprint != found[2].fingerprint
    assert [record.ok for record in found] == [True, True, True]


def test_a_good_trial_has_all_metrics_a_trained_detector_and_no_detail(task: Task) -> None:
    result = run_model(Conv, task, SETTINGS)
    assert set(result.metrics) == {
        "default", "auroc", "aupr_in", "aupr_out", "macs", "parameters", "ms", "seconds", "verdict", "reading",
        "fingerprint",
    }  # fmt: skip
    assert result.metrics["verdict"] == "ok" and result.detail == ""
    assert result.metrics["parameters"] == 4 * 9 + 4 + 4 + 1
    assert result.metrics["macs"] == 64 * (4 * 9 + 4)
    assert isinstance(result.metrics["seconds"], float) and result.metrics["seconds"] >= 0
    assert result.detector is not None and not result.detector.training
    again = evaluate(Scorer(result.detector), task.validation)
    assert again == {name: result.metrics[name] for name in IMAGE_METRICS}
    assert 0.6 < again["auroc"] < 1, "bright images are hard to reconstruct for who saw dark ones only"


@pytest.mark.parametrize("reward", sorted(IMAGE_METRICS))
def test_the_reward_is_the_chosen_metric(task: Task, reward: str) -> None:
    metrics = run_model(Conv, task, replace(SETTINGS, reward=reward)).metrics
    assert metrics["default"] == metrics[reward]
    assert len({metrics[name] for name in IMAGE_METRICS}) == len(IMAGE_METRICS), "or the test proves nothing"


@pytest.mark.parametrize("build", [Conv, lambda: Conv(dropout=0.5)], ids=["plain", "dropout"])
def test_the_global_random_state_is_left_as_it_was(task: Task, build: Callable[[], nn.Module]) -> None:
    """A search in this process is not disturbed, also by a plug-in that draws from it while training."""
    before = random_states()
    run_model(build, task, SETTINGS)
    assert random_states() == before


@pytest.mark.parametrize("build", [Conv, lambda: Conv(dropout=0.5)], ids=["plain", "dropout"])
def test_the_same_seed_gives_the_same_trial_whatever_ran_before(task: Task, build: Callable[[], nn.Module]) -> None:
    first = run_model(build, task, SETTINGS).metrics
    torch.rand(3)
    assert without_seconds(run_model(build, task, SETTINGS).metrics) == without_seconds(first)
    other = run_model(build, task, replace(SETTINGS, seed=1)).metrics
    assert without_seconds(other) != without_seconds(first)


def test_the_random_state_survives_a_rejected_trial_too(task: Task) -> None:
    before = random_states()
    assert run_model(Conv, task, replace(SETTINGS, max_macs=1)).metrics["verdict"] == "over_macs"
    assert random_states() == before


def test_every_epoch_is_reported_once_with_its_metrics(task: Task) -> None:
    epochs: list[tuple[int, float, dict[str, float]]] = []
    result = run_model(Conv, task, SETTINGS, on_epoch=lambda *figures: epochs.append(figures))
    assert [epoch for epoch, _, _ in epochs] == list(range(1, EPOCHS + 1))
    assert all(set(validation) == set(IMAGE_METRICS) for _, _, validation in epochs)
    assert epochs[-1][2] == {name: result.metrics[name] for name in IMAGE_METRICS}
    losses = [loss for _, loss, _ in epochs]
    assert losses == sorted(losses, reverse=True) and losses[0] > losses[-1]


def test_listening_to_epochs_changes_no_result(task: Task) -> None:
    heard = run_model(Conv, task, SETTINGS, on_epoch=lambda *figures: None)
    assert without_seconds(heard.metrics) == without_seconds(run_model(Conv, task, SETTINGS).metrics)


REJECTED: list[tuple[Callable[[], nn.Module], dict[str, Any], Verdict, str]] = [
    (Scaled, {}, Verdict.CONSTANT_SCORE, "all 24 images score 0"),
    (lambda: Scaled(0.9999), {}, Verdict.COPIES_INPUT, "The reconstructions leave out less than 1 %"),
    (lambda: Scaled(float("nan")), {}, Verdict.NON_FINITE, "The training loss became nan"),
    (lambda: Scaled(float("inf")), {}, Verdict.NON_FINITE, "The training loss became"),
    (FiniteWhileTraining, {}, Verdict.NON_FINITE, "8 of 8 scores are infinite or undefined"),
    (Conv, {"max_macs": 64 * 40 - 1}, Verdict.OVER_MACS, "2,560 multiply-adds for one image, the limit is 2,559."),
    (Conv, {"max_ms": 1e-6}, Verdict.OVER_MS, " ms for one image, the limit is 1e-06 ms."),
    (Conv, {"max_seconds": 1e-9}, Verdict.OVER_TIME, "the limit is"),
    (Blind, {}, Verdict.IGNORES_INPUT, "The reconstructions spread by 0 of the images' spread"),
    (lambda: OnePoint(0.5), {}, Verdict.COLLAPSED, "The codes spread by 0 of their size"),
]


@pytest.mark.parametrize(("build", "limits", "verdict", "detail"), REJECTED)
def test_a_trial_that_fails_gets_its_verdict_the_lowest_reward_and_no_detector(
    task: Task, build: Callable[[], nn.Module], limits: dict[str, Any], verdict: Verdict, detail: str
) -> None:
    result = run_model(build, task, replace(SETTINGS, **limits))
    assert result.metrics["verdict"] == verdict.value and type(result.metrics["verdict"]) is str
    assert result.metrics["default"] == 0.0
    assert result.detector is None and detail in result.detail
    costs = {"macs", "parameters", "seconds", *({"ms"} if verdict is Verdict.OVER_MS else ())}
    assert set(result.metrics) == {"default", *costs, "verdict"}


@pytest.mark.parametrize("seconds", [1e-9, 0.001])
def test_a_time_that_is_over_before_training_is_told_with_the_limit_that_was_given(task: Task, seconds: float) -> None:
    def build() -> nn.Module:
        time.sleep(0.01)
        return Conv()

    detail = run_model(build, task, replace(SETTINGS, max_seconds=seconds)).detail
    spent, _, limit = detail.partition(" s so far; the limit is ")
    assert limit == f"{seconds:g} s." and 0.01 <= float(spent) < 60


def test_a_model_at_the_cost_limit_is_let_through(task: Task) -> None:
    assert run_model(Conv, task, replace(SETTINGS, max_macs=64 * 40)).metrics["verdict"] == "ok"


@pytest.mark.parametrize("limits", [{"max_macs": 1}, {"max_ms": 1e-6}])
def test_a_model_that_costs_too_much_is_not_trained(task: Task, limits: dict[str, Any]) -> None:
    epochs: list[int] = []
    run_model(Conv, task, replace(SETTINGS, **limits), on_epoch=lambda epoch, *rest: epochs.append(epoch))
    assert epochs == []


def test_the_last_epoch_decides_whether_a_score_is_constant(task: Task) -> None:
    """And the metrics do not depend on whether somebody listens to the epochs."""
    epochs: list[int] = []
    heard = run_model(ConstantAtFirst, task, SETTINGS, on_epoch=lambda epoch, *rest: epochs.append(epoch))
    alone = run_model(ConstantAtFirst, task, SETTINGS)
    assert heard.metrics["verdict"] == "ok" and epochs == [2, 3]
    assert without_seconds(heard.metrics) == without_seconds(alone.metrics)


def test_a_crash_is_no_verdict(task: Task) -> None:
    """A fault of the model's author is to be seen, not to be hidden behind a low reward."""

    class Broken(Scaled):
        def reconstruct(self, images: Tensor) -> Tensor:
            raise RuntimeError("wrong shape")

        def macs(self, height: int, width: int) -> int:
            return 1

    with pytest.raises(RuntimeError, match="wrong shape"):
        run_model(Broken, task, SETTINGS)


def test_labels_of_one_class_are_the_users_fault(task: Task) -> None:
    images = LabelledImages(task.validation.images, torch.zeros(24, dtype=torch.uint8))
    with pytest.raises(AutoADError, match="one class only"):
        run_model(Conv, replace(task, validation=images), SETTINGS)


def test_evaluate_tells_apart_what_it_rejects(task: Task) -> None:
    with pytest.raises(RejectedTrial, match="constant_score: all 24 images score 0"):
        evaluate(Scorer(make_detector(Scaled())), task.validation)
    with pytest.raises(RejectedTrial, match="non_finite"):
        evaluate(Scorer(make_detector(Scaled(float("nan")))), task.validation)
    with pytest.raises(RejectedTrial, match="over_time"):
        evaluate(Scorer(make_detector(Conv())), task.validation, max_seconds=1e-9)


def test_a_detector_is_made_of_what_the_autoencoder_names() -> None:
    from autoad_nni.models.distances.l2 import L2Distance
    from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis

    child = Scaled()
    detector = make_detector(child)
    assert detector.autoencoder is child
    assert type(detector.hypothesis) is ReconstructionHypothesis and type(detector.distance) is L2Distance
    child.distance_name = "l3"
    with pytest.raises(AutoADError, match=r"Unknown distance 'l3'"):
        make_detector(child)


def test_on_a_cpu_weights_lie_channels_last() -> None:
    """Training takes about 0.8 of the time; images follow their weights."""
    child = Conv()
    child.layers = nn.Sequential(nn.Conv2d(2, 4, 3))
    weight = make_detector(child).autoencoder.layers[0].weight
    assert weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"reward": "auc"}, f"reward is 'auc'. Expected one of {', '.join(REWARDS)}. Give one of these."),
        ({"max_memory": 0}, "max_memory is 0. Expected more than 0. Raise it, or leave it out for 4,000 megabytes."),
        ({"device": "tpu"}, "device is 'tpu'. Expected one of auto, cpu, cuda. Give one of these."),
        ({"max_macs": 0}, "max_macs is 0. Expected more than 0. Raise it, or leave it out for no limit."),
        ({"max_seconds": -1.5}, "max_seconds is -1.5. Expected more than 0. Raise it, or leave it out for no limit."),
        ({"threads": 0}, "threads is 0. Expected more than 0. Raise it, or leave it out for all cores."),
        ({"seed": -1}, "seed is -1. Expected 0 to 2^63 - 1. Give seed=0."),
        ({"seed": 2**63}, f"seed is {2**63}. Expected 0 to 2^63 - 1. Give seed=0."),
    ],
)
def test_settings_out_of_range(values: dict[str, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        TrialSettings(**values)
    assert str(caught.value) == message


def test_the_largest_seed_works(task: Task) -> None:
    assert run_model(Conv, task, replace(SETTINGS, seed=2**63 - 1)).metrics["verdict"] == "ok"


def test_the_number_of_threads_holds_within_the_trial_only(task: Task) -> None:
    seen: set[int] = set()

    class Counting(Conv):
        def forward(self, images: Tensor) -> Any:
            seen.add(torch.get_num_threads())
            return super().forward(images)

    before = torch.get_num_threads()
    run_model(Counting, task, replace(SETTINGS, threads=before + 1))
    assert seen == {before + 1, 1}, "one where the time of an image is measured"
    assert torch.get_num_threads() == before


def test_devices() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    available = torch.cuda.is_available()
    assert pick_device("auto") == torch.device("cuda" if available else "cpu")
    if not available:
        with pytest.raises(AutoADError, match=r"no CUDA device\. Expected one\. Give device=auto or dev"):
            pick_device("cuda")
