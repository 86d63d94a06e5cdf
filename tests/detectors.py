"""Detectors around autoencoders that tests write themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from autoad_nni.data import Task
from autoad_nni.models.build import place
from autoad_nni.models.detector import Detector
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni.trial.run import TrialResult, TrialSettings, train_and_validate


def make_detector(autoencoder: Any) -> Detector:
    """Joins an autoencoder with the hypothesis and the distance that its attributes name."""
    hypothesis = HYPOTHESES.load(getattr(autoencoder, "hypothesis_name", "reconstruction"))()
    distance = LOSSES.load(getattr(autoencoder, "distance_name", "l2"))()
    return place(Detector(autoencoder, hypothesis, distance), torch.device("cpu"))


def run_model(build: Callable[[], nn.Module], task: Task, settings: TrialSettings, **options: Any) -> TrialResult:
    """A trial of an autoencoder that no search space has."""
    return train_and_validate(lambda: make_detector(build()), task, settings, **options)
