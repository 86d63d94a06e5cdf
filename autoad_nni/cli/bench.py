"""``autoad-nni bench``: comparisons of the toolkit's parts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["app"]

app = typer.Typer(help="Comparisons of the toolkit's parts.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    pass


@app.command("strategies")
def strategies(
    tables: Annotated[Path, typer.Option(help="Folder with small.jsonl.gz, random.jsonl.gz or both.")] = Path(
        "benchmarks/strategies"
    ),
    seeds: Annotated[int, typer.Option(min=1, help="Searches per strategy and table, with seeds from 0.")] = 50,
    trials: Annotated[int, typer.Option(min=1, help="Trials per search.")] = 200,
    only: Annotated[str | None, typer.Option(metavar="NAME,...", help="Strategies to compare; default: all.")] = None,
    output: Annotated[Path, typer.Option(help="Folder for results, figures and tables.")] = Path("runs/strategies"),
) -> None:
    """Compares search strategies on recorded results of child models.

    Stop it with Ctrl-C: the same command goes on with the runs that --output/results.jsonl has. After a change in the
    code of a strategy, remove its lines there.
    """
    from autoad_nni.bench.specs import select

    specs = select(only)
    from autoad_nni.bench.answers import load_answers
    from autoad_nni.bench.compare import compare

    report = compare(load_answers(tables), specs, seeds=seeds, trials=trials, output=output, tell=_tell)
    typer.echo(report)
    typer.echo(f"written to {output}")


def _tell(line: str) -> None:
    typer.echo(line, err=True)
