"""One trial: build a child model, train it on normal images, score the validation set. The one place that does it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from autoad_nni.data import Task
from autoad_nni.data.image_shape import MIN_SIDE
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector, place
from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.diagnosis import check_alive
from autoad_nni.models.memory import bytes_per_image
from autoad_nni.models.scoring import Scorer, ScoringSettings
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.models.windows import cut_patches
from autoad_nni.trial.evaluate import MAP_METRICS, REWARDS, evaluate
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "TrialResult",
    "TrialSettings",
    "check_task",
    "make_scorer",
    "pick_device",
    "run_trial",
    "score_test",
    "train_and_validate",
]

EpochListener = Callable[[int, float, dict[str, float]], None]
"""Called with (epoch from 1, training loss, validation metrics)."""

REJECTED_REWARD = 0.0
"""Reward of a trial with a verdict other than ok: the lowest value that any reward can take."""

# Batch normalization and the statistics of hypotheses want more than a few images at a time.
_LEAST_BATCH = 8
_SCORING_BATCH = 256


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What a trial needs besides the sample and the images.

    Args:
        training: How to train.
        scoring: Whether the model sees whole images or patches, and how maps are smoothed.
        reward: One of `autoad_nni.trial.evaluate.REWARDS`.
        max_macs: Refuse models with more multiply-adds for one image; None for no limit.
        max_seconds: Stop training or scoring that would take longer; None for no limit. This limit depends on the
            machine, so near it two runs can differ.
        max_memory: Megabytes for what training keeps of a batch; the batch is made smaller to fit, and a model is
            refused if not even 8 images do.
        device: ``auto`` takes CUDA when there is one.
        threads: CPU threads of torch; None for torch's choice, all cores. Trials that run side by side on all cores
            each slow one another down many times over: give cores / trials.
        seed: Seed of weights and shuffling.
        space: Name of the search space that samples are from.

    Raises:
        AutoADError: If a value is out of range or unknown.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    reward: str = "auroc"
    max_macs: int | None = None
    max_seconds: float | None = None
    max_memory: int = 4000
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = None
    seed: int = 0
    space: str = "autoencoder"

    def __post_init__(self) -> None:
        if self.reward not in REWARDS:
            raise AutoADError(f"--reward is {self.reward!r}. Expected one of {', '.join(REWARDS)}. Give one of these.")
        if self.device not in ("auto", "cpu", "cuda"):
            raise AutoADError(f"--device is {self.device!r}. Expected auto, cpu or cuda. Give one of these.")
        limits = (
            ("--max-macs", self.max_macs, "no limit"),
            ("--max-seconds", self.max_seconds, "no limit"),
            ("--threads", self.threads, "all cores"),
            ("--max-memory", self.max_memory, "4,000 megabytes"),
        )
        for name, value, default in limits:
            if value is not None and not value > 0:  # nan too
                raise AutoADError(f"{name} is {value}. Expected more than 0. Raise it, or leave it out for {default}.")
        if not 0 <= self.seed < 2**63:
            raise AutoADError(f"--seed is {self.seed}. Expected 0 to 2^63 - 1. Give --seed 0.")


@dataclass(frozen=True)
class TrialResult:
    """What a trial leaves behind.

    Attributes:
        metrics: ``default`` (the reward), the validation metrics, ``seconds``, ``macs``, ``parameters``, ``verdict``.
        detector: The trained detector; None unless the verdict is ok.
        detail: One sentence on a verdict other than ok.
    """

    metrics: dict[str, float | int | str]
    detector: Detector | None
    detail: str = ""


def pick_device(name: str) -> torch.device:
    """Turns ``auto``, ``cpu`` or ``cuda`` into a device; AutoADError when CUDA is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise AutoADError("--device is cuda, but torch finds no CUDA device. Give --device auto or cpu.")
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")


def check_task(task: Task, settings: TrialSettings) -> None:
    """Raises AutoADError unless the images have what the settings ask for: masks for the reward, room for patches."""
    if settings.reward in MAP_METRICS and task.validation.masks is None:
        raise AutoADError(
            f"--reward is {settings.reward}, and {task.name} has no masks of defects. Expected a ground_truth folder "
            "with a mask for each image with a defect. Add it, or give --reward auroc."
        )
    patch = settings.scoring.patch
    if patch is not None and not MIN_SIDE <= patch <= min(task.height, task.width):
        smaller = max(MIN_SIDE, min(32, min(task.height, task.width) // 2))
        raise AutoADError(
            f"--patch is {patch}, the images are {task.width} x {task.height}. Expected {MIN_SIDE} pixels up to the "
            f"shorter side. Give for instance --patch {smaller}, or leave it out to train on whole images."
        )


def make_scorer(detector: Detector, image: Tensor, scoring: ScoringSettings, *, max_memory: int = 4000) -> Scorer:
    """Makes a trained detector ready for images, as many at a time as fit into memory.

    Args:
        detector: Trained.
        image: One of the images that it is for, ``(channels, height, width)``.
        scoring: Windows and smoothing.
        max_memory: Megabytes.
    """
    side = scoring.patch
    seen = image if side is None else image[:, :side, :side]
    return _scorer_of(detector, scoring, _images_within(max_memory, bytes_per_image(detector, seen)))


def _images_within(megabytes: int, bytes_each: int) -> int:
    return megabytes * 10**6 // max(bytes_each, 1)


def _scorer_of(detector: Detector, scoring: ScoringSettings, batch: int) -> Scorer:
    return Scorer(detector, scoring, batch_size=min(_SCORING_BATCH, max(batch, 1)))


def score_test(detector: Detector, task: Task, settings: TrialSettings) -> dict[str, float]:
    """Scores the test set. It is read once, for the model that is kept; its thresholds are those of validation."""
    scorer = make_scorer(detector, task.train[0], settings.scoring, max_memory=settings.max_memory)
    return evaluate(scorer, task.test, normal=task.validation.normal)


def run_trial(
    sample: Mapping[str, Any],
    task: Task,
    settings: TrialSettings,
    *,
    on_epoch: EpochListener | None = None,
    shared: SharedWeights | None = None,
) -> TrialResult:
    """Train and validate the model that a sample describes; see `train_and_validate`."""
    check_task(task, settings)

    def build() -> Detector:
        return build_detector(sample, channels=task.channels, space=settings.space)

    return train_and_validate(build, task, settings, on_epoch=on_epoch, shared=shared)


def train_and_validate(
    build: Callable[[], Detector],
    task: Task,
    settings: TrialSettings,
    *,
    on_epoch: EpochListener | None = None,
    shared: SharedWeights | None = None,
) -> TrialResult:
    """Trains and validates one model.

    The global random state is the same before and after, so a search in this process is not disturbed.

    Args:
        build: Makes the detector with fresh weights.
        task: Only its training and validation images are read.
        settings: Limits, training, reward, seed.
        on_epoch: Called after each epoch.
        shared: Weights to start from, and to write back if the verdict is ok; None to start fresh.

    Returns:
        The result; a model that is too costly or fails gets its verdict and the reward 0.0, not an exception.
    """
    started = time.monotonic()
    device = pick_device(settings.device)
    if settings.threads is not None:
        torch.set_num_threads(settings.threads)
    metrics: dict[str, float | int | str] = {"default": REJECTED_REWARD}

    def seconds_left() -> float | None:
        if settings.max_seconds is None:
            return None
        spent = time.monotonic() - started
        if spent >= settings.max_seconds:
            raise RejectedTrial(Verdict.OVER_TIME, f"{spent:.3g} s so far; the limit is {settings.max_seconds:g} s.")
        return settings.max_seconds - spent

    try:
        # Training is inside too: a plug-in's dropout draws from the global state.
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            images = _training_images(task, settings)
            detector = _build(build, images, settings, metrics, device)
            if shared is not None:
                shared.load_into(detector.autoencoder)
            validation = _fit_and_validate(detector, images, task, settings, seconds_left, on_epoch)
        if shared is not None:
            shared.store(detector.autoencoder)
        metrics.update(validation)
        metrics.update(default=validation[settings.reward], verdict=Verdict.OK.value)
        result = TrialResult(metrics, detector)
    except RejectedTrial as rejection:
        metrics.update(default=REJECTED_REWARD, verdict=rejection.verdict.value)
        result = TrialResult(metrics, None, rejection.detail)
    metrics["seconds"] = round(time.monotonic() - started, 3)
    return result


def _training_images(task: Task, settings: TrialSettings) -> Tensor:
    side = settings.scoring.patch
    return task.train if side is None else cut_patches(task.train, side, seed=settings.seed)


def _build(
    build: Callable[[], Detector],
    images: Tensor,
    settings: TrialSettings,
    metrics: dict[str, float | int | str],
    device: torch.device,
) -> Detector:
    detector = build()
    macs = count_macs(detector.autoencoder, *images.shape[1:])
    metrics["macs"] = macs
    metrics["parameters"] = sum(parameter.numel() for parameter in detector.autoencoder.parameters())
    if settings.max_macs is not None and macs > settings.max_macs:
        raise RejectedTrial(
            Verdict.OVER_MACS, f"{macs:,} multiply-adds for one image, --max-macs is {settings.max_macs:,}"
        )
    return place(detector, device)


def _batch_that_fits(detector: Detector, image: Tensor, settings: TrialSettings) -> int:
    """The most images of which training can keep what it needs at a time."""
    needed = bytes_per_image(detector, image)
    batch = _images_within(settings.max_memory, needed)
    least = min(_LEAST_BATCH, settings.training.batch_size)
    if batch < least:
        megabytes = math.ceil(least * needed / 10**6)  # the lowest limit that would do
        raise RejectedTrial(
            Verdict.OVER_MEMORY, f"{megabytes:,} MB for {least} images, --max-memory is {settings.max_memory:,} MB"
        )
    return batch


def _fit_and_validate(
    detector: Detector,
    images: Tensor,
    task: Task,
    settings: TrialSettings,
    seconds_left: Callable[[], float | None],
    on_epoch: EpochListener | None,
) -> dict[str, float]:
    losses: list[float] = []
    batch = _batch_that_fits(detector, images[0], settings)
    training = replace(settings.training, batch_size=min(settings.training.batch_size, batch))
    scorer = _scorer_of(detector, settings.scoring, batch)

    def after_epoch(epoch: int, loss: float) -> None:
        losses.append(loss)
        if on_epoch is None or epoch == training.epochs:
            return
        try:
            on_epoch(epoch, loss, evaluate(scorer, task.validation, max_seconds=seconds_left()))
        except RejectedTrial as rejection:
            # The last epoch decides: scores that are all equal now can come apart later.
            if rejection.verdict is Verdict.OVER_TIME:
                raise

    fit(
        detector,
        images,
        settings=training,
        seed=settings.seed,
        calibrate=settings.scoring.two_sided,
        max_seconds=seconds_left(),
        on_epoch=after_epoch,
    )
    check_alive(detector, images[:batch])
    validation = evaluate(scorer, task.validation, max_seconds=seconds_left())
    if on_epoch is not None:
        on_epoch(training.epochs, losses[-1], validation)
    return validation
