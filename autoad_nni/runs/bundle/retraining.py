"""The winner of a search trained again, on all normal images that its threshold does not need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task, load_task
from autoad_nni.data.plan import plan_task
from autoad_nni.data.split import cut, generator
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import DEFAULT_RATE, least_rate, rank_of
from autoad_nni.models.detector import Detector
from autoad_nni.models.readings import Reading
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.winner import calibration_of, choose_winner
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import run_trial

__all__ = ["Retrained", "retrain"]

# Of all normal images; the others are trained on.
_CALIBRATION = 0.2


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """Models that were trained again.

    Attributes:
        record: What the model is made of, with its new calibration.
        detectors: The models by number of their trial.
        n_train: Normal images that were trained on, or that the statistics of readings come from.
        n_calibration: Normal images that the threshold for a false-alarm rate comes from.
    """

    record: ModelRecord
    detectors: dict[int, Detector]
    n_train: int
    n_calibration: int


def retrain(
    best: BestRecord, *, images: str | None, rate: float | None, report: Callable[[str], None]
) -> Retrained:
    """Train the winner of a search again with the good images of training, validation and test.

    A fifth of them all is kept out, groups as a whole: thresholds come from these, which neither the weights nor the
    statistics of readings have seen. Samples and readings stay, and so does the number of steps, about.

    Args:
        best: The record of the search.
        images: Digest of the images that it saw; None if it is not known.
        rate: False-alarm rate of the threshold; None for 1 %, or the least possible.
        report: Told what is going on.

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
    n_calibration = int((again.validation.labels == 0).sum())
    rank_of(n_calibration, max(DEFAULT_RATE, least_rate(n_calibration)) if rate is None else rate)
    settings = replace(
        best.request.settings,
        training=best.request.settings.training.with_images(len(task.train), len(again.train)),
        max_seconds=None,  # it was to keep the search short
    )
    trained = []
    for member in best.members:
        report(f"training trial {member.number} again on {len(again.train)} images")
        result = run_trial(
            member.sample,
            again,
            settings,
            number=member.number,
            reading=Reading.parse(member.reading) if member.reading else None,
        )
        if result.detector is None:
            raise AutoADError(
                f"trial {member.number}, trained again, is {result.record.verdict.value}: {result.record.detail} "
                "Expected a model. Export without [[retrain=True]]."
            )
        trained.append((result.record, result.detector))
    winner = choose_winner(trained, None, again, replace(best.request, settings=settings))
    if len(winner.members) < len(trained):
        raise AutoADError("the models, trained again, cancel out. Expected a score. Export without [[retrain=True]].")
    record = ModelRecord.of(best)
    return Retrained(
        record=replace(record, calibration=replace(calibration_of(winner.validation, again), rate=rate)),
        detectors={member.number: detector for member, detector in trained},
        n_train=len(again.train),
        n_calibration=n_calibration,
    )


def _with_all_normal(task: Task, request: TrialRequest) -> Task:
    """A task with four fifths of all normal images to train on, and the others, with validation's defects, to score."""
    plan = plan_task(request.task)
    normal = torch.cat([task.train, task.validation.normal, task.test.normal])
    indices = np.concatenate([plan.train, plan.validation.normal, plan.test.normal])
    groups = plan.normal.catalogue(plan.image_shape).groups
    train, kept_out = cut(
        np.arange(len(normal)),
        None if groups is None else groups[indices],
        (1 - _CALIBRATION, _CALIBRATION),
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
