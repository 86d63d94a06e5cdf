"""Runs the sample that NNI's manager has for this process."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from autoad_nni.data import load_task
from autoad_nni.engines.nnictl.folders import nni_experiment_folder, nni_scalar_folder
from autoad_nni.engines.nnictl.manager import own_parameters
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.runs.one_trial import run_sample
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.runs.start import RunStart
from autoad_nni.trial.plugins import check_plugins, plugins_of_trial
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import Rungs

__all__ = ["run_under_nni", "under_nni"]


def run_under_nni(request: TrialRequest) -> TrialRecord:
    """Run the sample that NNI's manager has for this process, and report to it."""
    import nni

    from autoad_nni.engines.nnictl.plain_json import next_parameters

    next_parameters()  # the manager takes a trial that never asks for a crashed one
    record = own_parameters()
    if record is not None:
        nni.trial._params = record  # what reports are filed under
    number = nni.trial._params.get("parameter_id")
    check_plugins(nni.trial._params.get("plugins", {}))  # absent when a tuner of NNI proposed the trial
    sample = nni.get_current_parameter()
    started = RunStart.read(nni_experiment_folder())
    if started is not None:
        used = plugins_of_trial(sample, request.space, request.data_sets)
        check_plugins({key: started.plugins[key] for key in used if key in started.plugins})
    result = run_sample(
        sample,
        load_task(request.task),
        request,
        number=number if isinstance(number, int) else 0,
        scalars=ScalarWriter(nni_scalar_folder()),
        report=nni.report_intermediate_result,
        shared=SharedWeights(nni_experiment_folder() / "shared_weights", str(number)),
        rungs=_rungs(nni.trial._params.get("rungs", []), nni.report_intermediate_result),
    )
    ended = replace(result.record, known=str(nni.trial._params.get("known", "")))
    nni.report_final_result(ended.to_report() | ({"anomalies": "planted defects"} if request.task.planted else {}))
    return ended


def _rungs(shares: Sequence[float], report: Callable[[Any], None]) -> Rungs | None:
    """Report to the advisor at each rung; should this trial not go on, it has NNI's manager end this process."""

    def goes_on(rung: int, record: TrialRecord) -> bool:
        report({**record.to_report(), "rung": rung})
        return True

    return Rungs(shares, goes_on) if shares else None


def under_nni() -> bool:
    """Return whether NNI's manager started this process as a trial."""
    return os.environ.get("NNI_PLATFORM") not in (None, "standalone", "unittest")
