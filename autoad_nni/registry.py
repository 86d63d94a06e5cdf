"""Finds plugins by name through entry points, without importing them before they are used."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = [
    "ARCHITECTURES",
    "COMPETITORS",
    "DATASETS",
    "DEFECTS",
    "FEATURES",
    "HYPOTHESES",
    "LOSSES",
    "REGISTRIES",
    "SEARCH_SPACES",
    "STRATEGIES",
    "Origin",
    "Registry",
    "registries_of",
]


@dataclass(frozen=True)
class Origin:
    """Where a plugin comes from, as far as its metadata says, without importing it.

    Args:
        distribution: Name of the installed distribution that registers the plugin.
        version: Its version.
        target: The registered object, ``module:attribute``.
    """

    distribution: str
    version: str
    target: str


class Registry:
    """The plugins of one entry-point group; the built-in ones are registered like anyone else's.

    The table is read once, from metadata only. Listing imports nothing; a plugin that is broken, or whose name two
    distributions claim, stays listed and harms no other: only asking for it raises. One distribution that is found
    twice (an editable install beside its source folder) is no clash; the first on ``sys.path`` counts.

    Args:
        group: Entry-point group, for instance ``autoad_nni.hypotheses``.
        noun: What one plugin of the group is called in messages.
        entry_points: Gives the entry points of the group instead of the installed metadata; for tests.

    Example:
        >>> LOSSES.load("l1").__name__
        'L1Distance'
        >>> LOSSES.load("l33")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: Unknown distance 'l33'. Installed: l1, l2, l21... Use one of these...
    """

    def __init__(
        self,
        group: str,
        *,
        noun: str = "plugin",
        entry_points: Callable[[], Iterable[metadata.EntryPoint]] | None = None,
    ) -> None:
        self.group = group
        self.noun = noun
        self._entry_points = entry_points or (lambda: _installed(group))

    def names(self) -> tuple[str, ...]:
        """The registered names, sorted, broken ones included; imports nothing."""
        return tuple(sorted(self._table))

    def origin(self, name: str) -> Origin:
        """Tell which distribution and version registers ``name``; imports nothing.

        Raises:
            AutoADError: The name is unknown or registered by two distributions.
        """
        entry_point = self._find(name)
        dist = entry_point.dist
        return Origin(_distribution(entry_point), dist.version if dist else "unknown", entry_point.value)

    def load(self, name: str) -> Any:
        """Import and return the object registered as ``name``.

        Raises:
            AutoADError: The name is unknown (with the nearest one, and what is installed), registered by two
                distributions (both are named), or its import fails (with the reason).
        """
        entry_point = self._find(name)
        try:
            return entry_point.load()
        except (Exception, SystemExit) as error:  # a plugin's module may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise AutoADError(
                f"The {self.noun} '{name}' of {_distribution(entry_point)} is broken: {entry_point.value} gave "
                f"{reason}. Expected an object that can be imported. Repair or uninstall that distribution."
            ) from error

    def problem(self, name: str) -> str | None:
        """Why ``name`` cannot be used, or None when it can; imports it."""
        try:
            self.load(name)
        except AutoADError as error:
            return str(error)
        return None

    @cached_property
    def _table(self) -> dict[str, dict[str, metadata.EntryPoint]]:
        """Name to distribution to entry point; more than one distribution is a clash."""
        table: dict[str, dict[str, metadata.EntryPoint]] = {}
        for entry_point in self._entry_points():
            table.setdefault(entry_point.name, {}).setdefault(_distribution(entry_point), entry_point)
        return table

    def _find(self, name: str) -> metadata.EntryPoint:
        candidates = self._table.get(name)
        if candidates is None:
            raise AutoADError(self._unknown(name))
        if len(candidates) > 1:
            raise AutoADError(
                f"The {self.noun} '{name}' is registered by {' and by '.join(sorted(candidates))}. "
                "Expected one distribution. Uninstall all but one of them."
            )
        return next(iter(candidates.values()))

    def _unknown(self, name: str) -> str:
        if not self._table:
            return (
                f"Unknown {self.noun} '{name}': nothing is registered in the entry-point group {self.group}. "
                "Expected at least the built-in ones. Install autoad-nni with pip, rather than copying its files."
            )
        near = difflib.get_close_matches(str(name).lower().replace("-", "_"), self.names(), n=1, cutoff=0.5)
        advice = f"Did you mean '{near[0]}'?" if near else "Use one of these, or install the distribution that has it."
        return f"Unknown {self.noun} '{name}'. Installed: {', '.join(self.names())}. {advice}"


def _installed(group: str) -> Iterator[metadata.EntryPoint]:
    """The entry points of every distribution whose metadata can be read; a damaged one harms no other."""
    for distribution in metadata.distributions():
        try:
            named = distribution.metadata is not None and bool(distribution.name)
            found = list(distribution.entry_points.select(group=group)) if named else []
        except Exception:  # a file that is missing, not UTF-8, or no list of names
            continue
        yield from found


def _distribution(entry_point: metadata.EntryPoint) -> str:
    """The normalised distribution name (PEP 503), so that ``My_Plugin`` and ``my-plugin`` are one."""
    if entry_point.dist is None:
        return f"the module {entry_point.module}"
    return entry_point.dist.name.lower().replace("_", "-").replace(".", "-")


HYPOTHESES = Registry("autoad_nni.hypotheses", noun="hypothesis")
LOSSES = Registry("autoad_nni.losses", noun="distance")
STRATEGIES = Registry("autoad_nni.strategies", noun="strategy")
SEARCH_SPACES = Registry("autoad_nni.search_spaces", noun="search space")
ARCHITECTURES = Registry("autoad_nni.architectures", noun="architecture")
FEATURES = Registry("autoad_nni.features", noun="feature extractor")
DATASETS = Registry("autoad_nni.datasets", noun="data set")
COMPETITORS = Registry("autoad_nni.competitors", noun="competitor")
DEFECTS = Registry("autoad_nni.defects", noun="defect generator")
REGISTRIES = (HYPOTHESES, LOSSES, STRATEGIES, SEARCH_SPACES, ARCHITECTURES, FEATURES, DATASETS, COMPETITORS, DEFECTS)


def registries_of(name: str, registries: Iterable[Registry] = REGISTRIES) -> tuple[Registry, ...]:
    """Return the registries that have a plugin of this name, more than one if several do; imports nothing.

    Args:
        name: What the plugin is registered as.
        registries: Where to look.

    Raises:
        AutoADError: None has it; with the nearest names of all.

    Example:
        >>> [registry.noun for registry in registries_of("l1")]
        ['distance']
        >>> registries_of("ssmi")
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: Unknown plugin 'ssmi'. Expected the name of an installed one. Did you mean \
'ssim' (distance)? 'autoad-nni plugins list' shows all.
    """
    registries = tuple(registries)
    found = tuple(registry for registry in registries if name in registry.names())
    if found:
        return found
    nouns: dict[str, list[str]] = {}
    for registry in registries:
        for known in registry.names():
            nouns.setdefault(known, []).append(registry.noun)
    near = difflib.get_close_matches(name.lower().replace("-", "_"), nouns, n=3, cutoff=0.6)
    meant = " or ".join(f"'{known}' ({', '.join(nouns[known])})" for known in near)
    advice = f"Did you mean {meant}? " if near else ""
    raise AutoADError(
        f"Unknown plugin '{name}'. Expected the name of an installed one. {advice}'autoad-nni plugins list' shows all."
    )
