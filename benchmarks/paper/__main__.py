"""``python -m benchmarks.paper``: the article's tables on the data that is there."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import autoad_nni.cli
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from benchmarks.paper.cells import Budget, Cell, Cells
    from benchmarks.paper.recorded import Searches

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Output = Annotated[Path, typer.Option(help="Folder for cells, runs and tables.")]
Seeds = Annotated[int, typer.Option(min=1, help="Of split, strategy and training, from 0.")]
Trials = Annotated[int, typer.Option(min=1, help="Of each search.")]
Minutes = Annotated[float | None, typer.Option(min=1, help="Of each search; whichever limit is reached first ends it.")]
Epochs = Annotated[int, typer.Option(min=1, help="Of each trial of a search.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data sets.")]
Roots = Annotated[str | None, typer.Option(help="Folders of single sets, NAME=DIR[,NAME=DIR...].")]
ClassifierEpochs = Annotated[int, typer.Option(min=1, help="Of the classifier of MSP and ODIN.")]
Limit = Annotated[int | None, typer.Option(min=10, help="Normal images of a set at most; default of table3: all.")]
Methods = Annotated[str | None, typer.Option(help="NAME[,NAME...]; default: all of the table.")]


@app.command()
def table2(
    pairs: Annotated[
        str | None,
        typer.Option(help="NORMAL/ABNORMAL[,...], any sets; default: the article's pairs."),
    ] = None,
    methods: Methods = None,
    seeds: Seeds = 2,
    trials: Trials = 30,
    minutes: Minutes = None,
    epochs: Epochs = 3,
    limit: Limit = 20_000,
    classifier_epochs: ClassifierEpochs = 30,
    root: Root = None,
    roots: Roots = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing sets into --root.")] = False,
    output: Output = Path("runs/paper"),
) -> None:
    """Table II: images of other sets among those of one; AutoAD, MSP, ODIN."""
    from benchmarks.paper.published import TABLE_2
    from benchmarks.paper.rows import methods_of, pair_rows

    rows = pair_rows(pairs, TABLE_2, roots, root=root, download=download or None)
    chosen = methods_of(methods, ["autoad", "autoad_features", "msp", "odin"])
    budget = {"trials": trials, "minutes": minutes, "epochs": epochs, "limit": limit, "max_seconds": 120.0}
    classifiers = {name: {"epochs": classifier_epochs} for name in ("msp", "odin")}
    _compute("table2", rows, chosen, seeds, {**budget, "competitors": classifiers}, output)


@app.command()
def table3(
    categories: Annotated[
        str,
        typer.Option(help="NAME[,NAME...]: categories of MVTec-AD below --root, brick, grass, gravel, solar_cells."),
    ] = "brick,grass,gravel,solar_cells",
    methods: Methods = None,
    seeds: Seeds = 2,
    trials: Trials = 40,
    minutes: Minutes = None,
    epochs: Epochs = 10,
    limit: Limit = None,
    root: Root = None,
    output: Output = Path("runs/paper"),
) -> None:
    """Table III: where defects are; AutoAD, SSIM autoencoder, AnoGAN, feature dictionary."""
    from benchmarks.paper.rows import category_rows, methods_of

    rows = category_rows(categories, root)
    chosen = methods_of(methods, ["autoad", "autoad_features", "ssim_autoencoder", "anogan", "feature_dictionary"])
    budget = {"trials": trials, "minutes": minutes, "epochs": epochs, "limit": limit, "max_seconds": 120.0}
    _compute("table3", rows, chosen, seeds, budget, output)


@app.command()
def table4(output: Output = Path("runs/paper")) -> None:
    """Table IV: the models that the searches of the other tables found, drawn, too."""
    from benchmarks.paper.architectures import write_architectures
    from benchmarks.paper.cells import Cells
    from benchmarks.strategies.figures import require_matplotlib

    require_matplotlib()
    # Not mended: a search may be writing.
    typer.echo(write_architectures(Cells(output, mend=False)))


_Seeds50 = Annotated[int, typer.Option(min=1, help="Searches of each strategy, with seeds from 0.")]
_Trials200 = Annotated[int, typer.Option(min=1, help="Of each search.")]
# A window of the figure has as many.
_Trials20 = Annotated[int, typer.Option(min=20, help="Of each search.")]
_Tables = Annotated[str, typer.Option(help="NAME[,NAME...]: recorded tables on which strategies searched.")]
_Recorded = Annotated[
    str | None,
    typer.Option(
        metavar="FILE[,FILE...]",
        help="Searches of python -m benchmarks.strategies; default: those of the clone, experiments/strategies.",
    ),
]


@app.command()
def table5(
    tables: _Tables = "small,random",
    seeds: _Seeds50 = 50,
    trials: _Trials200 = 200,
    searches: _Recorded = None,
    output: Output = Path("runs/paper"),
) -> None:
    """Table V: what the parts of the strategy are worth, by searches on recorded tables."""
    from benchmarks.paper.ablations import write_table

    typer.echo(write_table(_read(searches, tables), seeds, trials, output))


@app.command()
def figure3(
    tables: _Tables = "small,random",
    seeds: _Seeds50 = 50,
    trials: _Trials20 = 200,
    searches: _Recorded = None,
    output: Output = Path("runs/paper"),
) -> None:
    """Figure 3: how searches on recorded tables go on, beside random search."""
    from benchmarks.paper.progress import write_figure
    from benchmarks.strategies.figures import require_matplotlib

    require_matplotlib()
    typer.echo(write_figure(_read(searches, tables), seeds, trials, output))


def _read(searches: str | None, tables: str) -> Mapping[str, Searches]:
    """The recorded searches of `table5` and `figure3`."""
    from benchmarks.paper.recorded import OF_THE_CLONE, read_searches
    from benchmarks.paper.rows import names_of

    files = OF_THE_CLONE if searches is None else [Path(each) for each in searches.split(",")]
    return read_searches(files, names_of(tables, "tables"))


def _compute(
    table: str,
    rows: Mapping[str, Mapping[str, Any]],
    methods: list[str],
    seeds: int,
    budget: Mapping[str, Any],
    output: Path,
) -> None:
    from benchmarks.paper.cells import Budget, Cell, Cells, locked
    from benchmarks.paper.report import write
    from benchmarks.paper.rows import trial_options

    missing = _missing(rows, budget["limit"])
    wanted = [
        Cell(table, row, method, seed, trial_options(table, method, options))
        for seed in range(seeds)
        for row, options in rows.items()
        if row not in missing
        for method in methods
    ]
    with locked(output):
        cells, given = Cells(output), Budget(**budget)
        cells.check_settings(wanted, given)
        try:
            _fill(cells, [cell for cell in wanted if not cells.has(cell)], given)
        except KeyboardInterrupt:
            typer.echo("stopped. The same command goes on.", err=True)
            raise typer.Exit(130) from None
        typer.echo(write(cells, table, missing))


def _fill(cells: Cells, wanted: Sequence[Cell], budget: Budget) -> None:
    began = time.monotonic()
    for done, cell in enumerate(wanted):
        name = "/".join(map(str, cell.key))
        typer.echo(f"{name}: cell {done + 1} of {len(wanted)}", err=True)
        line = cells.compute(cell, budget)
        left = (time.monotonic() - began) / (done + 1) * (len(wanted) - done - 1)
        found = line.get("failed") or ", ".join(f"{each} {value:.4f}" for each, value in line["test"].items())
        typer.echo(f"{name}: {found}; about {left / 60:.0f} min left", err=True)


def _missing(rows: Mapping[str, Mapping[str, Any]], limit: int | None) -> dict[str, str]:
    """Why rows cannot be computed; AutoADError if none can."""
    from autoad_nni.cli.usage import say
    from benchmarks.paper.rows import obstacle

    missing = {row: why for row, options in rows.items() if (why := obstacle(options, limit)) is not None}
    if len(missing) == len(rows):
        for row, why in missing.items():
            say(f"{row}: {why}", err=True)
        raise AutoADError("no row can be computed. Expected the images of one at least. The lines above say why.")
    return missing


def main(arguments: list[str] | None = None) -> None:
    """Compute a table; an error that the user can correct is one line on stderr and exit code 2."""
    autoad_nni.cli.main(arguments, commands=app, program="python -m benchmarks.paper")


if __name__ == "__main__":
    main()
