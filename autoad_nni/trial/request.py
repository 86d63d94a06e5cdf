"""The options of a trial: which images, how to train, how to evaluate; the same in Python, YAML and the command."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from autoad_nni.data import TaskOptions
from autoad_nni.errors import AutoADError
from autoad_nni.models.scoring import ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.options import Option, option, options_of
from autoad_nni.trial.settings import TrialSettings

__all__ = ["OPTIONS", "PRESETS", "TrialRequest"]

PRESETS: Final = ("default", "paper")


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """What a trial needs besides the sample: the parsed options of ``autoad-nni trial``.

    Args:
        task: Which images.
        settings: How to train and evaluate.
        preset: Training settings: ``default`` or ``paper``.
        members: How many of its best models make the winner of a search together; 1 for one.
        competitors: Names of methods that a search trains and tests beside its winner.
        weight_sharing: Whether the trials of a search start from one another's weights (Eq. 3).
        false_alarm_rate: Of the winner's threshold; None for 1 %, or the least that the good images allow.

    Example:
        >>> request = TrialRequest.from_options(data="digits", abnormal="photos", epochs=2)
        >>> request.task.abnormal, request.settings.training.epochs
        (('photos',), 2)
        >>> request.to_words()
        ['--data', 'digits', '--abnormal', 'photos', '--epochs', '2']
        >>> TrialRequest.from_options(**request.options()) == request
        True
    """

    task: TaskOptions
    settings: TrialSettings = field(default_factory=TrialSettings)
    preset: str = option("default", help="Training settings: default, or paper (the article's).")
    members: int = option(5, help="In a search: the winner is the mean of so many best models; 1 for one.")
    competitors: tuple[str, ...] = option((), help="In a search: methods to test beside the winner, NAME[,NAME...].")
    weight_sharing: bool = option(False, help="In a search: start from the weights of earlier trials.")
    false_alarm_rate: float | None = option(None, help="In a search: of the winner's threshold; default: 0.01.")

    def __post_init__(self) -> None:
        if self.members < 1:
            raise AutoADError(f"[[members]] is {self.members}. Expected 1 or more. Give [[members=1]] for one model.")

    @classmethod
    def from_options(cls, **options: Any) -> TrialRequest:
        """Make a request from the flat options, by name.

        Args:
            options: Any of `OPTIONS`; ``data`` is mandatory.

        Raises:
            AutoADError: An option is unknown, missing, or has a value out of its range.
        """
        _check_names(options)
        options = {name: _converted(OPTIONS[name], value) for name, value in options.items()}
        preset = options.pop("preset", "default")
        if preset not in PRESETS:
            raise AutoADError(f"[[preset]] is {preset!r}. Expected one of {', '.join(PRESETS)}. Give one of these.")
        training = _part(TrainingSettings, options)
        if preset == "paper":
            training = TrainingSettings.paper(training.epochs, training.steps)
        return cls(
            task=_part(TaskOptions, options),
            settings=_part(TrialSettings, options, scoring=_part(ScoringSettings, options), training=training),
            preset=preset,
            **{name: options[name] for name in options_of(cls).keys() & options.keys()},
        )

    def options(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as plain JSON."""
        parts = (self.task, self.settings.training, self.settings.scoring, self.settings, self)
        values = {name: getattr(part, name) for part in parts for name in options_of(type(part))}
        return {name: _plain(value) for name, value in values.items() if value != OPTIONS[name].default}

    def to_words(self) -> list[str]:
        """Return the options as words of a command line."""
        words = []
        for name, value in self.options().items():
            words.append(OPTIONS[name].flag)
            if value is not True:
                words.append(_word(value))
        return words

    @property
    def space(self) -> str:
        """Name of the search space that samples are from."""
        return self.settings.space

    @property
    def reward_name(self) -> str:
        """Name of the reward for people; that of planted defects is not to be taken for one of real ones."""
        return f"{'planted ' if self.task.planted else ''}{self.settings.reward}"

    @property
    def data_sets(self) -> tuple[str, ...]:
        """Names of the normal and the abnormal data sets."""
        return (self.task.data, *self.task.abnormal)


OPTIONS: Final[Mapping[str, Option]] = options_of(
    TaskOptions, TrainingSettings, TrialRequest, ScoringSettings, TrialSettings
)
"""Every option of a trial, by name."""


def _part(kind: Any, options: Mapping[str, Any], **more: Any) -> Any:
    """Make the dataclass that declares some of the options; ``seed`` belongs to two."""
    names = {each.name for each in dataclasses.fields(kind)} & OPTIONS.keys()
    return kind(**{name: options[name] for name in names if name in options}, **more)


def _check_names(options: Mapping[str, Any]) -> None:
    for name in options:
        if name not in OPTIONS:
            near = difflib.get_close_matches(name, OPTIONS, n=1)
            advice = f"Did you mean {near[0]}?" if near else "Take it out."
            raise AutoADError(f"Unknown option {name!r}. Expected one of {', '.join(OPTIONS)}. {advice}")
    if "data" not in options:
        raise AutoADError(
            "[[data]] is missing. Expected the name of a data set. Give for instance [[data=folder]] with [[root]]."
        )


_LISTS: Final = {
    "abnormal": "names of data sets",
    "roots": "NAME=DIR for each set",
    "competitors": "names of competitors",
}


def _converted(option: Option, value: Any) -> Any:
    """The value as its dataclass wants it: names as a tuple, a path as a Path; AutoADError for another type."""
    if option.name in _LISTS:
        if not isinstance(value, str | list | tuple):
            raise AutoADError(f"[[{option.name}]] is {value!r}. Expected {_LISTS[option.name]}. Correct it.")
        names = value.split(",") if isinstance(value, str) else [str(name) for name in value]
        return tuple(name.strip() for name in names if name.strip())
    if Path in option.kinds and isinstance(value, str | Path):
        return Path(value).expanduser()
    fits = type(value) in option.kinds or (float in option.kinds and type(value) is int)
    if not fits:
        expected = " or ".join(kind.__name__ for kind in option.kinds if kind is not type(None))
        raise AutoADError(f"[[{option.name}]] is {value!r}. Expected {expected}. Correct it.")
    return value


def _word(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return ",".join(value) if isinstance(value, list) else str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
