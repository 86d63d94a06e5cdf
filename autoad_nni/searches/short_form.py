"""The short form of a search space in an experiment file: its name, instead of all its labels and values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nni.mutable import Categorical

from autoad_nni.errors import AutoADError
from autoad_nni.registry import SEARCH_SPACES
from autoad_nni.searches.experiment_file import ADVISOR
from autoad_nni.searches.spaces import LAYERS, declare_whole, to_search_space
from autoad_nni.searches.trial_command import trial_arguments
from autoad_nni.trial.request import OPTIONS

__all__ = ["expand", "with_long_form"]


def expand(short: Mapping[str, Any]) -> dict[str, Any]:
    """Write the long form of a search space.

    Args:
        short: ``space``, a registered name; ``layers`` for a space that has layers, default 3; and by label,
            values to search instead of the space's own, or one value to fix the choice.

    Returns:
        ``{label: {"_type": "choice", "_value": [...]}}``.

    Raises:
        AutoADError: If the space is not registered, or a key is neither ``layers`` nor a label of the space.

    Example:
        >>> expand({"space": "features", "extractor": ["contrast"]})["extractor"]
        {'_type': 'choice', '_value': ['contrast']}
        >>> len(expand({"space": "autoencoder", "layers": 1}))
        8
    """
    changes = dict(short)
    name = changes.pop("space")
    has_layers = getattr(SEARCH_SPACES.load(name), "has_layers", True)
    layers = changes.pop("layers", LAYERS) if has_layers else LAYERS  # there it may be a label
    if type(layers) is not int or layers < 1:
        raise AutoADError(f"searchSpace has layers: {layers!r}. Expected a whole number of 1 or more. Correct it.")
    return _changed(name, declare_whole(name, layers), changes)


def _changed(name: str, declared: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    labels = {str(label) for label, mutable in declared.simplify().items() if isinstance(mutable, Categorical)}
    long = to_search_space(declared)
    for label, values in changes.items():
        if label not in labels:
            raise AutoADError(
                f"searchSpace has {label!r} beside space: {name}. Expected layers, or a label of that space: "
                f"{', '.join(sorted(labels))}. Correct it."
            )
        long[label] = {"_type": "choice", "_value": list(values) if isinstance(values, list) else [values]}
    return long


def with_long_form(content: Mapping[str, Any], short: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return the content of an experiment with its search space in the long form, and named where trials look for it.

    Args:
        content: Of the experiment; its ``tuner`` and ``trialCommand`` were checked.
        short: Its search space.
        name: What the experiment is called in messages.

    Raises:
        AutoADError: If ``tuner.classArgs`` or ``trialCommand`` name another space; and as `expand`.
    """
    space = short["space"]
    long = {key: value for key, value in content.items() if key != "searchSpaceFile"}
    long["searchSpace"] = expand(short)
    arguments = content["tuner"].get("classArgs")
    if content["tuner"].get("className") == ADVISOR and isinstance(arguments, dict | None):
        _check_same(name, "tuner.classArgs has space:", (arguments or {}).get("space", space), space)
        long["tuner"] = {**content["tuner"], "classArgs": {**(arguments or {}), "space": space}}
    command = content["trialCommand"]
    given = _given(trial_arguments(command, name))
    if given is not None:
        _check_same(name, "trialCommand has --space", given, space)
    elif space != OPTIONS["space"].default:
        long["trialCommand"] = f"{command} --space {shlex.quote(space)}"
    return long


def _given(words: list[str]) -> str | None:
    """The value of ``--space``; of several the last, as for every option."""
    found = None
    for word, after in zip(words, [*words[1:], ""], strict=True):
        if word == "--space" or word.startswith("--space="):
            found = after if word == "--space" else word.partition("=")[2]
    return found


def _check_same(name: str, where: str, given: Any, space: str) -> None:
    if given != space:
        raise AutoADError(
            f"{name}: searchSpace has space: {space}, {where} {given}. Expected the same in both. Take it out there; "
            "the short form of searchSpace names the space for all."
        )
