"""``autoad-nni plugins``: what is installed, built-in and third-party, and whether it keeps its contract."""

from __future__ import annotations

import functools
import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoad_nni.cli.usage import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from autoad_nni.registry import Registry
    from autoad_nni.testing.checking import Check

__all__ = ["app"]

app = typer.Typer(help="Plugins that are installed, built-in and third-party.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the plugin, as 'plugins list' shows it.")]


@app.command("list")
def list_plugins() -> None:
    """Lists every plugin with the distribution it comes from; imports none of them."""
    from autoad_nni.errors import AutoADError
    from autoad_nni.registry import REGISTRIES

    for registry in REGISTRIES:
        say(f"{registry.group}:")
        for name in registry.names():
            try:
                origin = registry.origin(name)
                say(f"  {name:<22} {origin.distribution} {origin.version}")
            except AutoADError as error:
                say(f"  {name:<22} {error}")


@app.command("show")
def show(name: Name) -> None:
    """Shows where a plugin comes from and what it is, or why it cannot be used; imports it."""
    from autoad_nni.registry import registries_of

    for registry in registries_of(name):
        say(f"{registry.noun} {name}")
        for key, value in _facts(registry, name).items():
            say(f"  {key + ':':<13} {value}")


def _facts(registry: Registry, name: str) -> dict[str, str]:
    from autoad_nni.errors import AutoADError

    facts = {"group": registry.group}
    try:
        origin = registry.origin(name)
        facts |= {"distribution": f"{origin.distribution} {origin.version}", "target": origin.target}
        # Not inspect.getdoc: a class without words of its own would speak in those of its base.
        description = (registry.load(name).__doc__ or "").strip()
        facts["description"] = description.splitlines()[0] if description else "none; it has no docstring"
        known = _known(registry, name)
    except AutoADError as error:
        return facts | {"problem": str(error)}
    return facts | ({"known": ", ".join(known)} if known else {})


def _known(registry: Registry, name: str) -> list[str]:
    """Return the names of the known methods of a search space; none for another plugin."""
    from autoad_nni.registry import SEARCH_SPACES

    if registry.group != SEARCH_SPACES.group:
        return []
    from autoad_nni.searches.known import known_methods

    return list(known_methods(name))


@app.command("check")
def check(
    name: Name,
    weights: Annotated[Path | None, typer.Option(help="Weights of a feature extractor.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Download the weights of a feature extractor.")] = False,
) -> None:
    """Runs the contract checks for a hypothesis, a distance, a feature extractor or a defect generator.

    Of other plugins it says whether they can be loaded. Ends with 1 when a check fails.
    """
    from autoad_nni.registry import FEATURES, registries_of

    passed = []
    for registry in registries_of(name):
        plugin = registry.load(name)
        if registry.group == FEATURES.group:
            plugin = _with_weights(plugin, weights, download)
        passed.append(_keeps_contract(registry, plugin, name))
    if not all(passed):
        raise typer.Exit(1)


def _with_weights(plugin: Any, weights: Path | None, download: bool) -> Any:
    """What makes the extractor; AutoADError if its weights or a package are missing, which is no fault of it."""
    from autoad_nni.errors import AutoADError

    made = functools.partial(plugin, download=download, weights=weights)
    try:
        made()
    except AutoADError:
        raise
    except (Exception, SystemExit):  # the checks say so
        pass
    return made


def _keeps_contract(registry: Registry, plugin: Any, name: str) -> bool:
    origin = registry.origin(name)
    say(f"{registry.noun} {name}, {origin.distribution} {origin.version}")
    say("  ok    it can be loaded")
    checks = _checks_for(registry)
    if not checks:
        say(f"  There are no contract checks for {_article(registry.noun)} {registry.noun}.")
        return True
    n_failed = [_passes(check, plugin) for check in checks].count(False)
    outcome = f"{n_failed} failed" if n_failed else "all passed"
    say(f"  {len(checks) + 1} checks, {outcome}.")  # that it can be loaded is one too
    return n_failed == 0


def _checks_for(registry: Registry) -> tuple[Check[Any], ...]:
    from autoad_nni.registry import DEFECTS, FEATURES, HYPOTHESES, LOSSES, STRATEGIES

    if registry.group == DEFECTS.group:
        from autoad_nni.testing.defect_checks import DEFECT_CHECKS

        return DEFECT_CHECKS
    if registry.group == FEATURES.group:
        from autoad_nni.testing.feature_checks import FEATURE_CHECKS

        return FEATURE_CHECKS
    if registry.group == HYPOTHESES.group:
        from autoad_nni.testing.hypothesis_checks import HYPOTHESIS_CHECKS

        return HYPOTHESIS_CHECKS
    if registry.group == LOSSES.group:
        from autoad_nni.testing.distance_checks import DISTANCE_CHECKS

        return DISTANCE_CHECKS
    if registry.group == STRATEGIES.group:
        from autoad_nni.testing.strategy_checks import STRATEGY_CHECKS

        return STRATEGY_CHECKS
    return ()


def _passes(check: Callable[[Any], None], plugin: Any) -> bool:
    """Run one check and print its line; what the plugin prints or warns of is dropped."""
    said = check.__name__.replace("_", " ")
    silence = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(silence), redirect_stderr(silence):
            warnings.simplefilter("ignore")
            check(plugin)
    except AssertionError as error:
        say(f"  FAIL  {said}. {error}")
        return False
    say(f"  ok    {said}")
    return True


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
