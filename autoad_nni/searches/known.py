"""Known methods: samples of a search space with a name of their own, with which a search begins."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

from nni.mutable import Mutable
from nni.nas.strategy.base import Strategy

from autoad_nni.errors import AutoADError
from autoad_nni.registry import SEARCH_SPACES
from autoad_nni.searches.spaces import SampleSpace, holds

__all__ = ["KnownFirst", "known_methods", "known_within", "spaces_with"]

Sample = dict[str, Any]


def known_methods(space: str) -> dict[str, Sample]:
    """Return the samples that a registered search space names, in its order; none for a space without ``known``.

    Args:
        space: Name in the registry of search spaces.

    Raises:
        AutoADError: If the space is not registered, or its ``known`` is no mapping of names to samples.

    Example:
        >>> known_methods("autoencoder")
        {}
    """
    known = getattr(SEARCH_SPACES.load(space), "known", {})
    if not isinstance(known, Mapping) or not all(isinstance(sample, Mapping) for sample in known.values()):
        raise AutoADError(
            f"The search space '{space}' of {SEARCH_SPACES.origin(space).distribution} has known = {str(known)[:120]}. "
            "Expected a mapping of names to samples. Repair that distribution."
        )
    return {str(name): dict(sample) for name, sample in known.items()}


def spaces_with(name: str) -> list[str]:
    """Return the registered search spaces that have a known method of a name; one that is broken has none.

    Example:
        >>> spaces_with("patchcore")
        ['features']
    """
    found = []
    for space in SEARCH_SPACES.names():
        with contextlib.suppress(AutoADError):
            if name in known_methods(space):
                found.append(space)
    return found


def known_within(space: str, mutables: Mapping[str, Mutable]) -> dict[str, Sample]:
    """Return the known methods that a narrowed space still has, in their order; of two names for one sample the first.

    Args:
        space: Name in the registry of search spaces.
        mutables: What `autoad_nni.searches.spaces.narrow` left of it.
    """
    within: dict[str, Sample] = {}
    for name, sample in known_methods(space).items():
        if sample not in within.values() and holds(mutables, sample):
            within[name] = sample
    return within


class KnownFirst(Strategy):  # type: ignore[misc]  # nni ships no types
    """Tries named samples in their order, and waits for all; another strategy goes on after it.

    Args:
        methods: Samples of the space, by name.
    """

    def __init__(self, methods: Mapping[str, Sample]) -> None:
        super().__init__()
        self.methods = methods
        self.results: list[tuple[Sample, float | None]] = []
        """The samples that have ended, in their order, with their rewards; None for one that crashed."""

    def _run(self) -> None:
        models: list[SampleSpace] = []
        for name, sample in self.methods.items():
            if not self.wait_for_resource():
                break
            model: SampleSpace = self.model_space.freeze(sample)
            model.known = name
            models.append(model)
            self.engine.submit_models(model)
        if models:
            # All of them, so that what the strategy learns does not depend on the order in which they end.
            self.engine.wait_models(*models)
        self.results = [(model.sample or {}, model.metric) for model in models if model.status.completed()]
