"""Writes a bundle: the model of a search as a folder that needs nothing of the search any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.models.onnx import check_exportable, export_onnx
from autoad_nni.runs.bundle.card import write_card
from autoad_nni.runs.bundle.files import DETECTOR, MODEL, ONNX, is_bundle, write_detector, write_threshold
from autoad_nni.runs.bundle.retraining import retrain
from autoad_nni.runs.model import Model, load
from autoad_nni.runs.records import BestRecord, read_history
from autoad_nni.runs.scores import WinnerScores
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.winner import write_members
from autoad_nni.storing import check_new_folder, new_folder, replace_file, storing

__all__ = ["CARD", "export"]

CARD = "card.md"


def export(
    run: Path | str,
    output: Path | str,
    *,
    false_alarm_rate: float | None = None,
    retraining: bool = False,
    format: str | None = None,
    weights: Path | str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Model:
    """Write the best model of a search as a bundle.

    A bundle is a folder with ``model.safetensors``, ``detector.json``, ``threshold.json`` and ``card.md``, and with
    ``format`` ``model.onnx``; it is written as a whole or not at all. ``ad.load`` loads it, with the scores of
    ``ad.load(run)`` to the last bit.

    Args:
        run: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.
        output: Missing, or an empty folder.
        false_alarm_rate: Of the threshold; None for that of the search.
        retraining: Whether the models are trained again first (:func:`autoad_nni.runs.bundle.retraining.retrain`).
        format: ``onnx`` for ``model.onnx`` besides (:func:`autoad_nni.models.onnx.export_onnx`); None for none.
        weights: File with the weights of the feature extractor; None: from where they came in the search.
        report: Is given a line on what is being done when it takes long.

    Returns:
        The model that was written.

    Raises:
        AutoADError: The search has no model or has not ended, its model cannot be loaded or has no such format, its
            threshold for the rate takes more images, or ``output`` holds files.
        StorageError: The disk refuses.
    """
    folder, final = Path(run).expanduser(), Path(output).expanduser()
    check_new_folder(final)
    best = _ended(folder, weights)
    model, retrained = load(folder, weights=weights), None
    if format is not None:
        _check_format(format, model)
    rate = best.calibration.rate if false_alarm_rate is None and best.calibration else false_alarm_rate
    if retraining:
        start = RunStart.read(folder)
        retrained = retrain(best, images=None if start is None else start.images, rate=rate, report=report)
        model = retrained.model
    elif model.calibration is not None:
        calibration = replace(model.calibration, rate=rate)
        model = Model(model.scorer, replace(model.record, calibration=calibration))
    card = write_card(
        best,
        model.record,
        read_history(folder),
        WinnerScores.read(folder),
        retrained=retrained,
        command=_command(false_alarm_rate, retraining, format),
    )
    if format is not None:
        report(f"writing {ONNX}, which can take minutes")
    _write(final, model, card, onnx=format is not None)
    return model


def _check_format(format: str, model: Model) -> None:
    """Raise AutoADError unless the model can be written so: before minutes of training."""
    if format != "onnx":
        raise AutoADError(f"[[format]] is {format!r}. Expected onnx. Give [[format=onnx]], or leave it out.")
    check_exportable(model.scorer)


def _ended(folder: Path, weights: Path | str | None) -> BestRecord:
    """The record of a search that has ended, with another file of an extractor's weights if one is given."""
    if is_bundle(folder):
        raise AutoADError(f"{folder} is a bundle ({DETECTOR}). Expected the folder of a search. Copy the bundle.")
    best = BestRecord.read(folder)
    if best.calibration is None:
        raise AutoADError(
            f"the search in {folder} has not ended: its winner has no scores for a threshold. Expected one that has. "
            "Go on with it: [[resume=True]]."
        )
    if weights is None:
        return best
    settings = replace(best.request.settings, weights=Path(weights).expanduser())
    return replace(best, request=replace(best.request, settings=settings))


def _command(rate: float | None, retraining: bool, format: str | None) -> str:
    words = ["autoad-nni export RUN --output BUNDLE"]
    words += [] if rate is None else [f"--false-alarm-rate {rate:g}"]
    words += ["--retrain"] if retraining else []
    words += [] if format is None else [f"--format {format}"]
    return " ".join(words)


def _write(output: Path, model: Model, card: str, *, onnx: bool) -> None:
    assert model.calibration is not None
    with new_folder(output) as folder:
        numbers = [member.number for member in model.record.members]
        detectors = [scorer.detector for scorer in model.scorers]
        write_members(dict(zip(numbers, detectors, strict=True)), folder / MODEL)
        write_threshold(folder, model.calibration)
        if onnx:
            export_onnx(model.scorer, model.image_shape, model.calibration.default().value, folder / ONNX)
        with storing(output / CARD):
            replace_file(folder / CARD, card.encode(errors="backslashreplace"))
        write_detector(folder, model.record)  # the last: it has the checksums of the others
