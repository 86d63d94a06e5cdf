"""Ends an nnictl experiment as a search in this process ends: with a history, the best model and its test figures."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from autoad_nni.data import load_task
from autoad_nni.engines.nnictl.database import finished_trials, stored_trial_command
from autoad_nni.runs.best import save_pictures, save_weights
from autoad_nni.runs.one_trial import run_sample
from autoad_nni.runs.records import HISTORY, WEIGHTS, BestRecord
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.summary import TrialSummary
from autoad_nni.searches.trial_command import trial_arguments
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.storing import replace_lines
from autoad_nni.trial.plugins import plugins_of_trial
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import evaluate_on_test

__all__ = ["finish_experiment", "request_of"]


def request_of(folder: Path) -> TrialRequest:
    """Return the options of an experiment's trials, from NNI's database."""
    command, started_in = stored_trial_command(folder)
    return parse_request(trial_arguments(command, str(folder)), started_in)


def finish_experiment(folder: Path) -> tuple[TrialSummary, BestRecord | None, TrialRecord | None]:
    """Write the history of an experiment that has ended, train its best model once more, and read the test set for it.

    Trials of nnictl leave no weights: the best sample is trained again, with the same seed.

    Args:
        folder: Of the experiment; gets ``history.jsonl``, ``best.json``, ``best.safetensors`` and the pictures.

    Returns:
        A summary of the trials; the best model, None if no trial ended well; and the record of its second training.
    """
    request = request_of(folder)
    records = finished_trials(folder)
    replace_lines(folder / HISTORY, [record.to_json() for record in records])
    summary = TrialSummary(request.settings.reward)
    for record in records:
        summary.add(record)
    good = [record for record in records if record.ok]
    if not good:
        return summary, None, None
    best = max(good, key=lambda record: record.reward)
    if not best.plugins:
        best = replace(best, plugins=plugins_of_trial(best.sample, request.space, request.data_sets))
    task = load_task(request.task)
    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as scalars:
        result = run_sample(
            dict(best.sample),
            task,
            replace(request, weight_sharing=False),
            number=best.number,
            scalars=ScalarWriter(Path(scalars)),
            report=lambda figures: None,
        )
    again, detector = result.record, result.detector
    if detector is None:
        figures, reason = None, f"trained again, it is {again.verdict.value}: {again.detail}"
    else:
        figures, reason = evaluate_on_test(detector, task, request.settings)
        save_weights(detector, folder / WEIGHTS)
        save_pictures(folder, detector, task, request, best.number)
    start = RunStart.read(folder)
    kept = BestRecord(
        trial=best,
        request=request,
        image_shape=(task.channels, task.height, task.width),
        test=figures,
        test_detail=reason,
        search={**({} if start is None else start.metadata), "summary": summary.to_json()},
    )
    kept.write(folder)
    return summary, kept, again
