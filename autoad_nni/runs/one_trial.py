"""Runs one sample with its figures recorded: as a trial of a search, or by hand."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from autoad_nni.data import Task, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.models.shared_weights import SharedWeights
from autoad_nni.opening import parse_json
from autoad_nni.runs.records import read_history
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.runs.start import RunStart
from autoad_nni.storing import StorageError
from autoad_nni.trial.plugins import PluginVersions, check_plugins, plugins_of_trial
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import Rungs, TrialResult, evaluate_on_test, make_scorer, run_trial

__all__ = [
    "Recorded",
    "crashed_by",
    "read_sample",
    "recorded_trial",
    "run_alone",
    "run_in_folder",
    "run_sample",
    "train_again",
]

Sample = dict[str, Any]


class Recorded(NamedTuple):
    """A sample to run by hand.

    Attributes:
        sample: Value by label.
        plugins: Those that it was recorded with; empty when it was not recorded.
        known: Name of the known method that it is; empty for any other sample.
    """

    sample: Sample
    plugins: PluginVersions
    known: str = ""


def run_sample(
    sample: Sample,
    task: Task,
    request: TrialRequest,
    *,
    number: int,
    scalars: ScalarWriter,
    report: Callable[[dict[str, float]], None],
    shared: SharedWeights | None = None,
    rungs: Rungs | None = None,
) -> TrialResult:
    """Train and validate a sample; the figures of each epoch go to TensorBoard and to ``report``.

    TensorBoard also gets the sample and the reward, when the trial has ended.

    Args:
        sample: Value by label.
        task: The images.
        request: The options of the trial.
        number: Of the trial in its search.
        scalars: Writes for TensorBoard.
        report: Called after each epoch with ``default`` (the reward), ``loss`` and every metric on validation.
        shared: Used if the request asks for weight sharing.
        rungs: Where the training may be stopped.
    """
    part = "validation_planted" if request.task.planted else "validation"

    def on_epoch(epoch: int, loss: float, validation: dict[str, float]) -> None:
        scalars.add(epoch, {"loss/train": loss, **{f"{part}/{k}": v for k, v in validation.items()}})
        report({"default": validation[request.settings.reward], "loss": loss, **validation})

    try:
        result = run_trial(
            sample,
            task,
            request.settings,
            number=number,
            on_epoch=on_epoch,
            shared=shared if request.weight_sharing else None,
            rungs=rungs,
        )
    except StorageError:
        raise
    except (Exception, SystemExit) as error:
        traceback.clear_frames(error.__traceback__)  # lets go of the memory and the files that the trial took
        scalars.add_trial(TrialRecord.crashed(number, sample, str(error)))
        raise
    scalars.add_trial(result.record)
    return result


def run_in_folder(
    run: Path,
    sample: Mapping[str, Any],
    task: Task,
    request: TrialRequest,
    *,
    number: int,
    report: Callable[[dict[str, float]], None],
    rungs: Rungs | None = None,
) -> TrialResult:
    """Run a sample as a trial of the search in a run folder; otherwise as `run_sample`.

    Args:
        run: The run folder; TensorBoard's files and shared weights are there.
        sample: Value by label.
        task: The images.
        request: The options of the trial.
        number: Of the trial in its search.
        report: Called after each epoch.
        rungs: Where the training may be stopped.
    """
    run = run.absolute()  # should a plugin change the current folder
    return run_sample(
        dict(sample),
        task,
        request,
        number=number,
        scalars=ScalarWriter(run / "tensorboard" / f"trial-{number:04d}"),
        report=report,
        shared=SharedWeights(run / "state" / "shared_weights", str(number)),
        rungs=rungs,
    )


def crashed_by(error: BaseException, number: int, sample: Mapping[str, Any], request: TrialRequest) -> TrialRecord:
    """Return the record of a trial that an error ended."""
    detail = " ".join(f"{type(error).__name__}: {error}".split())
    plugins = plugins_of_trial(sample, request.space, request.data_sets)
    return TrialRecord.crashed(number, sample, detail, plugins=plugins)


def train_again(record: TrialRecord, task: Task, request: TrialRequest) -> TrialResult:
    """Run the sample of a trial once more, with the same seed, from fresh weights; what it reports is dropped.

    Its time for an image, measured anew, may be above a limit that it kept: there is none.

    Args:
        record: Of the trial.
        task: The images.
        request: The options of the trials.
    """
    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as scalars:
        return run_sample(
            dict(record.sample),
            task,
            replace(request, weight_sharing=False, settings=replace(request.settings, max_ms=None)),
            number=record.number,
            scalars=ScalarWriter(Path(scalars)),
            report=lambda figures: None,
        )


def run_alone(
    recorded: Recorded,
    request: TrialRequest,
    *,
    scalars: Path,
    test: bool,
    report: Callable[[dict[str, float]], None],
) -> tuple[TrialResult, dict[str, Any]]:
    """Run a sample by hand, from fresh weights.

    Args:
        recorded: The sample, and what is known of it.
        request: The options of the trial.
        scalars: Folder for TensorBoard.
        test: Also read the test set. It is read once, for the model that is kept: not while choosing one.
        report: Called with the figures of each epoch.

    Returns:
        The result; and the record as plain JSON, with ``test`` those of the test set too, or None and ``test_detail``.

    Raises:
        AutoADError: If a plugin is missing, or of another version than the record says.
    """
    check_plugins(recorded.plugins)
    task = load_task(request.task)
    result = run_sample(recorded.sample, task, request, number=0, scalars=ScalarWriter(scalars), report=report)
    result = replace(result, record=replace(result.record, known=recorded.known))
    content = result.record.to_json()
    del content["number"]
    if request.task.planted:
        content["anomalies"] = "planted defects"
    if test and result.detector is not None:
        settings = request.settings
        scorer = make_scorer(result.detector, task.train[0], settings.scoring, max_memory=settings.max_memory)
        found = evaluate_on_test(scorer, task, settings)
        content |= {"test": found.figures, **({"test_detail": found.detail} if found.detail else {})}
    return result, content


def recorded_trial(run: Path, number: int) -> tuple[Recorded, TrialRequest]:
    """Find a trial of a search, to run it again.

    Args:
        run: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.
        number: Of the trial.

    Raises:
        AutoADError: If the folder holds no search, or its search no such trial.
    """
    start, records = RunStart.read(run), read_history(run)
    if start is None:
        raise AutoADError(
            f"{run} holds no search. Expected a folder that 'autoad-nni search' or 'autoad-nni launch' wrote. Correct "
            "[[run]]."
        )
    for record in records:
        if record.number == number:
            # A sample that is run by hand has no other trials to start from.
            recorded = Recorded(dict(record.sample), dict(record.plugins), record.known)
            return recorded, replace(start.request, weight_sharing=False)
    ended = f"0 to {max(record.number for record in records)}" if records else "none that has ended"
    raise AutoADError(f"{run} has no trial {number}. Expected one of its trials: {ended}. Correct [[number]].")


def read_sample(path: Path) -> Recorded:
    """Read a sample from a JSON file: ``{label: value}``, or an object that has it under ``sample`` or ``trial``.

    Returns:
        The sample, with the plugins and the name of a known method that the file records, if it does.

    Raises:
        AutoADError: If the file is missing or holds something else.
    """
    try:
        content = parse_json(path.read_bytes())
    except FileNotFoundError:
        raise AutoADError(f"There is no sample file {path}. Expected JSON: label to value. Check the path.") from None
    except OSError as error:
        raise AutoADError(
            f"{path} cannot be read: {error.strerror}. Expected a JSON file: label to value. Give read access to it."
        ) from None
    except ValueError as error:
        raise AutoADError(
            f"{path} is not JSON: {error}. Expected an object: label to value. Correct the file."
        ) from None
    if isinstance(content, dict) and isinstance(content.get("trial"), dict):  # a best.json
        content = content["trial"]
    sample = content.get("sample", content) if isinstance(content, dict) else content
    if not isinstance(sample, dict):
        raise AutoADError(
            f"{path} holds a {type(sample).__name__}. Expected a JSON object: label to value. Correct the file."
        )
    plugins = content.get("plugins", {}) if sample is not content else {}
    if not isinstance(plugins, dict):
        raise AutoADError(f"{path} holds plugins: {plugins!r}. Expected a JSON object: plugin to version. Restore it.")
    return Recorded(sample, plugins, "" if sample is content else str(content.get("known", "")))
