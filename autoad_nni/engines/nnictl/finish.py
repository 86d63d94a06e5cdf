"""Ends an nnictl experiment as a search in this process ends: with a history, the best model and its test figures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autoad_nni.data import load_task
from autoad_nni.engines.nnictl.database import finished_trials, stored_trial_command
from autoad_nni.runs.competing import compete
from autoad_nni.runs.front import write_front
from autoad_nni.runs.one_trial import train_again
from autoad_nni.runs.records import HISTORY, WEIGHTS, BestRecord, Result, remove_best
from autoad_nni.runs.report.page import write_report
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.summary import TrialSummary
from autoad_nni.runs.winner import Model, best_known, choose_winner, finish, members_of, write_members
from autoad_nni.searches.trial_command import trial_arguments
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.storing import replace_lines
from autoad_nni.trial.plugins import plugins_of_trial
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

__all__ = ["finish_experiment", "request_of"]


def request_of(folder: Path) -> TrialRequest:
    """Return the options of an experiment's trials, from NNI's database."""
    command, started_in = stored_trial_command(folder)
    return parse_request(trial_arguments(command, str(folder)), started_in)


def finish_experiment(folder: Path) -> tuple[TrialSummary, BestRecord | None, list[TrialRecord]]:
    """Write the history of an experiment that has ended, train its winner once more, and read the test set for it.

    Trials of nnictl leave no weights: the samples of the winner and of the best known method are trained again, with
    the same seed.

    Args:
        folder: Of the experiment; gets ``history.jsonl``, ``best.json``, ``best.safetensors``, ``scores.json``, the
            pictures, ``competitors.jsonl`` if there are some, and the report.

    Returns:
        A summary of the trials; the winner, None if no trial ended well; and the records of the second trainings.
    """
    request = request_of(folder)
    records = finished_trials(folder)
    replace_lines(folder / HISTORY, [record.to_json() for record in records])
    summary = TrialSummary(request.reward_name)
    for record in records:
        summary.add(record)
    chosen = members_of(records, request.members, with_trusted=request.task.planted)
    members = [_with_plugins(record, request) for record in chosen]
    if not members:
        write_front(folder)
        write_report(folder)
        return summary, None, []
    known = best_known(records)
    of_known = [] if known is None else [known]
    task = load_task(request.task)
    again = {record.number: train_again(record, task, request) for record in [*members, *of_known]}

    def trained(some: list[TrialRecord]) -> list[Model]:
        return [(record, model) for record in some if (model := again[record.number].detector) is not None]

    kept = members[:1]
    start = RunStart.read(folder)
    result = Result(test_detail=f"trained again, trial {members[0].number} has no model")
    if candidates := trained(members):
        winner = choose_winner(candidates, known, task, request)
        kept = [record for record, _ in winner.members]
        result = finish(folder, winner, next(iter(trained(of_known)), None), task, request)
        remove_best(folder)
        write_members({record.number: detector for record, detector in winner.members}, folder / WEIGHTS)
    best = BestRecord(
        trial=members[0],
        members=tuple(kept),
        request=request,
        image_shape=(task.channels, task.height, task.width),
        **vars(result),
        search={**({} if start is None else start.metadata), "summary": summary.to_json()},
    )
    best.write(folder)
    compete(folder, task, request)
    write_front(folder)
    write_report(folder)
    return summary, best, [again[record.number].record for record in members]


def _with_plugins(record: TrialRecord, request: TrialRequest) -> TrialRecord:
    if record.plugins:
        return record
    return replace(record, plugins=plugins_of_trial(record.sample, request.space, request.data_sets))
