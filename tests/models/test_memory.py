from __future__ import annotations

import gc
import math
import weakref
from dataclasses import replace
from typing import Any

import pytest
import torch
from detectors import make_detector, run_model
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from toys import Blank

from autoad_nni.data import LabelledImages, Task
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.memory import bytes_per_image
from autoad_nni.models.scoring import ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import AutoencoderSpace

FLOAT = 4


class Stack(nn.Module):
    """A known stack of layers, named as a search space names its children."""

    hypothesis_name = "reconstruction"
    distance_name = "l2"

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.seen: list[int] = []

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(len(images))
        reconstruction = self.layers(images)
        return reconstruction, reconstruction.flatten(1)


def needed(*layers: nn.Module, size: tuple[int, int] = (10, 12)) -> int:
    return bytes_per_image(make_detector(Stack(*layers)), torch.rand(1, 1, *size))


def test_what_is_kept_by_hand() -> None:
    """The image (for the first weights), what tanh gave (kept by it and by the next weights), and the difference."""
    pixels = 10 * 12
    once = nn.Conv2d(1, 6, 3, padding=1), nn.Tanh(), nn.Conv2d(6, 1, 5, padding=2)
    assert needed(*once) == FLOAT * pixels * (1 + 6 + 1)
    twice = *once[:2], nn.Conv2d(6, 9, 3, padding=1), nn.Tanh(), nn.Conv2d(9, 1, 1)
    assert needed(*twice) == FLOAT * pixels * (1 + 6 + 9 + 1)
    # Pooling keeps what came in and, 8 bytes each, where the highest values were.
    pooled = *once[:2], nn.MaxPool2d(2), nn.Upsample(scale_factor=2), nn.Conv2d(6, 1, 1)
    kept = FLOAT * pixels * (1 + 6) + 8 * 6 * pixels // 4 + FLOAT * pixels * (6 + 1)
    assert needed(*pooled) == pytest.approx(kept, rel=0.02)


def test_weights_are_not_counted_pixels_are() -> None:
    def layers(kernel: int) -> list[nn.Module]:
        return [nn.Conv2d(1, 64, kernel, padding=kernel // 2), nn.ELU(), nn.Conv2d(64, 1, kernel, padding=kernel // 2)]

    assert needed(*layers(1)) == needed(*layers(7))
    assert needed(*layers(3), size=(40, 36)) == 12 * needed(*layers(3))


@pytest.mark.parametrize("training", [False, True])
def test_measuring_leaves_the_detector_as_it_was(training: bool) -> None:
    detector = make_detector(Stack(nn.Conv2d(1, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Dropout(), nn.Conv2d(3, 1, 1)))
    detector.train(training)
    before, image = {key: value.clone() for key, value in detector.state_dict().items()}, torch.rand(1, 1, 8, 8)
    random_state = torch.get_rng_state()
    with torch.no_grad():
        assert bytes_per_image(detector, image) > 0
    assert detector.training == detector.autoencoder.layers[1].training == training
    assert all(torch.equal(value, before[key]) for key, value in detector.state_dict().items())
    assert all(parameter.grad is None for parameter in detector.parameters())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_an_image_among_many_needs_as_much_as_alone() -> None:
    """Training images are rows of one tensor; its storage is not theirs."""
    detector, images = make_detector(Stack(nn.Conv2d(1, 6, 3, padding=1))), torch.rand(1000, 1, 10, 12)
    assert bytes_per_image(detector, images[3:4]) == bytes_per_image(detector, images[3:4].clone())


def test_nothing_to_learn_needs_nothing() -> None:
    assert bytes_per_image(Detector(Blank(), ReconstructionHypothesis(), L2Distance()), torch.rand(1, 1, 8, 8)) == 0


def peak_bytes(detector: Detector, images: Tensor) -> int:
    """The most that torch had allocated during a training step, over what it had before."""
    detector.train()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as measured:
        detector.loss(images).backward()  # type: ignore[no-untyped-call]
    total = peak = 0
    for event in sorted(measured.events(), key=lambda event: event.time_range.start):
        total += event.self_cpu_memory_usage
        peak = max(peak, total)
    return peak


def sample(**changes: Any) -> dict[str, Any]:
    layer = {"channels": 16, "kernel": 3, "pooling": "max", "pooling_kernel": 3, "activation": "elu"}
    layers = {f"layer{i}_{key}": value for i in (1, 2) for key, value in {**layer, "normalization": "none"}.items()}
    return {"hypothesis": "reconstruction", "distance": "l2", **layers, **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"distance": "ssim", "layer1_channels": 3},
        {"hypothesis": "centroid", "layer1_normalization": "instance", "layer2_normalization": "batch"},
        {"layer1_channels": 64, "layer1_pooling": "average", "layer2_activation": "softplus"},
        {"layer1_kernel": 7, "layer1_pooling_kernel": 1, "layer1_activation": "relu6"},
    ],
)
def test_a_training_step_takes_about_as_much_as_was_measured(changes: dict[str, Any]) -> None:
    detector = make_detector(AutoencoderSpace(2, channels=1).freeze(sample(**changes)))
    images = torch.rand(16, 1, 48, 48)
    with torch.no_grad():
        detector.hypothesis.fit(detector(images).code)
    assert 0.7 < peak_bytes(detector, images) / (16 * bytes_per_image(detector, images[:1])) < 2


CHANNELS = 512
MEGABYTES = FLOAT * 16 * 16 * (1 + CHANNELS + 1) / 1e6
"""What one image of 16 x 16 pixels needs in `wide`: half a megabyte."""
TRAINED = 104
"""Of 130 images; every fifth one is kept for statistics."""
SETTINGS = TrialSettings(training=TrainingSettings(epochs=1), device="cpu")


def wide() -> Stack:
    return Stack(nn.Conv2d(1, CHANNELS, 1), nn.Tanh(), nn.Conv2d(CHANNELS, 1, 1))


@pytest.fixture(scope="module")
def task() -> Task:
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(170, 1, 16, 16, generator=generator)
    labels = torch.tensor([0] * 30 + [1] * 10, dtype=torch.uint8)
    held = LabelledImages(images[130:], labels)
    return Task("noise", images[:130], held, held)


def trial(task: Task, **changes: Any) -> tuple[dict[str, Any], str, list[int]]:
    children = []

    def build() -> Stack:
        children.append(wide())
        return children[0]

    result = run_model(build, task, replace(SETTINGS, **changes))
    return result.metrics, result.detail, children[0].seen[2:]  # without those that count operations and memory


def test_without_need_the_batch_is_as_it_was_asked_for(task: Task) -> None:
    metrics, _, seen = trial(task)
    assert metrics["verdict"] == "ok" and max(seen) == TRAINED
    assert seen[:2] == [64, 40]


@pytest.mark.parametrize("megabytes", [5, 10, 20])
def test_the_batch_is_cut_to_what_fits(task: Task, megabytes: int) -> None:
    metrics, _, seen = trial(task, max_memory=megabytes)
    assert metrics["verdict"] == "ok"
    assert max(seen) == int(megabytes / MEGABYTES)
    assert sum(seen[: -(-TRAINED // max(seen))]) == TRAINED, "every image is trained on all the same"


def test_a_cut_batch_is_a_smaller_batch(task: Task) -> None:
    batch = int(10 / MEGABYTES)
    small = replace(SETTINGS.training, batch_size=batch)
    cut, _, _ = trial(task, max_memory=10)
    asked, _, _ = trial(task, training=small)
    times = {"seconds": 0, "ms": 0}
    assert {**cut, **times} == {**asked, **times}


def test_windows_need_less_than_whole_images(task: Task) -> None:
    metrics, _, seen = trial(task, max_memory=5, scoring=ScoringSettings(patch=8))
    assert metrics["verdict"] == "ok"
    assert max(seen) == int(5 / (MEGABYTES / 4)), "windows too are no more at a time"


def test_a_model_of_which_not_even_8_images_fit_is_refused(task: Task) -> None:
    assert 8 * MEGABYTES > 4
    metrics, detail, seen = trial(task, max_memory=4)
    assert (metrics["verdict"], metrics["default"]) == ("over_memory", 0.0)
    needed = math.ceil(8 * MEGABYTES)
    assert detail == f"{needed} MB for 8 images, the limit is 4 MB."
    assert trial(task, max_memory=needed)[0]["verdict"] == "ok", "what the message names is enough"
    assert seen == [], "nothing was trained"
    assert "auroc" not in metrics


def test_batches_below_8_are_let_through_where_they_were_asked_for(task: Task) -> None:
    small = replace(SETTINGS.training, batch_size=4)
    metrics, _, seen = trial(task, max_memory=4, training=small)
    assert metrics["verdict"] == "ok" and seen[:26] == [4] * 26
    _, detail, _ = trial(task, max_memory=1, training=small)
    assert detail == f"{math.ceil(4 * MEGABYTES)} MB for 4 images, the limit is 1 MB."


def test_what_was_measured_is_freed() -> None:
    """Over a search of many trials it would add up: the collector does not see cycles through torch's graph."""

    class Remembers(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(1, 1, 1)

        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            output = self.layer(images).sigmoid()  # saves its output for backward
            self.output = weakref.ref(output)
            return output, images.flatten(1)

    model = Remembers()
    bytes_per_image(Detector(model, ReconstructionHypothesis(), L2Distance()), torch.zeros(1, 1, 8, 8))
    gc.collect()
    assert model.output() is None
