"""An NNI experiment, from a file or from Python; read once for both engines."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autoad_nni.errors import AutoADError
from autoad_nni.opening import check_size
from autoad_nni.searches.halving import halving_arguments
from autoad_nni.searches.trial_command import trial_arguments, trial_environment

__all__ = [
    "ADVISOR",
    "Experiment",
    "advisor_arguments",
    "make_experiment",
    "read_environment",
    "read_experiment",
]

ADVISOR = "autoad_nni.bridge.StrategyAdvisor"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True)
class Experiment:
    """What a search needs of an NNI experiment.

    Attributes:
        name: The file, for messages; ``the experiment`` for one from Python.
        content: Its keys and values, the search space in the long form.
        folder: Where relative paths in it start.
        search_space: ``{label: {"_type": "choice", "_value": [...]}}``.
        trial_arguments: The words of ``trialCommand`` behind ``autoad-nni trial``.
        trial_environment: What ``trialCommand`` sets before its program, ``NAME=value``.
        trial_folder: Folder in which NNI starts the command (``trialCodeDirectory``).
        max_trials: ``maxTrialNumber``; None for no limit.
        max_seconds: ``maxExperimentDuration``; None for no limit.
        advisor_arguments: ``tuner.classArgs`` of our advisor; None when the file names a tuner of NNI.
        tuner_name: Name of NNI's tuner otherwise, or a class of the user's own.
        tuner_is_class: Whether it is named as a class.
        tuner_arguments: ``tuner.classArgs`` of that tuner; empty for our advisor.
        was_short: Whether its search space was written in the short form, which NNI does not know.
        reasons: What was chosen for a folder of images and why, a line each; none for a file.
    """

    name: str
    content: Mapping[str, Any]
    folder: Path
    search_space: dict[str, Any]
    trial_arguments: list[str]
    trial_environment: dict[str, str]
    trial_folder: Path
    max_trials: int | None
    max_seconds: float | None
    advisor_arguments: dict[str, Any] | None
    tuner_name: str | None
    tuner_is_class: bool
    tuner_arguments: dict[str, Any]
    was_short: bool = False
    reasons: tuple[str, ...] = ()


def read_experiment(path: Path) -> Experiment:
    """Read and check an experiment file.

    Raises:
        AutoADError: If the file is missing, is no mapping, or a key that we need is missing or of another type.
    """
    return make_experiment(_load_mapping(path), name=str(path), folder=path.parent)


def read_environment(path: Path) -> dict[str, str]:
    """Return the variables that an experiment file's ``trialCommand`` sets; imports no torch, which reads some of them.

    Raises:
        AutoADError: If the file is missing, is no mapping, or its ``trialCommand`` is another command.
    """
    content = _load_mapping(path)
    trial_arguments(content.get("trialCommand"), str(path))
    return trial_environment(content["trialCommand"])


def make_experiment(content: Mapping[str, Any], *, name: str, folder: Path) -> Experiment:
    """Check the content of an experiment file.

    Args:
        content: Its keys and values.
        name: What it is called in messages.
        folder: Where relative paths in it start.

    Raises:
        AutoADError: If a key that we need is missing or of another type.
    """
    tuner = content.get("tuner")
    if not isinstance(tuner, dict) or not (tuner.get("className") or tuner.get("name")):
        got = "missing" if tuner is None else repr(tuner)
        raise AutoADError(
            f"{name}: tuner is {got}. Expected a mapping with className or name. "
            f"Write tuner: {{className: {ADVISOR}, codeDirectory: ., classArgs: {{strategy: autoad}}}}."
        )
    ours = tuner.get("className") == ADVISOR
    if tuner.get("className") and not tuner.get("codeDirectory"):
        raise AutoADError(
            f"{name}: tuner has no codeDirectory. Expected one: nnictl stops without it. Add codeDirectory: . to it."
        )
    arguments = trial_arguments(content.get("trialCommand"), name)
    search_space = _search_space(content, name, folder)
    # A label has a mapping there.
    was_short = isinstance(search_space.get("space"), str)
    if was_short:
        # Only then: it imports torch, and the advisor, which reads this module too, has ten seconds to connect.
        from autoad_nni.searches.short_form import with_long_form

        content = with_long_form(content, search_space, name)
        search_space = content["searchSpace"]
        arguments = trial_arguments(content["trialCommand"], name)
        tuner = content["tuner"]
    return Experiment(
        name=name,
        content=content,
        folder=folder,
        search_space=search_space,
        trial_arguments=arguments,
        trial_environment=trial_environment(content["trialCommand"]),
        trial_folder=folder / str(content.get("trialCodeDirectory", ".")),
        max_trials=_max_trials(content.get("maxTrialNumber"), name),
        max_seconds=_duration(content.get("maxExperimentDuration"), name),
        advisor_arguments=advisor_arguments(tuner.get("classArgs"), name) if ours else None,
        tuner_name=None if ours else str(tuner.get("name") or tuner.get("className")),
        tuner_is_class=bool(tuner.get("className")),
        tuner_arguments={} if ours else _tuner_arguments(tuner.get("classArgs"), name),
        was_short=was_short,
    )


def _load_mapping(path: Path) -> dict[str, Any]:
    if not os.path.isfile(path):
        raise AutoADError(f"{path} does not exist. Expected an experiment file (YAML). Check the path.")
    content = _load_yaml(path)
    if not isinstance(content, dict):
        got = "is empty" if content is None else f"holds a {type(content).__name__}"
        raise AutoADError(
            f"{path} {got}. Expected a mapping with the keys of an NNI experiment. Start from a file in experiments/."
        )
    return content


# PyYAML also lets through what values of a wrong tag or form raise, such as a date that does not exist.
_NO_YAML = (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError, AttributeError, RecursionError)


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice: PyYAML would take the last one without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if (key.tag, key.value) in seen:
                    raise yaml.MarkedYAMLError(None, None, f"the key {key.value} stands twice", key.start_mark)
                seen.add((key.tag, key.value))
        return super().construct_mapping(node, deep)


def _load_yaml(path: Path) -> Any:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
        check_size(content)
        return content
    except OSError as error:
        raise AutoADError(
            f"{path} cannot be read: {error.strerror}. Expected YAML or JSON. Give read access to the file."
        ) from None
    except _NO_YAML as error:
        reason = " ".join(str(error).split())
        raise AutoADError(f"{path} is not YAML: {reason}. Expected YAML or JSON. Correct the file.") from None


def _search_space(content: Mapping[str, Any], name: str, folder: Path) -> dict[str, Any]:
    space = content.get("searchSpace")
    file = content.get("searchSpaceFile")
    if file is not None:
        file_path = folder / str(file)
        if not os.path.isfile(file_path):
            raise AutoADError(
                f"{name}: there is no searchSpaceFile {file_path}. Expected one. Give a path relative to {folder}."
            )
        space = _load_yaml(file_path)
    if not isinstance(space, dict) or not space:
        raise AutoADError(
            f"{name}: searchSpace is {json.dumps(space, default=str)}. Expected a mapping of labels to choices, or "
            "{space: NAME}. 'autoad-nni space' writes one."
        )
    return space


def _max_trials(value: Any, name: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise AutoADError(f"{name}: maxTrialNumber is {value!r}. Expected a whole number of 1 or more. Correct it.")
    return value


def _duration(value: Any, name: str) -> float | None:
    if value is None:
        return None
    seconds = math.nan
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value)
    elif match := re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])", str(value).lower()):
        seconds = float(match[1]) * _UNITS[match[2]]
    if not 0 < seconds < math.inf:
        raise AutoADError(
            f"{name}: maxExperimentDuration is {value!r}. Expected seconds above 0, or a number with s, m, h or d. "
            "Write for instance 2h."
        )
    return seconds


def _tuner_arguments(arguments: Any, name: str) -> dict[str, Any]:
    if not isinstance(arguments, dict | None):
        raise AutoADError(f"{name}: tuner.classArgs is {arguments!r}. Expected a mapping. Correct it.")
    return arguments or {}


def advisor_arguments(arguments: Any, name: str) -> dict[str, Any]:
    """Complete and check ``tuner.classArgs`` of our advisor; ``name`` is where they stand."""
    known = {
        "strategy": "autoad",
        "strategy_args": {},
        "seed": 0,
        "space": "autoencoder",
        "known": False,
        "halving": None,
    }
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict) or not set(arguments) <= set(known):
        raise AutoADError(
            f"{name}: tuner.classArgs is {arguments!r}. Expected keys out of {', '.join(known)}. Correct it."
        )
    chosen = {**known, **arguments}
    seed = chosen["seed"]
    for key, fits, expected in (
        ("strategy", isinstance(chosen["strategy"], str), "a name, for instance autoad"),
        ("strategy_args", isinstance(chosen["strategy_args"], dict), "a mapping, for instance {batch_size: 5}"),
        ("seed", type(seed) is int and 0 <= seed < 2**32, "a whole number from 0 to 2^32 - 1"),
        ("space", isinstance(chosen["space"], str), "a name, for instance autoencoder"),
        ("known", isinstance(chosen["known"], bool), "true or false"),
    ):
        if not fits:
            raise AutoADError(f"{name}: tuner.classArgs.{key} is {chosen[key]!r}. Expected {expected}. Correct it.")
    chosen["halving"] = halving_arguments(chosen["halving"], name)
    return chosen
