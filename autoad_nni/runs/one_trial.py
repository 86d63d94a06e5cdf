"""Runs one sample with its figures recorded: a trial of a search, or a sample by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoad_nni.data import Task, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.runs.best import figures_on_test
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.trial.plugins import PluginVersions, check_plugins, plugins_of_trial
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import TrialResult, run_trial

__all__ = ["read_sample", "run_alone", "run_sample"]


def run_sample(
    sample: Mapping[str, Any],
    task: Task,
    request: TrialRequest,
    *,
    scalars: ScalarWriter,
    report: Callable[[dict[str, float]], None],
    shared: SharedWeights | None = None,
) -> TrialResult:
    """Trains and validates ``sample``; every epoch goes to TensorBoard and to ``report``.

    ``shared`` is used if the request asks for weight sharing.
    """
    def on_epoch(epoch: int, loss: float, validation: dict[str, float]) -> None:
        scalars.add(epoch, {"loss/train": loss, **{f"validation/{k}": v for k, v in validation.items()}})
        report({"default": validation[request.settings.reward], "loss": loss, **validation})

    return run_trial(
        sample,
        task,
        request.settings,
        on_epoch=on_epoch,
        shared=shared if request.weight_sharing else None,
    )


def run_alone(
    request: TrialRequest,
    sample: Mapping[str, Any],
    *,
    plugins: Mapping[str, str],
    scalars: Path,
    test: bool,
    report: Callable[[dict[str, float]], None],
    keep: Callable[[Detector, Task], None] = lambda detector, task: None,
) -> dict[str, Any]:
    """Runs a sample by hand, from fresh weights.

    Args:
        request: Task and settings.
        sample: Value by label.
        plugins: The plugins that a record of this sample names; empty when there is none.
        scalars: Folder for TensorBoard.
        test: Also score the test set. It is read once, for the model that is kept: not while choosing one.
        report: Takes the figures of each epoch.
        keep: Takes the trained detector, if the verdict is ok.

    Returns:
        The metrics; with ``test`` those of the test set under the key ``test``, or None and a ``test_verdict``.

    Raises:
        AutoADError: If a plugin is missing, or of another version than the record says.
    """
    check_plugins(plugins)
    task = load_task(request.task)
    result = run_sample(sample, task, request, scalars=ScalarWriter(scalars), report=report)
    metrics: dict[str, Any] = {**result.metrics, "plugins": plugins_of_trial(sample, request)}
    if result.detail:
        metrics["detail"] = result.detail
    if result.detector is not None:
        keep(result.detector, task)
        if test:
            metrics |= figures_on_test(result.detector, task, request)
    return metrics


def read_sample(path: Path) -> tuple[dict[str, Any], PluginVersions]:
    """Reads a sample from a JSON file: ``{label: value}``, or an object that has it under ``sample``.

    Returns:
        The sample, and the plugins that the file records under ``plugins``; empty when it records none.

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
    plugins = content.get("plugins", {}) if sample is not content else {}
    if not isinstance(plugins, dict):
        raise AutoADError(f"{path} holds plugins: {plugins!r}. Expected a JSON object: plugin to version. Restore it.")
    return sample, plugins
