"""The winner of a search: which trials are its members, and what they predict together."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor

from autoad_nni.data import Task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, rank_of
from autoad_nni.models.build import build_detector
from autoad_nni.models.detector import Detector
from autoad_nni.models.ensemble import Ensemble, mean_of
from autoad_nni.models.scoring import Prediction, Scorer
from autoad_nni.models.surroundings import keeping_random_states, torch_threads
from autoad_nni.runs.best import save_pictures
from autoad_nni.runs.records import KnownResult, Result
from autoad_nni.runs.scores import ImageScores, WinnerScores
from autoad_nni.tensor_files import read_tensors, write_tensors
from autoad_nni.trial.evaluate import figures_of, metric_of
from autoad_nni.trial.fitting import hold_out, score_held_out
from autoad_nni.trial.interval import interval_of
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import evaluate_on_test, make_scorer, predict_kept
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.trial.timing import ms_per_image
from autoad_nni.trial.weights import check_weights

__all__ = [
    "TRUSTED",
    "Winner",
    "best_known",
    "build_trained",
    "calibration_of",
    "check_false_alarm_rate",
    "choose_winner",
    "distinct",
    "finish",
    "held_out_scores",
    "holds_weights",
    "join_weights",
    "load_members",
    "load_weights",
    "members_of",
    "save_weights",
    "trusted",
    "write_members",
]

TRUSTED: Final = ("patchcore", "padim", "contrast_mixture", "feature_mixture")
"""Known methods that are members of a winner that planted defects chose, whatever these say of them.

Over 20 tasks the mean with them was nearer to what real anomalies choose (docs/decisions/planted.md).
"""

State = dict[str, Tensor]

# A model that errs more than this many times as often as the best one, and this much more, would spoil the mean.
_MOST_ERROR, _ERROR_ALLOWED = 1.5, 0.02


def members_of(records: Sequence[TrialRecord], number: int, *, with_trusted: bool = False) -> list[TrialRecord]:
    """Return the trials whose models make the winner, the best first: at most ``number`` that are `distinct`.

    One whose reward r is far below the best, r*, is left out: 1 - r must not exceed 1.5 (1 - r*) + 0.02.

    Args:
        records: Trials.
        number: How many of the best.
        with_trusted: Whether the known methods of `TRUSTED` come after them, if ``number`` is not 1.

    Example:
        >>> from autoad_nni.verdicts import Verdict
        >>> def ended(number, reward):
        ...     return TrialRecord(number=number, sample={}, verdict=Verdict.OK, reward=reward)
        >>> [each.number for each in members_of([ended(0, 0.7), ended(1, 0.9), ended(2, 0.85), ended(3, 0.9)], 3)]
        [1, 3, 2]
        >>> [each.number for each in members_of([ended(0, 0.7), ended(1, 0.9)], 3)]
        [1]
    """
    ranked = distinct(records)
    best = [
        record
        for record in ranked[:number]
        if 1 - record.reward <= _MOST_ERROR * (1 - ranked[0].reward) + _ERROR_ALLOWED
    ]
    return [*best, *trusted(ranked, besides=best)] if with_trusted and number > 1 else best


def trusted(records: Sequence[TrialRecord], besides: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the good trials of the known methods of `TRUSTED`, in its order, without those in ``besides``."""
    found = {record.known: record for record in records if record.ok and record not in besides}
    return [found[name] for name in TRUSTED if name in found]


def distinct(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the good trials, the best first, of equals the earliest, without repetitions.

    Two trials with the same scores of the validation images are the same model: a choice between them changed nothing,
    such as a distance that the model does not use. A mean of them is no mean of several.
    """
    ranked = sorted((record for record in records if record.ok), key=lambda record: (-record.reward, record.number))
    found: dict[str, TrialRecord] = {}
    for record in ranked:
        # A trial that reports to NNI by itself has no fingerprint.
        found.setdefault(record.fingerprint or str(record.number), record)
    return list(found.values())


Model = tuple[TrialRecord, Detector]


class Winner(NamedTuple):
    """The models that predict together.

    Attributes:
        members: Their trials and models, the best first.
        scorer: What predicts.
        validation: Its prediction of the validation images.
        ms: Milliseconds for one image (:func:`autoad_nni.trial.timing.ms_per_image`); of one member, those of its
            trial, None if they were not measured there.
    """

    members: Sequence[Model]
    scorer: Scorer | Ensemble
    validation: Prediction
    ms: float | None


def choose_winner(candidates: Sequence[Model], known: TrialRecord | None, task: Task, request: TrialRequest) -> Winner:
    """Take as many of the candidates, the best first, as make a winner that is good and quick enough.

    It is not behind the best known method on validation, unless that has planted defects only, and takes no longer for
    an image than ``max_ms``, with a network that several members take run once; the best trial alone is always good and
    quick enough. A mean that is the same for all images, as members that cancel out make it, is behind every method.

    Args:
        candidates: The trials and models that may be members, the best first.
        known: The best known method, if one was tried.
        task: The images.
        request: The options of the trials.

    Raises:
        RejectedTrial: A score or a map is not finite.
    """
    settings = request.settings
    least = -math.inf if known is None or request.task.planted else known.reward
    scorers = [_scorer_of(detector, task, settings) for _, detector in candidates]
    with torch_threads(settings.threads):
        predictions = [predict_kept(scorer, task.validation.images) for scorer in scorers]
    for count in range(len(candidates), 1, -1):
        together = mean_of(scorers[:count], predictions[:count])
        if not _reward(together, task, settings) >= least:  # nan too
            continue
        ensemble = Ensemble(scorers[:count])
        ms = ms_per_image(ensemble, task.validation.images)
        if settings.max_ms is None or ms <= settings.max_ms:
            return Winner(candidates[:count], ensemble, together, ms)
    return Winner(candidates[:1], scorers[0], predictions[0], candidates[0][0].ms)


def _reward(prediction: Prediction, task: Task, settings: TrialSettings) -> float:
    if prediction.score.min() == prediction.score.max():
        return math.nan  # not even a chance model: it says nothing
    with torch_threads(settings.threads):
        return metric_of(settings.reward, prediction, task.validation)


def finish(folder: Path, winner: Winner, known: Model | None, task: Task, request: TrialRequest) -> Result:
    """Evaluate the winner, read the test set once for it and for the best known method, and draw pictures.

    Args:
        folder: Of the search.
        winner: What `choose_winner` took.
        known: The trial and the model of the best known method, if one was tried.
        task: The images.
        request: The options of the trials.
    """
    settings, records = request.settings, [record for record, _ in winner.members]
    with torch_threads(settings.threads):
        validation = figures_of(winner.validation, task.validation)
        interval = interval_of(settings.reward, winner.validation, task.validation)
    test = evaluate_on_test(winner.scorer, task, settings, validation=winner.validation)
    of_known = None
    if known is not None:
        alone = records == [known[0]]
        on_test = test if alone else evaluate_on_test(_scorer_of(known[1], task, settings), task, settings)
        of_known = KnownResult(known[0], on_test.figures)
    numbers = ", ".join(str(record.number) for record in records)
    title = f"trial {numbers}" if len(records) == 1 else f"mean of trials {numbers}"
    calibration = calibration_of(winner, task, request)
    if test.prediction is not None:
        save_pictures(folder, winner.scorer, task, request, title, calibration=calibration, test=test.prediction)
    WinnerScores(
        members=tuple(record.number for record in records),
        validation=ImageScores.of(task.validation, winner.validation),
        test=None if test.prediction is None else ImageScores.of(task.test, test.prediction),
    ).write(folder)
    return Result(
        validation=validation,
        interval=interval,
        n_validation=(int(task.validation.labels.sum()), len(task.validation.labels)),
        test=test.figures,
        test_detail=test.detail,
        known=of_known,
        calibration=calibration,
        ms=winner.ms,
    )


def calibration_of(winner: Winner, task: Task, request: TrialRequest) -> Calibration:
    """Return the scores that the winner's thresholds come from.

    Normal ones are those of the training images that no member was trained on. Good validation images would be more,
    but readings, members and their number were chosen so that these score little: over 50 splits of solar cells, 8.2 %
    of new good images exceeded the highest of 15, instead of 6.2 % (benchmarks/false_alarms.py). Defects are those of
    validation; there are no others.
    """
    return Calibration(
        normal=held_out_scores(winner.scorer, task, request.settings).tolist(),
        defects=winner.validation.score[task.validation.labels == 1].tolist(),
        rate=request.false_alarm_rate,
        planted=request.task.planted,
    )


def check_false_alarm_rate(rate: float | None, task: Task) -> None:
    """Raise AutoADError for a rate that is out of range, or takes more images than are held out of training."""
    if rate is not None:
        rank_of(len(hold_out(task.train)[1]), rate)


def held_out_scores(scorer: Scorer | Ensemble, task: Task, settings: TrialSettings) -> Tensor:
    """Return a winner's scores of the training images that no member was trained on, as if they were new."""
    with torch_threads(settings.threads):
        if isinstance(scorer, Scorer):
            return score_held_out(scorer, task.train)
        return torch.stack([each.in_units(score_held_out(each, task.train)) for each in scorer.scorers]).mean(0)


def _scorer_of(detector: Detector, task: Task, settings: TrialSettings) -> Scorer:
    return make_scorer(detector, task.train[0], settings.scoring, max_memory=settings.max_memory)


def best_known(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the trial of the best known method, of equals the earliest; None if none ended well."""
    known = [record for record in records if record.known and record.ok]
    return max(known, key=lambda record: (record.reward, -record.number), default=None)


def save_weights(detector: Detector, path: Path) -> None:
    """Write the state of a detector, atomically; StorageError if the disk refuses."""
    write_tensors(path, _state_of(detector))


def load_weights(detector: Detector, path: Path) -> None:
    """Read the state of one detector.

    Raises:
        AutoADError: If the file is missing, or that of another model.
    """
    _set_state(detector, _read(path), path)


def holds_weights(path: Path, numbers: Sequence[int] = ()) -> bool:
    """Return whether a file of weights is undamaged, and holds those of the models of these trials and no others.

    Args:
        path: What `save_weights` or `join_weights` wrote.
        numbers: Of the trials whose weights were joined; none for a file of one model.
    """
    try:
        state = _read(path)
    except AutoADError:
        return False
    return not numbers or {name.partition("/")[0] for name in state} == {str(number) for number in numbers}


def join_weights(files: Mapping[int, Path], path: Path) -> None:
    """Write the states of several trials' models into one file, each name after its trial's number.

    Args:
        files: What `save_weights` wrote, by number of the trial.
        path: The file, replaced as a whole.

    Raises:
        StorageError: If the disk refuses.
        AutoADError: If a file cannot be read.
    """
    _write_joined({number: _read(file) for number, file in files.items()}, path)


def write_members(detectors: Mapping[int, Detector], path: Path) -> None:
    """Write the models of a winner as `join_weights` does, by number of the trial."""
    _write_joined({number: _state_of(detector) for number, detector in detectors.items()}, path)


def _write_joined(states: Mapping[int, State], path: Path) -> None:
    joined = {f"{number}/{name}": value for number, state in states.items() for name, value in state.items()}
    write_tensors(path, joined)


class Built(Protocol):
    """What is needed to build the model of a trial: its record, or a part of that."""

    @property
    def number(self) -> int:
        """Of the trial."""

    @property
    def sample(self) -> Mapping[str, Any]:
        """Value by label."""

    @property
    def plugins(self) -> Mapping[str, str]:
        """Which plugins it takes, and which weights of an extractor."""


def build_trained(record: Built, *, channels: int, settings: TrialSettings) -> Detector:
    """Build the model of a trial, ready to be given its weights; imports no NNI.

    Args:
        record: Of the trial.
        channels: Channels of the images.
        settings: Those of the trial.

    Raises:
        AutoADError: A feature extractor has other weights than those with which the model was trained.
    """
    with keeping_random_states():  # fresh weights are drawn before the saved ones take their place
        detector = build_detector(
            record.sample, channels=channels, space=settings.space, extraction=settings.extraction
        )
    check_weights(record.plugins, detector.autoencoder)
    return detector


def load_members(members: Sequence[Built], path: Path, *, channels: int, settings: TrialSettings) -> list[Detector]:
    """Build the models of a winner and give them their weights; imports no NNI.

    Args:
        members: Their trials.
        path: What `join_weights` wrote.
        channels: Channels of the images.
        settings: Those of the trials.

    Raises:
        AutoADError: If the file is missing or damaged, or holds other models.
    """
    state = _read(path)
    detectors = []
    for member in members:
        detector = build_trained(member, channels=channels, settings=settings)
        prefix = f"{member.number}/"
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _set_state(detector, own, path)
        detectors.append(detector.eval())
    return detectors


def _state_of(detector: Detector) -> State:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}


def _read(path: Path) -> State:
    try:
        return read_tensors(path)[0]
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from None


def _set_state(detector: Detector, state: State, path: Path) -> None:
    try:
        detector.load_state_dict(state)
    except (RuntimeError, AutoADError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> AutoADError:
    reason = " ".join(str(error).split())[:200]
    return AutoADError(
        f"the weights {path} cannot be read: {reason}. Expected those of the best model. Restore the file, or search "
        "again."
    )
