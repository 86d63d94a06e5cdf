"""One trial: build a model, train it on normal images, evaluate it on validation. The one place that does it."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from autoad_nni.data import Task
from autoad_nni.data.image_shape import MIN_SIDE
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector, place
from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.ensemble import Ensemble, mean_of
from autoad_nni.models.memory import bytes_per_image
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Prediction, Scorer, ScoringSettings, predict
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.models.surroundings import keeping_surroundings, torch_threads
from autoad_nni.trial.evaluate import MAP_METRICS, figures_of
from autoad_nni.trial.fitting import (
    EpochListener,
    RungListener,
    Validated,
    fit_and_validate,
    images_within,
    inputs_of,
    scorer_of,
)
from autoad_nni.trial.plugins import plugins_of_trial
from autoad_nni.trial.record import FAILED_REWARD, TrialRecord
from autoad_nni.trial.settings import TrialSettings, pick_device
from autoad_nni.trial.timing import check_ms, ms_per_image, network_ms_per_image
from autoad_nni.trial.weights import weights_of
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "OnTest",
    "Rungs",
    "TrialResult",
    "check_task",
    "check_whole_images",
    "evaluate_on_test",
    "make_scorer",
    "predict_kept",
    "run_trial",
    "train_and_validate",
]


# Of the processor time of a trial, spent on timing its model beyond the least number of passes.
_TIMING_SHARE = 0.02


@dataclass
class _Costs:
    """What is known of a model's costs, as far as its trial has come."""

    macs: int | None = None
    parameters: int | None = None
    ms: float | None = None

    def take_ms(self, ms: float, limit: float | None) -> None:
        self.ms = ms
        check_ms(ms, limit)


@dataclass(frozen=True)
class TrialResult:
    """A trial's record, and the model that it trained.

    Attributes:
        record: How the trial ended, with every figure.
        detector: The trained detector; None unless the verdict is ok.
    """

    record: TrialRecord
    detector: Detector | None


class Rungs(NamedTuple):
    """Points of a training at which it may be stopped.

    Attributes:
        shares: Of the training's steps before each, ascending, each in (0, 1).
        goes_on: Called with the index of the rung and how the trial ends if it does not go on; returns whether it does.
    """

    shares: Sequence[float]
    goes_on: Callable[[int, TrialRecord], bool]


class _Stopped(Exception):
    """Ends a training at a rung; has the record."""

    def __init__(self, record: TrialRecord) -> None:
        super().__init__()
        self.record = record


def run_trial(
    sample: Mapping[str, Any],
    task: Task,
    settings: TrialSettings | None = None,
    *,
    number: int = 0,
    on_epoch: EpochListener | None = None,
    shared: SharedWeights | None = None,
    reading: Reading | None = None,
    rungs: Rungs | None = None,
) -> TrialResult:
    """Train and validate the model that a sample describes.

    Random states, torch's number of threads and what else plugins may change are the same before and after
    (:func:`autoad_nni.models.surroundings.keeping_surroundings`).

    Args:
        sample: A value for every label of the search space.
        task: Only its training and validation images are read.
        settings: Limits, training, reward, seed.
        number: Of the trial in its search.
        on_epoch: Called after each epoch.
        shared: Weights to start from, and to write back if the verdict is ok; None to start fresh.
        reading: How the model is read; None for the best on validation.
        rungs: Where the training may be stopped; a model in which nothing is trained by steps is not.

    Returns:
        The result; a model that is too costly or fails gets its verdict and the reward 0.0, not an exception.

    Raises:
        AutoADError: The sample is not in the space, a plugin is not installed, or the images lack what the settings
            need.

    Example:
        >>> from autoad_nni.data import TaskOptions, load_task
        >>> from autoad_nni.models.training import TrainingSettings
        >>> layer = {"channels": 3, "kernel": 3, "pooling": "max", "pooling_kernel": 3, "normalization": "batch"}
        >>> sample = {f"layer1_{key}": value for key, value in layer.items()} | {"layer1_activation": "elu"}
        >>> task = load_task(TaskOptions(data="digits", abnormal=("uniform",)))
        >>> sample |= {"hypothesis": "density", "distance": "l2"}
        >>> result = run_trial(sample, task, TrialSettings(training=TrainingSettings(epochs=5)))
        >>> result.record.verdict.value, sorted(result.record.validation)
        ('ok', ['aupr_in', 'aupr_out', 'auroc'])
    """
    settings = TrialSettings() if settings is None else settings
    check_task(task, settings)
    plugins = plugins_of_trial(sample, settings.space, task.data_sets)

    def build() -> Detector:
        return build_detector(sample, channels=task.channels, space=settings.space, extraction=settings.extraction)

    if rungs is not None:
        known: dict[str, Any] = {"number": number, "sample": dict(sample), "plugins": plugins}
        ask = rungs.goes_on
        rungs = rungs._replace(goes_on=lambda rung, record: ask(rung, replace(record, **known)))
    result = train_and_validate(build, task, settings, on_epoch=on_epoch, shared=shared, reading=reading, rungs=rungs)
    if result.detector is not None:
        plugins |= weights_of(result.detector.autoencoder)
    record = replace(result.record, number=number, sample=dict(sample), plugins=plugins)
    return TrialResult(record, result.detector)


def train_and_validate(
    build: Callable[[], Detector],
    task: Task,
    settings: TrialSettings,
    *,
    on_epoch: EpochListener | None = None,
    shared: SharedWeights | None = None,
    reading: Reading | None = None,
    rungs: Rungs | None = None,
) -> TrialResult:
    """Train and validate a model that need not be in a search space; otherwise as `run_trial`.

    The record has no sample and no plugins.

    Args:
        build: Makes the detector with fresh weights.
        task: Only its training and validation images are read.
        settings: Limits, training, reward, seed.
        on_epoch: Called after each epoch.
        shared: Weights to start from, and to write back if the verdict is ok; None to start fresh.
        reading: How the model is read; None for the best on validation.
        rungs: Where the training may be stopped.
    """
    started, processor_started = time.monotonic(), time.process_time()
    device = pick_device(settings.device)
    costs = _Costs()

    def seconds_left() -> float | None:
        if settings.max_seconds is None:
            return None
        spent = time.monotonic() - started
        if spent >= settings.max_seconds:
            raise RejectedTrial(Verdict.OVER_TIME, f"{spent:.3g} s so far; the limit is {settings.max_seconds:g} s.")
        return settings.max_seconds - spent

    def record(verdict: Verdict, validated: Validated | None, detail: str = "") -> TrialRecord:
        return TrialRecord(
            number=0,
            sample={},
            verdict=verdict,
            reward=FAILED_REWARD if validated is None else validated.figures[settings.reward],
            validation={} if validated is None else validated.figures,
            **vars(costs),
            seconds=round(time.monotonic() - started, 3),
            detail=detail,
        )

    def at_rung(rung: int, validated: Validated | None, detail: str) -> None:
        assert rungs is not None
        share = f"At {rungs.shares[rung]:.3g} of its steps"
        stopped = record(Verdict.STOPPED, validated, f"{share}: {detail}" if detail else f"{share} others did better.")
        if not rungs.goes_on(rung, stopped):
            raise _Stopped(stopped)

    on_rung = None if rungs is None else RungListener(rungs.shares, at_rung)
    try:
        # Training is inside too: a plugin's dropout draws from the global state, and plugins change others.
        with torch_threads(settings.threads), keeping_surroundings([device] if device.type == "cuda" else []):
            torch.manual_seed(settings.seed)
            model = _build(build, task, settings, costs, device)
            if shared is not None:
                shared.load_into(model.autoencoder)
            validated = fit_and_validate(model, task, settings, seconds_left, on_epoch, reading, on_rung)
            budget_s = _TIMING_SHARE * (time.process_time() - processor_started)
            scorer = _scorer_of(model, task, settings)
            costs.take_ms(ms_per_image(scorer, task.validation.images, budget_s=budget_s), settings.max_ms)
        if shared is not None:
            shared.store(model.autoencoder)
    except RejectedTrial as rejection:
        return TrialResult(record(rejection.verdict, None, rejection.detail), None)
    except _Stopped as stop:
        return TrialResult(stop.record, None)
    name = "" if settings.scoring.patch is not None else model.reader.reading.name
    ended = replace(record(Verdict.OK, validated), reading=name, fingerprint=_fingerprint(validated.scores))
    return TrialResult(ended, model)


def _fingerprint(scores: Tensor) -> str:
    # The order says what the metrics say; the values beside it, to three digits, survive another order of summing.
    standardized = (scores - scores.mean()) / scores.std(correction=0)
    return hashlib.sha256((standardized * 1000).round().to(torch.int64).numpy().tobytes()).hexdigest()[:8]


def check_task(task: Task, settings: TrialSettings) -> None:
    """Raise AutoADError unless the images have what the settings ask for: masks for the reward, room for windows."""
    if settings.reward in MAP_METRICS and task.validation.masks is None:
        raise AutoADError(
            f"[[reward]] is {settings.reward}, and {task.name} has no masks of defects. Expected a ground_truth folder "
            "with a mask for each image with a defect. Add it, or give [[reward=auroc]]."
        )
    patch = settings.scoring.patch
    if patch is not None and not MIN_SIDE <= patch <= min(task.height, task.width):
        smaller = max(MIN_SIDE, min(32, min(task.height, task.width) // 2))
        raise AutoADError(
            f"[[patch]] is {patch}, the images are {task.width} x {task.height}. Expected {MIN_SIDE} pixels up to the "
            f"shorter side. Give for instance [[patch={smaller}]], or leave it out to train on whole images."
        )


def check_whole_images(settings: TrialSettings) -> None:
    """Raise AutoADError if windows are asked for, for a model of features."""
    if settings.scoring.patch is not None:
        raise AutoADError(
            "[[patch]] is given for a model of features, whose locations are its windows. Expected whole images. Leave "
            "[[patch]] out."
        )


def make_scorer(detector: Detector, image: Tensor, scoring: ScoringSettings, *, max_memory: int = 4000) -> Scorer:
    """Make a trained detector ready for images, as many at a time as fit into memory.

    Args:
        detector: Trained.
        image: One of the images that it is for, ``(channels, height, width)``.
        scoring: Windows and smoothing.
        max_memory: Megabytes.
    """
    side = scoring.patch
    seen = image[None] if side is None else image[None, :, :side, :side]
    one = detector.inputs(seen.to(detector.device))
    return scorer_of(detector, scoring, images_within(max_memory, bytes_per_image(detector, one)))


def predict_kept(scorer: Scorer | Ensemble, images: Tensor) -> Prediction:
    """Predict scores and maps; features are taken from the cache if they are there.

    Args:
        scorer: One model, or several.
        images: ``(n, channels, height, width)``.

    Raises:
        RejectedTrial: A score or a map is not finite.
    """
    if isinstance(scorer, Scorer):
        return predict(scorer, inputs_of(scorer.detector, images))
    return mean_of(scorer.scorers, [predict_kept(member, images) for member in scorer.scorers])


class OnTest(NamedTuple):
    """What the test set says of a model.

    Attributes:
        figures: The metrics; None if they cannot be computed.
        detail: Why they cannot be computed; empty otherwise.
        prediction: Of the test images; None if it is not finite.
    """

    figures: dict[str, float] | None
    detail: str
    prediction: Prediction | None


def evaluate_on_test(
    scorer: Scorer | Ensemble, task: Task, settings: TrialSettings, *, validation: Prediction | None = None
) -> OnTest:
    """Read the test set for the model that is kept; its thresholds are those of validation.

    The test set is read once in a search, never while choosing.

    Args:
        scorer: One model, or several.
        task: The images.
        settings: Those of the trials.
        validation: The prediction of the validation images, where it is there already.
    """
    prediction = None
    try:
        with torch_threads(settings.threads):
            of_normal = None
            if task.test.masks is not None:
                if validation is None:
                    validation = predict_kept(scorer, task.validation.images)
                of_normal = validation.anomaly_map[task.validation.labels == 0]
            prediction = predict_kept(scorer, task.test.images)
            return OnTest(figures_of(prediction, task.test, of_normal), "", prediction)
    except RejectedTrial as rejection:  # validation was in order: images of the test set are of another kind
        return OnTest(None, str(rejection), prediction)


def _build(
    build: Callable[[], Detector],
    task: Task,
    settings: TrialSettings,
    costs: _Costs,
    device: torch.device,
) -> Detector:
    detector = build()
    if detector.takes_features:
        check_whole_images(settings)
    side = settings.scoring.patch
    macs = count_macs(detector.autoencoder, task.channels, side or task.height, side or task.width)
    costs.macs = macs
    costs.parameters = sum(parameter.numel() for parameter in detector.autoencoder.parameters())
    if settings.max_macs is not None and macs > settings.max_macs:
        raise RejectedTrial(
            Verdict.OVER_MACS, f"{macs:,} multiply-adds for one image, the limit is {settings.max_macs:,}."
        )
    detector = place(detector, device)
    if settings.max_ms is not None:  # a model is refused before it is trained, if its network alone takes longer
        # Before features are prepared, no more than the extractor can run.
        scorer = Scorer(detector) if detector.takes_features else _scorer_of(detector, task, settings)
        costs.take_ms(network_ms_per_image(scorer, task.validation.images), settings.max_ms)
        costs.ms = None
    return detector


def _scorer_of(detector: Detector, task: Task, settings: TrialSettings) -> Scorer:
    return make_scorer(detector, task.train[0], settings.scoring, max_memory=settings.max_memory)
