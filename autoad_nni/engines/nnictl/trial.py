"""Runs the sample that NNI's manager has for this process."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from autoad_nni.data import load_task
from autoad_nni.engines.nnictl.experiment_start import read_start
from autoad_nni.engines.nnictl.folders import nni_experiment_folder, nni_scalar_folder
from autoad_nni.engines.nnictl.manager import own_parameters
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.runs.one_trial import run_sample
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.trial.plugins import check_plugins, plugins_of_trial
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import TrialResult

__all__ = ["run_under_nni", "under_nni"]


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


def under_nni() -> bool:
    """Returns whether NNI's manager started this process as a trial."""
    return os.environ.get("NNI_PLATFORM") not in (None, "standalone", "unittest")
