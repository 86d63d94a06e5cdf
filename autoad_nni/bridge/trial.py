"""Runs one sample: under NNI, by hand, or as a step of a search in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoad_nni.bridge.manager import own_parameters
from autoad_nni.bridge.scalars import ScalarWriter, nni_scalar_folder
from autoad_nni.bridge.spaces import build_autoencoder
from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.evaluation import TrialResult, TrialSettings, evaluate, run_trial

__all__ = ["TrialRequest", "read_sample", "run_alone", "run_sample", "run_under_nni", "under_nni"]


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """What the words of a ``trialCommand`` say: which images, how to train, which space a sample is from."""

    task: TaskOptions
    settings: TrialSettings = field(default_factory=TrialSettings)
    space: str = "autoencoder"


def run_sample(
    sample: Mapping[str, Any],
    task: Task,
    request: TrialRequest,
    *,
    scalars: ScalarWriter,
    report: Callable[[dict[str, float]], None],
) -> TrialResult:
    """Trains and validates ``sample``; every epoch goes to TensorBoard and to ``report``."""

    def on_epoch(epoch: int, loss: float, validation: dict[str, float]) -> None:
        scalars.add(epoch, {"loss/train": loss, **{f"validation/{k}": v for k, v in validation.items()}})
        report({"default": validation[request.settings.reward], "loss": loss, **validation})

    try:
        return run_trial(
            lambda: build_autoencoder(request.space, sample, channels=task.channels),
            task,
            request.settings,
            on_epoch=on_epoch,
        )
    finally:
        scalars.close()


def run_under_nni(request: TrialRequest) -> TrialResult:
    """Runs the sample that NNI's manager has for this process, and reports to it."""
    import nni

    nni.get_next_parameter()  # the manager takes a trial that never asks for a crashed one
    record = own_parameters()
    if record is not None:
        nni.trial._params = record  # what reports are filed under
    result = run_sample(
        nni.get_current_parameter(),
        load_task(request.task),
        request,
        scalars=ScalarWriter(nni_scalar_folder()),
        report=nni.report_intermediate_result,
    )
    nni.report_final_result(result.metrics)
    return result


def run_alone(
    request: TrialRequest,
    sample: Mapping[str, Any],
    *,
    scalars: Path,
    test: bool,
    report: Callable[[dict[str, float]], None],
) -> dict[str, Any]:
    """Runs a sample by hand.

    Args:
        request: Task and settings.
        sample: Value by label.
        scalars: Folder for TensorBoard.
        test: Also score the test set. It is read once, for the model that is kept: not while choosing one.
        report: Takes the figures of each epoch.

    Returns:
        The metrics; with ``test`` those of the test set under the key ``test``.
    """
    task = load_task(request.task)
    result = run_sample(sample, task, request, scalars=ScalarWriter(scalars), report=report)
    metrics: dict[str, Any] = dict(result.metrics)
    if result.detail:
        metrics["detail"] = result.detail
    if test and result.detector is not None:
        metrics["test"] = evaluate(result.detector, task.test)
    return metrics


def under_nni() -> bool:
    """Returns whether NNI's manager started this process as a trial."""
    return os.environ.get("NNI_PLATFORM") not in (None, "standalone", "unittest")


def read_sample(path: Path) -> dict[str, Any]:
    """Reads a sample from a JSON file: ``{label: value}``, or an object that has it under ``sample``.

    Raises:
        AutoADError: If the file is missing or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AutoADError(f"There is no sample file {path}. Expected JSON: label to value. Check the path.") from None
    except OSError as error:
        raise AutoADError(f"{path} cannot be read: {error.strerror}. Expected a JSON file: label to value.") from None
    except ValueError as error:
        raise AutoADError(f"{path} is not JSON: {error}. Expected an object: label to value.") from None
    sample = content.get("sample", content) if isinstance(content, dict) else content
    if not isinstance(sample, dict):
        raise AutoADError(f"{path} holds a {type(sample).__name__}. Expected a JSON object: label to value.")
    return sample
