"""``autoad-nni plugins``: what is installed, built-in and third-party, and whether it keeps its contract."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from autoad_nni.registry import Registry

__all__ = ["app"]

app = typer.Typer(help="Plugins that are installed, built-in and third-party.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the plugin, as 'plugins list' shows it.")]


@app.command("list")
def list_plugins() -> None:
    """Lists every plugin with the distribution it comes from; imports none of them."""
    from autoad_nni.errors import AutoADError
    from autoad_nni.registry import REGISTRIES

    for registry in REGISTRIES:
        typer.echo(f"{registry.group}:")
        for name in registry.names():
            try:
                origin = registry.origin(name)
                typer.echo(f"  {name:<22} {origin.distribution} {origin.version}")
            except AutoADError as error:
                typer.echo(f"  {name:<22} {error}")


@app.command("show")
def show(name: Name) -> None:
    """Shows where a plugin comes from and what it is, or why it cannot be used; imports it."""
    from autoad_nni.registry import registries_of

    for registry in registries_of(name):
        typer.echo(f"{registry.noun} {name}")
        for key, value in _facts(registry, name).items():
            typer.echo(f"  {key + ':':<13} {value}")


def _facts(registry: Registry, name: str) -> dict[str, str]:
    from autoad_nni.errors import AutoADError

    facts = {"group": registry.group}
    try:
        origin = registry.origin(name)
        facts |= {"distribution": f"{origin.distribution} {origin.version}", "target": origin.target}
        # Not inspect.getdoc: a class without words of its own would speak in those of its base.
        description = (registry.load(name).__doc__ or "").strip()
    except AutoADError as error:
        return facts | {"problem": str(error)}
    return facts | {"description": description.splitlines()[0] if description else "none; it has no docstring"}


@app.command("check")
def check(name: Name) -> None:
    """Runs the contract tests for a hypothesis or a distance; of other plugins it says whether they can be loaded.

    Ends with 1 when a check fails.
    """
    from autoad_nni.registry import registries_of

    passed = [_check(registry, registry.load(name), name) for registry in registries_of(name)]
    if not all(passed):
        raise typer.Exit(1)


def _check(registry: Registry, plugin: Any, name: str) -> bool:
    from autoad_nni.errors import AutoADError
    from autoad_nni.registry import HYPOTHESES, LOSSES

    origin = registry.origin(name)
    typer.echo(f"{registry.noun} {name}, {origin.distribution} {origin.version}")
    typer.echo("  ok    it can be loaded")
    contracts = {HYPOTHESES.group: "HypothesisContract", LOSSES.group: "DistanceContract"}
    if registry.group not in contracts:
        typer.echo(f"  There are no contract tests for a {registry.noun}.")
        return True
    try:
        from autoad_nni.testing.pytest_run import run_contract
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise AutoADError(str(error)) from None
    return run_contract(contracts[registry.group], plugin, typer.echo)
