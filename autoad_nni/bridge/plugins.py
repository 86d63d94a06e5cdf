"""Which plugins ran: recorded with every trial, and compared before a recorded one runs again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoad_nni.errors import AutoADError
from autoad_nni.registry import DATASETS, HYPOTHESES, LOSSES, REGISTRIES, SEARCH_SPACES, STRATEGIES, Registry

if TYPE_CHECKING:  # it imports torch, and the advisor has ten seconds to start
    from autoad_nni.bridge.trial_request import TrialRequest

__all__ = [
    "PluginVersions",
    "check_components",
    "check_plugins",
    "plugins_of_sample",
    "plugins_of_search",
    "plugins_of_trial",
]

PluginVersions = dict[str, str]
"""``{"hypothesis density": "autoad-nni 0.1.0", ...}``: kind and name to distribution and version."""

_BY_NOUN: Mapping[str, Registry] = {registry.noun: registry for registry in REGISTRIES}
# The labels of a sample whose values are names of plugins.
_LABELS: Mapping[str, Registry] = {"hypothesis": HYPOTHESES, "distance": LOSSES}


def plugins_of_trial(sample: Mapping[str, Any], request: TrialRequest) -> PluginVersions:
    """Returns the plugins that a trial of ``sample`` runs: hypothesis, distance, search space, data sets.

    Raises:
        AutoADError: If one is not installed, or two distributions claim its name.
    """
    return plugins_of_sample(sample, request.space) | _versions([(DATASETS, name) for name in request.data_sets])


def plugins_of_sample(sample: Mapping[str, Any], space: str) -> PluginVersions:
    """Returns the hypothesis and the distance that a sample names, and the search space it is from.

    Raises:
        AutoADError: If one is not installed, or two distributions claim its name.
    """
    named = [(registry, str(sample[label])) for label, registry in _LABELS.items() if label in sample]
    return _versions([*named, (SEARCH_SPACES, space)])


def plugins_of_search(
    search_space: Mapping[str, Any], *, strategy: str | None, space: str, data_sets: Iterable[str] = ()
) -> PluginVersions:
    """Returns the plugins that a search can run: those its space names, the strategy, the space itself, the data sets.

    Args:
        search_space: Of the experiment file.
        strategy: Its name; None when a tuner of NNI proposes the trials.
        space: Name of the space.
        data_sets: Their names, where they are known.
    """
    named = [
        (registry, str(value))
        for label, registry in _LABELS.items()
        for value in sorted(search_space.get(label, {}).get("_value", []), key=str)
    ]
    strategies = [] if strategy is None else [(STRATEGIES, strategy)]
    return _versions([*named, (SEARCH_SPACES, space), *strategies, *((DATASETS, name) for name in data_sets)])


def _versions(plugins: Iterable[tuple[Registry, str]]) -> PluginVersions:
    origins = ((f"{registry.noun} {name}", registry.origin(name)) for registry, name in plugins)
    return {key: f"{origin.distribution} {origin.version}" for key, origin in origins}


def check_components(search_space: Mapping[str, Any]) -> None:
    """Raises unless every hypothesis and distance that a search space names can be imported and made.

    Raises:
        AutoADError: For the first that cannot, or is something else.
    """
    from autoad_nni.hypotheses.base import Hypothesis
    from autoad_nni.losses.base import Distance

    for label, role in (("hypothesis", Hypothesis), ("distance", Distance)):
        registry = _LABELS[label]
        for name in search_space.get(label, {}).get("_value", []):
            factory = registry.load(name)
            try:
                made = factory()
            except (Exception, SystemExit) as error:
                got = " ".join(f"{type(error).__name__}: {error}".split())
            else:
                if isinstance(made, role):
                    continue
                got = f"a {type(made).__name__}"
            raise AutoADError(
                f"The {registry.noun} '{name}' of {registry.origin(name).distribution}, called without arguments, gave "
                f"{got}. Expected a {role.__name__}. Run 'autoad-nni plugins check {name}', or drop it from the search "
                "space."
            )


def check_plugins(recorded: Mapping[str, str]) -> None:
    """Raises unless every recorded plugin is installed in the recorded version.

    Args:
        recorded: As `plugins_of_trial` gave it when the record was made.

    Raises:
        AutoADError: For the first plugin that is missing, or of another distribution or version.
    """
    for key, expected in recorded.items():
        noun, _, name = key.rpartition(" ")
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
