"""``autoad-nni plugins``: what is installed, built-in and third-party."""

from __future__ import annotations

import typer

__all__ = ["app"]

app = typer.Typer(help="Plugins that are installed, built-in and third-party.", no_args_is_help=True)


@app.command("list")
def list_plugins() -> None:
    """Lists every plugin with the distribution it comes from; imports none of them."""
    from autoad_nni import registry
    from autoad_nni.errors import AutoADError

    groups = (registry.HYPOTHESES, registry.LOSSES, registry.STRATEGIES, registry.SEARCH_SPACES, registry.DATASETS)
    for group in groups:
        typer.echo(f"{group.group}:")
        for name in group.names():
            try:
                origin = group.origin(name)
                typer.echo(f"  {name:<22} {origin.distribution} {origin.version}")
            except AutoADError as error:
                typer.echo(f"  {name:<22} {error}")


@app.callback()
def _plugins() -> None:
    pass
