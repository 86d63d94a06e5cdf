"""Detectors around autoencoders that tests write themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from autoad_nni.data import Task
from autoad_nni.models.build import place
from autoad_nni.models.detector import Detector
from autoad_nni.models.local_codes import LocalCodes
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni.trial.run import train_and_validate
from autoad_nni.trial.settings import TrialSettings


def make_detector(autoencoder: Any) -> Detector:
    """Joins an autoencoder with the hypothesis and the distance that its attributes name."""
    hypothesis = HYPOTHESES.load(getattr(autoencoder, "hypothesis_name", "reconstruction"))
    distance = LOSSES.load(getattr(autoencoder, "distance_name", "l2"))()
    local = LocalCodes(hypothesis()) if hypothesis.needs_codes else None
    return place(Detector(autoencoder, hypothesis(), distance, local), torch.device("cpu"))


class Ran(NamedTuple):
    """A trial of `run_model`, its figures in one flat mapping."""

    metrics: dict[str, Any]
    detail: str
    detector: Detector | None


def run_model(build: Callable[[], nn.Module], task: Task, settings: TrialSettings, **options: Any) -> Ran:
    """A trial of an autoencoder that no search space has."""
    result = train_and_validate(lambda: make_detector(build()), task, settings, **options)
    figures: dict[str, Any] = result.record.to_report()
    assert figures.pop("plugins") == "", "it has none that are registered"
    return Ran(figures, figures.pop("detail"), result.detector)
