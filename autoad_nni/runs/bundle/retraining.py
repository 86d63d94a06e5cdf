"""The winner of a search trained again, on all normal images that its threshold does not need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task, load_task
from autoad_nni.data.plan import plan_task
from autoad_nni.data.split import cut, generator
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, rank_of
from autoad_nni.models.detector import Detector
from autoad_nni.models.readings import Reading
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.model import Model
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.winner import choose_winner
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings

__all__ = ["Retrained", "retrain"]


class Retrained(NamedTuple):
    """A model that was trained again.

    Attributes:
        model: With its new calibration.
        n_train: Normal images that were trained on, or that the statistics of readings come from.
        n_calibration: Normal images that the threshold for a false-alarm rate comes from.
    """

    model: Model
    n_train: int
    n_calibration: int


def retrain(best: BestRecord, *, images: str | None, rate: float | None, report: Callable[[str], None]) -> Retrained:
    """Train the winner of a search again with the good images of training, validation and test.

    As many of them as validation has are kept out, groups as a whole, drawn anew from all: thresholds come from these,
    which neither the weights nor the statistics of readings have seen. Samples and readings stay, and so does the
    number of steps, about. Good images into which defects were planted are left out.

    Args:
        best: The record of the search.
        images: Digest of the images that it saw; None if it is not known.
        rate: False-alarm rate of the threshold; None for 1 %, or the least possible.
        report: Is given a line before each training.

    Raises:
        AutoADError: The images have changed, are too few for the rate, or a model cannot be trained any more.
    """
    task = load_task(best.request.task)
    if images is not None and task.digest() != images:
        raise AutoADError(
            f"the images of {task.name} are not those of the search: they have changed. Expected the same ones. Put "
            "them back, or search anew."
        )
    again = _with_all_normal(task, best.request)
    n_calibration = len(again.validation.normal)
    if rate is not None:
        rank_of(n_calibration, rate)  # before minutes of work
    request = _for_images(best.request, len(task.train), len(again.train))
    trained = []
    for member in best.members:
        report(f"training trial {member.number} again on {len(again.train)} images")
        trained.append(_train(member, again, request.settings))
    winner = choose_winner(trained, None, again, request)
    if len(winner.members) < len(trained):
        raise AutoADError("the models, trained again, cancel out. Expected a score. Export without [[retrain=True]].")
    scores, labels = winner.validation.score, again.validation.labels
    normal, defects = (scores[labels == label].tolist() for label in (0, 1))
    calibration = Calibration(normal=normal, defects=defects, rate=rate, planted=request.task.planted)
    record = replace(ModelRecord.of(best), calibration=calibration)
    return Retrained(Model(winner.scorer, record), len(again.train), n_calibration)


def _for_images(request: TrialRequest, before: int, now: int) -> TrialRequest:
    """The options for another number of training images; without limits on measured times, which it kept once."""
    settings = request.settings
    training = settings.training.with_images(before, now)
    return replace(request, settings=replace(settings, training=training, max_seconds=None, max_ms=None))


def _train(member: TrialRecord, task: Task, settings: TrialSettings) -> tuple[TrialRecord, Detector]:
    reading = Reading.parse(member.reading) if member.reading else None
    result = run_trial(member.sample, task, settings, number=member.number, reading=reading)
    if result.detector is None:
        raise AutoADError(
            f"trial {member.number}, trained again, is {result.record.verdict.value}: {result.record.detail} Expected "
            "a model. Export without [[retrain=True]]."
        )
    return result.record, result.detector


def _with_all_normal(task: Task, request: TrialRequest) -> Task:
    """All normal images to train on, but as many as validation has, which are to be scored with its defects."""
    plan = plan_task(request.task)
    normal = torch.cat([task.train, task.validation.normal, task.test.normal])
    indices = np.concatenate([plan.train, plan.validation.normal, plan.test.normal])
    share = len(task.validation.normal) / len(normal)
    groups = plan.normal.catalogue(plan.image_shape).groups
    train, kept_out = cut(
        np.arange(len(normal)),
        None if groups is None else groups[indices],
        (1 - share, share),
        generator(request.task.seed, "retrain"),
    )
    if not len(kept_out):
        raise AutoADError(
            f"the groups of the normal images of {task.name} leave none for a threshold. Expected two groups or more. "
            "Export without [[retrain=True]]."
        )
    held = _joined(normal[torch.from_numpy(kept_out)], task.validation)
    return replace(task, train=normal[torch.from_numpy(np.sort(train))], validation=held)


def _joined(normal: Tensor, validation: LabelledImages) -> LabelledImages:
    """Normal images, and the anomalous ones of validation."""
    is_defect = validation.labels == 1
    masks = validation.masks
    return LabelledImages(
        torch.cat([normal, validation.images[is_defect]]),
        torch.cat([torch.zeros(len(normal), dtype=torch.uint8), validation.labels[is_defect]]),
        None if masks is None else torch.cat([masks.new_zeros(len(normal), *masks.shape[1:]), masks[is_defect]]),
    )
