"""Runs one sample: under NNI, by hand, or as a step of a search in this process."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autoad_nni.bridge.best import figures_on_test
from autoad_nni.bridge.experiment_start import read_start
from autoad_nni.bridge.manager import own_parameters
from autoad_nni.bridge.plugins import PluginVersions, check_plugins, plugins_of_trial
from autoad_nni.bridge.scalars import ScalarWriter, nni_experiment_folder, nni_scalar_folder
from autoad_nni.bridge.spaces import build_autoencoder
from autoad_nni.bridge.trial_request import TrialRequest
from autoad_nni.data import Task, load_task
from autoad_nni.detector import Detector
from autoad_nni.errors import AutoADError
from autoad_nni.evaluation import TrialResult, check_task, run_trial
from autoad_nni.shared_weights import SharedWeights

__all__ = ["read_sample", "run_alone", "run_sample", "run_under_nni", "under_nni"]


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
    check_task(task, request.settings)

    def on_epoch(epoch: int, loss: float, validation: dict[str, float]) -> None:
        scalars.add(epoch, {"loss/train": loss, **{f"validation/{k}": v for k, v in validation.items()}})
        report({"default": validation[request.settings.reward], "loss": loss, **validation})

    return run_trial(
        lambda: build_autoencoder(request.space, sample, channels=task.channels),
        task,
        request.settings,
        on_epoch=on_epoch,
        shared=shared if request.weight_sharing else None,
    )


def run_under_nni(request: TrialRequest) -> TrialResult:
    """Runs the sample that NNI's manager has for this process, and reports to it."""
    import nni

    nni.get_next_parameter()  # the manager takes a trial that never asks for a crashed one
    record = own_parameters()
    if record is not None:
        nni.trial._params = record  # what reports are filed under
    check_plugins(nni.trial._params.get("plugins", {}))  # absent when a tuner of NNI proposed the trial
    sample = nni.get_current_parameter()
    _check_started_plugins(sample, request)
    result = run_sample(
        sample,
        load_task(request.task),
        request,
        scalars=ScalarWriter(nni_scalar_folder()),
        report=nni.report_intermediate_result,
        shared=SharedWeights(nni_experiment_folder() / "shared_weights", str(nni.trial._params.get("parameter_id"))),
    )
    used = "; ".join(f"{plugin}: {version}" for plugin, version in plugins_of_trial(sample, request).items())
    result.metrics["plugins"] = used  # flat: the web UI shows no nested values
    nni.report_final_result(result.metrics)
    return result


def _check_started_plugins(sample: Mapping[str, Any], request: TrialRequest) -> None:
    """Compares the plugins of this trial, data sets among them, with those that the experiment began with."""
    started = read_start(nni_experiment_folder()).get("plugins", {})
    check_plugins({key: started[key] for key in plugins_of_trial(sample, request) if key in started})


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


def under_nni() -> bool:
    """Returns whether NNI's manager started this process as a trial."""
    return os.environ.get("NNI_PLATFORM") not in (None, "standalone", "unittest")


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
