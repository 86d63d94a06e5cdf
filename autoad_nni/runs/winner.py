"""The winner of a search: which trials are its members, and what they predict together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from torch import Tensor

from autoad_nni.data import Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.build import build_detector
from autoad_nni.models.detector import Detector
from autoad_nni.models.ensemble import Ensemble, mean_of
from autoad_nni.models.scoring import Scorer
from autoad_nni.models.surroundings import keeping_random_states, torch_threads
from autoad_nni.runs.best import save_pictures
from autoad_nni.runs.records import BestRecord, KnownResult
from autoad_nni.storing import replace_file, storing
from autoad_nni.trial.evaluate import figures_of, metric_of
from autoad_nni.trial.interval import interval_of
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import evaluate_on_test, make_scorer, predict_kept
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import RejectedTrial

__all__ = [
    "Result",
    "as_good_as_known",
    "best_known",
    "distinct",
    "finish",
    "join_weights",
    "load_members",
    "load_weights",
    "members_of",
    "save_weights",
    "write_members",
]

# A model that errs more than this many times as often as the best one, and this much more, would spoil the mean.
_MOST_ERROR, _ERROR_ALLOWED = 1.5, 0.02


def members_of(records: Sequence[TrialRecord], number: int) -> list[TrialRecord]:
    """Return the trials whose models make the winner, the best first: at most ``number`` that are `distinct`.

    One whose reward r is far below the best, r*, is left out: 1 - r must not exceed 1.5 (1 - r*) + 0.02.

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
    return [
        record
        for record in ranked[:number]
        if 1 - record.reward <= _MOST_ERROR * (1 - ranked[0].reward) + _ERROR_ALLOWED
    ]


def distinct(records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """Return the good trials, the best first, of equals the earliest, without repetitions.

    Two trials with the same reading and the same figures on validation are the same model: a choice between them
    changed nothing, such as a distance that the model does not use. A mean of them is no mean of several.
    """
    ranked = sorted((record for record in records if record.ok), key=lambda record: (-record.reward, record.number))
    found: list[TrialRecord] = []
    for record in ranked:
        same = (each for each in found if each.reading == record.reading and each.validation == record.validation)
        if not record.validation or next(same, None) is None:
            found.append(record)
    return found


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search ends with; before the end, the defaults.

    Attributes:
        validation: Every metric of the winner on validation, by name.
        interval: Lowest and highest value of its reward there (95 %), had other images been drawn; None also if all of
            them would have had the same.
        n_validation: How many anomalous images, and how many images, these figures rest on.
        test: Every metric on test; None also if they cannot be computed.
        test_detail: Why they cannot be computed.
        known: The best known method that was tried.
    """

    validation: Mapping[str, float] | None = None
    interval: tuple[float, float] | None = None
    n_validation: tuple[int, int] | None = None
    test: Mapping[str, float] | None = None
    test_detail: str = ""
    known: KnownResult | None = None

    @classmethod
    def of(cls, best: BestRecord) -> Result:
        """Return the result that a record holds."""
        return cls(**{each.name: getattr(best, each.name) for each in fields(cls)})


Model = tuple[TrialRecord, Detector]


def as_good_as_known(
    members: Sequence[Model], known: TrialRecord | None, task: Task, request: TrialRequest
) -> Sequence[Model]:
    """Return as many of the members, the best first, as make a winner that is not behind the best known method.

    On validation; the best trial alone never is.

    Args:
        members: The trials and models that may be members, the best first.
        known: The best known method, if one was tried.
        task: The images.
        request: The options of the trials.
    """
    if known is None or len(members) == 1:
        return members
    scorers = [Scorer(detector, request.settings.scoring) for _, detector in members]
    with torch_threads(request.settings.threads):
        predictions = [predict_kept(scorer, task.validation.images) for scorer in scorers]
    for count in range(len(members), 1, -1):
        together = mean_of(scorers[:count], predictions[:count])
        if metric_of(request.settings.reward, together, task.validation) >= known.reward:
            return members[:count]
    return members[:1]


def finish(
    folder: Path,
    members: Sequence[Model],
    known: Model | None,
    task: Task,
    request: TrialRequest,
) -> Result:
    """Evaluate the winner, read the test set once for it and for the best known method, and draw pictures.

    Args:
        folder: Of the search.
        members: The trials and models of the winner, the best first.
        known: Those of the best known method, if one was tried.
        task: The images.
        request: The options of the trials.
    """
    settings = request.settings

    def scorer_of(detectors: Sequence[Detector]) -> Scorer | Ensemble:
        return make_scorer(detectors, task.train[0], settings.scoring, max_memory=settings.max_memory)

    scorer = scorer_of([detector for _, detector in members])
    try:
        with torch_threads(settings.threads):
            prediction = predict_kept(scorer, task.validation.images)
            validation = figures_of(prediction, task.validation)
            interval = interval_of(settings.reward, prediction, task.validation)
    except RejectedTrial as rejection:  # members that cancel out
        return Result(test_detail=f"on validation: {rejection}")
    test, reason = evaluate_on_test(scorer, task, settings)
    of_known = None
    if known is not None:
        alone = [record for record, _ in members] == [known[0]]
        of_known = test if alone else evaluate_on_test(scorer_of([known[1]]), task, settings)[0]
    numbers = ", ".join(str(record.number) for record, _ in members)
    title = f"trial {numbers}" if len(members) == 1 else f"mean of trials {numbers}"
    save_pictures(folder, scorer, task, request, title)
    return Result(
        validation=validation,
        interval=interval,
        n_validation=(int(task.validation.labels.sum()), len(task.validation.labels)),
        test=test,
        test_detail=reason,
        known=None if known is None else KnownResult(known[0], of_known),
    )


def best_known(records: Sequence[TrialRecord]) -> TrialRecord | None:
    """Return the trial of the best known method, of equals the earliest; None if none ended well."""
    known = [record for record in records if record.known and record.ok]
    return max(known, key=lambda record: (record.reward, -record.number), default=None)


def save_weights(detector: Detector, path: Path) -> None:
    """Write the state of a detector, atomically; StorageError if the disk refuses."""
    _write(_state_of(detector), path)


def load_weights(detector: Detector, path: Path) -> None:
    """Read the state of one detector.

    Raises:
        AutoADError: If the file is missing, or that of another model.
    """
    _set_state(detector, _read(path), path)


def join_weights(files: Mapping[int, Path], path: Path) -> None:
    """Write the states of several trials' models into one file, each name after its trial's number.

    Args:
        files: What `save_weights` wrote, by number of the trial.
        path: The file, replaced as a whole.

    Raises:
        StorageError: If the disk refuses.
        AutoADError: If a file cannot be read.
    """
    _write({f"{number}/{name}": value for number, file in files.items() for name, value in _read(file).items()}, path)


def write_members(detectors: Mapping[int, Detector], path: Path) -> None:
    """Write the models of a winner as `join_weights` does, by number of the trial."""
    states = {number: _state_of(detector) for number, detector in detectors.items()}
    _write({f"{number}/{name}": value for number, state in states.items() for name, value in state.items()}, path)


def load_members(
    members: Sequence[TrialRecord], path: Path, *, channels: int, settings: TrialSettings
) -> list[Detector]:
    """Build the models of a winner and give them their weights; imports no NNI.

    Args:
        members: The records of their trials.
        path: What `join_weights` wrote.
        channels: Channels of the images.
        settings: Those of the trials.

    Raises:
        AutoADError: If the file is missing or damaged, or holds other models.
    """
    state = _read(path)
    detectors = []
    for member in members:
        with keeping_random_states():  # fresh weights are drawn before the saved ones take their place
            detector = build_detector(
                member.sample, channels=channels, space=settings.space, extraction=settings.extraction
            )
        prefix = f"{member.number}/"
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        _set_state(detector, own, path)
        detectors.append(detector.eval())
    return detectors


def _state_of(detector: Detector) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in detector.state_dict().items()}


def _write(state: dict[str, Tensor], path: Path) -> None:
    from safetensors.torch import save

    with storing(path):
        replace_file(path, save(state))


def _read(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise _unreadable(path, error) from None
    return state


def _set_state(detector: Detector, state: dict[str, Any], path: Path) -> None:
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
