"""The plugins of a whole search: which it may use, and whether they can be used."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from autoad_nni.errors import AutoADError
from autoad_nni.models.samples import stages_of
from autoad_nni.registry import DATASETS, SEARCH_SPACES, STRATEGIES, Registry
from autoad_nni.trial.plugins import COMPONENTS, PluginVersions, versions_of

if TYPE_CHECKING:
    from autoad_nni.models.features import Extraction

__all__ = ["check_components", "plugins_of_search"]


def plugins_of_search(
    search_space: Mapping[str, Any], *, strategy: str | None, space: str, data_sets: Iterable[str] = ()
) -> PluginVersions:
    """Return the plugins that a search can run: those its space names, the strategy, the space itself, the data sets.

    Args:
        search_space: Of the experiment file.
        strategy: Its name; None when a tuner of NNI proposes the trials.
        space: Name of the space.
        data_sets: Their names, where they are known.
    """
    named = [
        (registry, str(value))
        for label, registry in COMPONENTS.items()
        for value in sorted(search_space.get(label, {}).get("_value", []), key=str)
    ]
    strategies = [] if strategy is None else [(STRATEGIES, strategy)]
    return versions_of([*named, (SEARCH_SPACES, space), *strategies, *((DATASETS, name) for name in data_sets)])


def check_components(search_space: Mapping[str, Any], extraction: Extraction | None = None) -> None:
    """Raise unless every hypothesis, distance and extractor that a search space names can be imported and made.

    Args:
        search_space: Of the experiment file.
        extraction: Where the weights of extractors come from.

    Raises:
        AutoADError: For the first that cannot, or is something else; for an extractor without weights, or without one
            of the stages that the space names.
    """
    from autoad_nni.models.distances.base import Distance
    from autoad_nni.models.features import load_extractor
    from autoad_nni.models.hypotheses.base import Hypothesis

    for label, role in (("hypothesis", Hypothesis), ("distance", Distance)):
        for name in _values(search_space, label):
            _check_component(COMPONENTS[label], name, role)
    stages = {stage for value in _values(search_space, "stages") for stage in stages_of(value)}
    for name in _values(search_space, "extractor"):
        extractor = load_extractor(
            name,
            download=extraction is not None and extraction.download,
            weights=None if extraction is None else extraction.weights,
        )
        extractor.check_stages(sorted(stages))


def _values(search_space: Mapping[str, Any], label: str) -> list[Any]:
    values: list[Any] = search_space.get(label, {}).get("_value", [])
    return values


def _check_component(registry: Registry, name: str, role: type) -> None:
    factory = registry.load(name)
    try:
        made = factory()
    except (Exception, SystemExit) as error:
        got = " ".join(f"{type(error).__name__}: {error}".split())
    else:
        if isinstance(made, role):
            return
        got = f"a {type(made).__name__}"
    raise AutoADError(
        f"The {registry.noun} '{name}' of {registry.origin(name).distribution}, called without arguments, gave "
        f"{got}. Expected a {role.__name__}. Run 'autoad-nni plugins check {name}', or drop it from the search "
        "space."
    )
