"""``python -m benchmarks.strategies``: compares search strategies on recorded results."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import autoad_nni.cli

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def strategies(
    tables: Annotated[
        Path,
        typer.Option(help="Folder with the recorded tables, NAME.jsonl.gz.", show_default="that of the clone"),
    ] = Path(__file__).parent,
    seeds: Annotated[int, typer.Option(min=1, help="Searches per strategy and table, with seeds from 0.")] = 50,
    trials: Annotated[int, typer.Option(min=1, help="Trials per search.")] = 200,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Strategies to compare, also any that is registered under autoad_nni.strategies, with its default "
            "arguments; default: all that the report has.",
        ),
    ] = None,
    output: Annotated[Path, typer.Option(help="Folder for results, figures and tables.")] = Path("runs/strategies"),
) -> None:
    """Compare search strategies on recorded results of models that were trained.

    Stop it with Ctrl-C: the same command continues with the searches that --output/results.jsonl has. After a change in
    the code of a strategy, remove its lines there.
    """
    from benchmarks.strategies.specs import select

    specs = select(only)
    from benchmarks.strategies.answers import load_answers
    from benchmarks.strategies.compare import compare

    report = compare(load_answers(tables), specs, seeds=seeds, trials=trials, output=output, echo=_echo)
    typer.echo(report)
    typer.echo(f"written to {output}")


def _echo(line: str) -> None:
    typer.echo(line, err=True)


def main(arguments: list[str] | None = None) -> None:
    """Run the comparison; an error that the user can correct is one line on stderr and exit code 2."""
    autoad_nni.cli.main(arguments, commands=app, program="python -m benchmarks.strategies")


if __name__ == "__main__":
    main()
