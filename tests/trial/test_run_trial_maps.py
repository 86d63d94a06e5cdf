"""Trials on images with masks of defects: whole images and patches, map metrics as rewards, limits at 224 pixels."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from detectors import make_detector, run_model
from torch import Tensor, nn
from toys import ReadNever

from autoad_nni.data import LabelledImages, Task
from autoad_nni.errors import AutoADError
from autoad_nni.models import stopwatch
from autoad_nni.models.readings import WHOLE as WHOLE_IMAGE
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.trial import run as trial_run
from autoad_nni.trial import timing
from autoad_nni.trial.evaluate import IMAGE_METRICS, MAP_METRICS, REWARDS, evaluate, figures_of
from autoad_nni.trial.run import check_task, evaluate_on_test
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import AutoencoderSpace

SIDE, PATCH = 32, 16
WHOLE = TrialSettings(training=TrainingSettings(epochs=2, batch_size=16), device="cpu")
PATCHES = replace(WHOLE, scoring=ScoringSettings(patch=PATCH))
MODES = pytest.mark.parametrize("settings", [WHOLE, PATCHES], ids=["whole", "patches"])


class Conv(nn.Module):
    """A small child; notes the sizes of what it sees while training."""

    hypothesis_name, distance_name = "density", "l2"
    sizes: set[tuple[int, ...]]

    def __init__(self, channels: int = 1) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(channels, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(4))
        self.up = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(6, channels, 3, padding=1), nn.Sigmoid())
        self.sizes = set()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.training:
            self.sizes.add(tuple(images.shape[2:]))
        code = self.down(images)
        return self.up(code), code.flatten(1)

    def macs(self, height: int, width: int) -> int:
        return height * width * 100


def stripes(n: int, side: int, generator: torch.Generator) -> Tensor:
    """A texture: soft stripes at any phase, with noise."""
    phase = torch.rand(n, 1, 1, 1, generator=generator) * 8
    rows = torch.arange(side).view(1, 1, side, 1) + phase
    return 0.4 + 0.15 * torch.sin(rows) + 0.1 * torch.rand(n, 1, side, side, generator=generator)


def labelled(n_good: int, n_bad: int, side: int, generator: torch.Generator) -> LabelledImages:
    images = stripes(n_good + n_bad, side, generator)
    masks = torch.zeros(n_good + n_bad, side, side, dtype=torch.bool)
    # From hardly to be seen to clear.
    for i, strength in zip(range(n_good, n_good + n_bad), torch.linspace(0.03, 0.7, n_bad), strict=True):
        top, left = torch.randint(side - side // 4, (2,), generator=generator).tolist()
        masks[i, top : top + side // 6, left : left + side // 4] = True
        images[i, 0, masks[i]] *= 1 + strength * (torch.rand(int(masks[i].sum()), generator=generator) - 0.5)
    return LabelledImages(images, torch.tensor([0] * n_good + [1] * n_bad, dtype=torch.uint8), masks)


def textured(side: int, n: int, *, test: bool = False) -> Task:
    generator = torch.Generator().manual_seed(0)
    train, validation = stripes(n, side, generator), labelled(n // 2, n // 4, side, generator)
    held = labelled(n // 2, n // 4, side, generator) if test else ReadNever()
    return Task("stripes vs defects", train, validation, held)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def task() -> Task:
    return textured(SIDE, 32)


def without_seconds(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metrics.items() if name not in ("seconds", "ms")}


@MODES
def test_a_trial_with_masks_has_the_metrics_of_maps(task: Task, settings: TrialSettings) -> None:
    result = run_model(Conv, task, replace(settings, reward="pixel_auroc"))
    assert result.metrics["verdict"] == "ok"
    reading = {"reading"} if settings is WHOLE else set()  # in windows there is one
    costs = {"macs", "parameters", "ms", "seconds"}
    assert set(result.metrics) == {"default", *REWARDS, *costs, "verdict", "fingerprint", *reading}
    assert all(0 <= float(result.metrics[name]) <= 1 for name in REWARDS)
    assert result.detector is not None and not result.detector.training
    again = evaluate(Scorer(result.detector, settings.scoring), task.validation)
    assert again == pytest.approx({name: result.metrics[name] for name in REWARDS}, abs=1e-5)
    assert float(result.metrics["pixel_auroc"]) > 0.6, "defects are hard to reconstruct"


@MODES
def test_a_model_trains_and_counts_on_what_it_is_used_on(task: Task, settings: TrialSettings) -> None:
    child = Conv()
    side = settings.scoring.patch or SIDE
    metrics = run_model(lambda: child, task, settings).metrics
    assert child.sizes == {(side, side)}
    assert metrics["macs"] == side * side * 100


@MODES
@pytest.mark.parametrize("reward", REWARDS)
def test_the_reward_is_the_chosen_metric(task: Task, settings: TrialSettings, reward: str) -> None:
    one = replace(settings, training=replace(settings.training, epochs=1))
    metrics, _, detector = run_model(Conv, task, replace(one, reward=reward))
    assert detector is not None
    assert metrics["verdict"] == "ok" and metrics["default"] == metrics[reward]
    same = {name for name in REWARDS if metrics[name] == metrics[reward]}
    # In windows both are from the highest value of the map, and with a reading that takes it.
    highest = detector.reader.reading != WHOLE_IMAGE and detector.reader.reading.pooling == "max"
    alike = {"auroc", "image_auroc"} if settings is PATCHES or highest else set()
    assert same == (alike if reward in alike else {reward}), "or it proves nothing"


@MODES
def test_without_masks_only_the_metrics_of_maps_are_missing(task: Task, settings: TrialSettings) -> None:
    images = LabelledImages(task.validation.images, task.validation.labels)
    metrics, whole = (run_model(Conv, one, settings).metrics for one in (replace(task, validation=images), task))
    assert set(whole) - set(metrics) == set(MAP_METRICS)
    assert without_seconds({**whole, **metrics}) == without_seconds(whole)


@MODES
def test_the_same_seed_gives_the_same_trial_heard_or_not(task: Task, settings: TrialSettings) -> None:
    """Of patches too: places are drawn from the seed, and scoring between epochs disturbs nothing."""
    epochs: list[dict[str, float]] = []
    heard = run_model(Conv, task, settings, on_epoch=lambda epoch, loss, figures: epochs.append(figures)).metrics
    torch.rand(3)
    alone = run_model(Conv, task, settings).metrics
    assert without_seconds(heard) == without_seconds(alone)
    assert len(epochs) == 2 and all(list(figures) == list(REWARDS) for figures in epochs)
    assert epochs[-1] == {name: alone[name] for name in REWARDS} != epochs[0]
    assert without_seconds(run_model(Conv, task, replace(settings, seed=1)).metrics) != without_seconds(alone)


class Counting(Conv):
    """Counts the images or windows that it sees in evaluation mode."""

    n_evaluated = 0

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            self.n_evaluated += len(images)
        return super().forward(images)


@MODES
def test_an_evaluation_between_epochs_is_one_pass_over_the_validation_images(
    task: Task, settings: TrialSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As many passes are timed in both: otherwise their number depends on how long the trial took.
    monkeypatch.setattr(timing, "_MOST_PASSES", timing._LEAST_PASSES)
    settings, heard, alone = replace(settings, training=replace(settings.training, epochs=3)), Counting(), Counting()
    run_model(lambda: heard, task, settings, on_epoch=lambda *figures: None)
    run_model(lambda: alone, task, settings)
    n_windows = 1 if settings.scoring.patch is None else 3 * 3
    n_passes, rest = divmod(heard.n_evaluated - alone.n_evaluated, n_windows * len(task.validation.labels))
    assert (n_passes, rest) == (2, 0), "after the first and the second epoch; after the last one either way"


@MODES
def test_the_test_set_is_scored_as_the_validation_set_with_its_threshold(settings: TrialSettings) -> None:
    task = textured(SIDE, 32, test=True)
    # Flat normal images in validation: their threshold is then another than that of the test's.
    normal = task.validation.labels == 0
    task.validation.images[normal] = 0.4 + (task.validation.images[normal] - 0.4) / 4
    detector = run_model(Conv, task, settings).detector
    assert detector is not None
    scorer = Scorer(detector, settings.scoring)
    figures, detail, prediction = evaluate_on_test(scorer, task, settings)
    assert figures is not None and prediction is not None and detail == ""
    given = predict(scorer, task.validation.images)
    assert evaluate_on_test(scorer, task, settings, validation=given).figures == figures
    of_normal = predict(scorer, task.validation.normal).anomaly_map
    assert figures == figures_of(predict(scorer, task.test.images), task.test, of_normal)
    assert figures != evaluate(scorer, task.validation)
    own = evaluate(scorer, task.test)
    assert own["rpro"] != figures["rpro"] and {**own, "rpro": 0} == {**figures, "rpro": 0}


@pytest.mark.parametrize("reward", MAP_METRICS)
def test_a_reward_from_masks_needs_masks(task: Task, reward: str) -> None:
    images = LabelledImages(task.validation.images, task.validation.labels)
    with pytest.raises(AutoADError) as caught:
        check_task(replace(task, validation=images), replace(WHOLE, reward=reward))
    assert str(caught.value) == (
        f"reward is {reward}, and stripes vs defects has no masks of defects. Expected a ground_truth folder with a "
        "mask for each image with a defect. Add it, or give reward=auroc."
    )
    check_task(task, replace(WHOLE, reward=reward))
    for image_reward in IMAGE_METRICS:
        check_task(replace(task, validation=images), replace(WHOLE, reward=image_reward))


@pytest.mark.parametrize("patch", [0, -8, 7, SIDE + 1])
def test_a_patch_that_fits_no_image(task: Task, patch: int) -> None:
    wrong = replace(WHOLE, scoring=ScoringSettings(patch=patch))
    with pytest.raises(AutoADError, match=rf"^patch is {patch}, the images are 32 x 32\. Expected 8 pixels up to"):
        check_task(task, wrong)
    wide = replace(task, train=torch.zeros(4, 1, 10, 64))
    with pytest.raises(AutoADError, match=r"^patch is 11, the images are 64 x 10\."):
        check_task(wide, replace(WHOLE, scoring=ScoringSettings(patch=11)))
    for side, advice in ((8, 8), (16, 8), (30, 15), (64, 32), (224, 32)):
        small = replace(task, train=torch.zeros(4, 1, side, side))
        with pytest.raises(AutoADError, match=rf"for instance patch={advice}, or leave it out"):
            check_task(small, replace(WHOLE, scoring=ScoringSettings(patch=300)))
        check_task(small, replace(WHOLE, scoring=ScoringSettings(patch=advice)))
    for fits in (8, SIDE):
        check_task(task, replace(WHOLE, scoring=ScoringSettings(patch=fits)))


# At 224 pixels.


def sample(n_layers: int, **changes: Any) -> dict[str, Any]:
    layer = {"channels": 16, "kernel": 3, "pooling": "max", "pooling_kernel": 3, "activation": "elu"}
    layers = {
        f"layer{i}_{key}": changes.get(key, value)
        for i in range(1, n_layers + 1)
        for key, value in {**layer, "normalization": "none"}.items()
    }
    return {"hypothesis": "density", "distance": "l2", **layers}


@pytest.fixture(scope="module")
def large() -> Task:
    grey = textured(224, 16)
    held = LabelledImages(grey.validation.images.expand(-1, 3, -1, -1), grey.validation.labels, grey.validation.masks)
    return replace(grey, train=grey.train.expand(-1, 3, -1, -1).contiguous(), validation=held)


def built(sample: dict[str, Any], on_pass: Callable[[int], None]) -> nn.Module:
    """The model; says how many images each pass has."""
    child: nn.Module = AutoencoderSpace.for_labels(sample, channels=3).freeze(sample)
    child.register_forward_hook(lambda module, inputs, output: on_pass(len(output[0])))
    return child


def in_224(sample: dict[str, Any], task: Task, **changes: Any) -> tuple[dict[str, Any], str, list[int]]:
    """What a trial ends with, and how many images each pass of the model had."""
    passes: list[int] = []
    settings = replace(WHOLE, training=TrainingSettings(epochs=1, batch_size=8), **changes)
    result = run_model(lambda: built(sample, passes.append), task, settings)
    return result.metrics, result.detail, passes


class Clock:
    """The time of a trial, which stands still but for what a test adds."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    perf_counter = process_time = monotonic


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    for module in (stopwatch, trial_run):
        monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_small_model_is_searched_with_at_224_pixels(large: Task) -> None:
    cheap = sample(2, channels=3, pooling_kernel=5)
    metrics, _, passes = in_224(cheap, large, reward="aupro", max_macs=10**8, max_memory=1000)
    assert metrics["verdict"] == "ok" and sum(passes) >= len(large.train)
    assert metrics["default"] == metrics["aupro"] and set(REWARDS) < set(metrics)


def test_a_giant_is_refused_before_training_at_224_pixels(large: Task) -> None:
    giant = sample(3, channels=256, kernel=7, pooling_kernel=1)
    metrics, detail, passes = in_224(giant, large, max_macs=10**9)
    assert (metrics["verdict"], metrics["default"], passes) == ("over_macs", 0.0, [])
    assert metrics["macs"] > 2 * 49 * 256 * 256 * 224**2 and f"{metrics['macs']:,} multiply-adds" in detail


def test_what_needs_too_much_memory_is_refused_before_training_at_224_pixels(large: Task) -> None:
    """64 channels at full size: 13 MB for each time they are kept."""
    wide = sample(1, channels=64, kernel=1, pooling_kernel=1)
    metrics, detail, passes = in_224(wide, large, max_memory=100)
    assert (metrics["verdict"], metrics["default"]) == ("over_memory", 0.0)
    assert sum(passes) < len(large.train), "not an epoch"
    needed = int(detail.split(" MB for 8 images")[0])
    assert 8 * 2 * 13 < needed < 8 * 6 * 13
    # In patches of a seventh of the side, 1/49 of it.
    metrics, detail, _ = in_224(wide, large, max_memory=8, scoring=ScoringSettings(patch=64))
    assert metrics["verdict"] == "over_memory"
    assert int(detail.split(" MB for 8 images")[0]) == pytest.approx(needed * (64 / 224) ** 2, abs=1)


def test_a_slow_model_is_stopped_while_training_at_224_pixels(large: Task, clock: Clock) -> None:
    """A hundred passes at 8 images a step; some steps are enough to see where it leads."""
    seen: list[int] = []

    def on_pass(n_images: int) -> None:
        seen.append(n_images)
        clock.now += 0.05

    settings = replace(WHOLE, training=TrainingSettings(epochs=100, batch_size=8), max_seconds=1.0)
    metrics = run_model(lambda: built(sample(1, channels=3), on_pass), large, settings).metrics
    assert (metrics["verdict"], metrics["default"]) == ("over_time", 0.0)
    assert sum(seen) < 100 * 16 / 4, "long before the end"
    assert float(metrics["seconds"]) == pytest.approx(clock.now) and clock.now <= 1.05, "hardly over the limit"


class SlowToScore(Conv):
    """Takes a twentieth of a second for a batch of windows, but only when it scores."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if not self.training:
            self.clock.now += 0.05
        return super().forward(images)


def test_a_model_that_is_slow_to_score_in_windows_is_stopped_at_224_pixels(clock: Clock) -> None:
    task = textured(224, 40)
    settings = replace(
        WHOLE, scoring=ScoringSettings(patch=64), training=TrainingSettings(epochs=1), max_memory=3, max_seconds=2.0
    )
    metrics = run_model(lambda: SlowToScore(clock), replace(task, train=task.train[:2]), settings).metrics
    assert metrics["verdict"] == "over_time"
    assert float(metrics["seconds"]) == pytest.approx(clock.now)
    assert clock.now < 4, "scoring all takes longer than twice the limit"


def test_random_models_train_and_map_at_224_pixels(large: Task) -> None:
    """Of every kind, with what a test can spend on one; what costs more is refused by --max-macs."""
    rng, tried = random.Random(0), 0
    space = AutoencoderSpace(3, channels=3)
    choices = {label: list(choice.values) for label, choice in space.simplify().items()}
    images = large.train[:2]
    seen: set[object] = set()
    while tried < 10:
        drawn = {label: rng.choice(values) for label, values in choices.items()}
        with torch.device("meta"):
            macs = space.freeze(drawn).macs(224, 224)
        if macs > 5e7:
            continue
        tried += 1
        seen |= set(drawn.values())
        detector = make_detector(space.freeze(drawn))
        fit(detector, images, settings=TrainingSettings(epochs=1, batch_size=2), seed=0)
        assert predict(Scorer(detector), images).anomaly_map.shape == (2, 1, 224, 224), drawn
        sharp = predict(Scorer(detector, ScoringSettings(smoothing=0)), images)
        with torch.inference_mode():
            distances = detector.eval()(images).distance / detector.distance_scale
        torch.testing.assert_close(sharp.anomaly_map.mean((1, 2, 3)), distances, rtol=1e-3, atol=1e-4)
        assert sharp.score.isfinite().all()
    assert {"density", "cluster", "centroid", "reconstruction", "l1", "l2", "l21", "ssim"} < seen
