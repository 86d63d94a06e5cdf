"""Plugins that cannot be used, and feature extractors that lack their weights."""

from __future__ import annotations

from collections.abc import Iterator

from autoad_nni.doctor.findings import Finding, Level
from autoad_nni.errors import AutoADError
from autoad_nni.models.features import load_extractor
from autoad_nni.registry import FEATURES, REGISTRIES

__all__ = ["extractors", "installed_plugins"]


def installed_plugins() -> Iterator[Finding]:
    """Import every plugin."""
    n_plugins, foreign, broken = 0, set(), []
    for registry in REGISTRIES:
        for name in registry.names():
            n_plugins += 1
            problem = registry.problem(name)
            if problem is not None:
                broken.append(Finding(Level.FAILURE, problem, f"Leave out the {registry.noun} {name}, or repair it."))
                continue
            origin = registry.origin(name)
            if origin.distribution != "autoad-nni":
                foreign.add(f"{origin.distribution} {origin.version}")
    others = f", others' from {', '.join(sorted(foreign))}" if foreign else ""
    yield Finding(Level.OK, f"{n_plugins - len(broken)} of {n_plugins} plugins can be imported{others}")
    yield from broken


def extractors() -> Iterator[Finding]:
    """Load every feature extractor without a file of weights, as a search does."""
    ready = []
    for name in FEATURES.names():
        if FEATURES.problem(name) is not None:
            continue  # `installed_plugins` says so
        try:
            load_extractor(name)
            ready.append(name)
        except AutoADError as error:
            yield Finding(Level.NOTE, f"the extractor {name} cannot be used: {error.on_command_line()}")
        except (Exception, SystemExit) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            yield Finding(
                Level.FAILURE,
                f"the extractor {name} ended in {reason}",
                f"Run 'autoad-nni plugins check {name}', and leave it out until then.",
            )
    yield Finding(Level.OK, f"extractors that can be used: {', '.join(ready)}")
