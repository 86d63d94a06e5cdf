"""Writes a bundle: the model of a search as a folder that needs nothing of the search any more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.runs.bundle.card import Retraining, write_card
from autoad_nni.runs.bundle.files import DETECTOR, MODEL, is_bundle, write_detector, write_threshold
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.bundle.retraining import retrain
from autoad_nni.runs.model import load
from autoad_nni.runs.records import BestRecord, read_history
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
    weights: Path | str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> ModelRecord:
    """Write the best model of a search as a bundle.

    A bundle is a folder with ``model.safetensors``, ``detector.json``, ``threshold.json`` and ``card.md``; it is
    written as a whole or not at all. ``ad.load`` loads it, with the scores of ``ad.load(run)`` to the last bit.

    Args:
        run: The run folder, or the folder of an NNI experiment that ``autoad-nni launch`` ended.
        output: Missing, or an empty folder.
        false_alarm_rate: Of the threshold; None for that of the search.
        retraining: Whether the models are trained again first (:func:`autoad_nni.runs.bundle.retraining.retrain`).
        weights: File with the weights of the feature extractor; None: from where they came in the search.
        report: Is given a line on what is being done when it takes long.

    Returns:
        What the model is made of.

    Raises:
        AutoADError: The search has no model or has not ended, its model cannot be loaded, its threshold for the rate
            takes more images, or ``output`` holds files.
        StorageError: The disk refuses.
    """
    folder, final = Path(run).expanduser(), Path(output).expanduser()
    check_new_folder(final)
    best = _ended(folder, weights)
    if retraining:
        start = RunStart.read(folder)
        rate = best.calibration.rate if false_alarm_rate is None and best.calibration else false_alarm_rate
        again = retrain(best, images=None if start is None else start.images, rate=rate, report=report)
        record, detectors = again.record, again.detectors
        trained = Retraining(n_train=again.n_train, n_calibration=again.n_calibration)
    else:
        model, trained = load(folder, weights=weights), None
        record = _with_rate(model.record, false_alarm_rate)
        detectors = {
            member.number: scorer.detector for member, scorer in zip(record.members, model.scorers, strict=True)
        }
    card = write_card(
        best, record, read_history(folder), retraining=trained, command=_command(false_alarm_rate, retraining)
    )
    _write(final, record, detectors, card)
    return record


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


def _with_rate(record: ModelRecord, rate: float | None) -> ModelRecord:
    if rate is None or record.calibration is None:
        return record
    return replace(record, calibration=replace(record.calibration, rate=rate))


def _command(rate: float | None, retraining: bool) -> str:
    words = ["autoad-nni export RUN --output BUNDLE"]
    words += [] if rate is None else [f"--false-alarm-rate {rate:g}"]
    return " ".join([*words, *(["--retrain"] if retraining else [])])


def _write(output: Path, record: ModelRecord, detectors: dict[int, Detector], card: str) -> None:
    assert record.calibration is not None
    with new_folder(output) as folder:
        write_members(detectors, folder / MODEL)
        write_threshold(folder, record.calibration)
        with storing(output / CARD):
            replace_file(folder / CARD, card.encode())
        write_detector(folder, record)  # the last: it has the checksums of the others
