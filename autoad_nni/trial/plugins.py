"""Which plugins a trial uses: recorded with it, and compared before a recorded sample runs again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from autoad_nni.errors import AutoADError
from autoad_nni.registry import DATASETS, FEATURES, HYPOTHESES, LOSSES, REGISTRIES, SEARCH_SPACES, Registry

__all__ = ["COMPONENTS", "WEIGHTS", "PluginVersions", "check_plugins", "plugins_of_trial", "versions_of"]

PluginVersions = dict[str, str]
"""``{"hypothesis density": "autoad-nni 0.1.0", ...}``: kind and name to distribution and version."""

COMPONENTS: Final[Mapping[str, Registry]] = {
    "hypothesis": HYPOTHESES,
    "distance": LOSSES,
    "extractor": FEATURES,
}
"""The labels of a sample whose values are names of plugins."""

WEIGHTS: Final = "weights"
"""Stands in a record where the kind of a plugin does, before an extractor's name: the hash of its weights."""

_BY_NOUN: Final[Mapping[str, Registry]] = {registry.noun: registry for registry in REGISTRIES}


def plugins_of_trial(sample: Mapping[str, Any], space: str, data_sets: Iterable[str] = ()) -> PluginVersions:
    """Return the plugins that a trial uses, and import none: hypothesis, distance, extractor, search space, data sets.

    Args:
        sample: Value by label.
        space: Name of the search space that the sample is from.
        data_sets: Names of the data sets, where they are known.

    Raises:
        AutoADError: If one is not installed, or two distributions claim its name.
    """
    named = [(registry, str(sample[label])) for label, registry in COMPONENTS.items() if label in sample]
    return versions_of([*named, (SEARCH_SPACES, space), *((DATASETS, name) for name in data_sets)])


def versions_of(plugins: Iterable[tuple[Registry, str]]) -> PluginVersions:
    """Return distribution and version of plugins; AutoADError if one is not installed or claimed twice."""
    origins = ((f"{registry.noun} {name}", registry.origin(name)) for registry, name in plugins)
    return {key: f"{origin.distribution} {origin.version}" for key, origin in origins}


def check_plugins(recorded: Mapping[str, str]) -> None:
    """Raise unless every recorded plugin is installed in the recorded version.

    Args:
        recorded: As `plugins_of_trial` gave it when the record was made.

    Raises:
        AutoADError: For the first plugin that is missing, or of another distribution or version.
    """
    for key, expected in recorded.items():
        noun, _, name = key.rpartition(" ")
        if noun == WEIGHTS:
            continue  # compared when the model is built (trial/weights.py)
        registry = _BY_NOUN.get(noun)
        if registry is None or not isinstance(expected, str):
            raise AutoADError(
                f"The record names the plugin {key!r}: {expected!r}. Expected a kind out of "
                f"{', '.join(_BY_NOUN)}, then its name. The record was changed by hand: restore it."
            )
        distribution, _, version = expected.rpartition(" ")
        advice = f"Install it with: pip install {distribution}=={version}"
        if name not in registry.names():
            raise AutoADError(
                f"The {noun} '{name}' is not installed. Expected {expected}, with which this was recorded. {advice}"
            )
        origin = registry.origin(name)
        found = f"{origin.distribution} {origin.version}"
        if found != expected:
            raise AutoADError(
                f"The {noun} '{name}' is of {found}. Expected {expected}, with which this was recorded. {advice}"
            )
