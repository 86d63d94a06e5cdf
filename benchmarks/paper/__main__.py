"""``python -m benchmarks.paper``: the article's tables on the data that is there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

import autoad_nni.cli

__all__ = ["app", "main"]

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Output = Annotated[Path, typer.Option(help="Folder for cells, runs and tables.")]
Seeds = Annotated[int, typer.Option(min=1, help="Of split, strategy and training, from 0.")]
Trials = Annotated[int, typer.Option(min=1, help="Of each search.")]
Minutes = Annotated[float | None, typer.Option(help="Of each search; whichever limit is reached first ends it.")]
Epochs = Annotated[int, typer.Option(min=1, help="Of each trial of a search.")]
Root = Annotated[Path | None, typer.Option(help="Folder of the data sets.")]
Roots = Annotated[str | None, typer.Option(help="Folders of single sets, NAME=DIR[,NAME=DIR...].")]
ClassifierEpochs = Annotated[int, typer.Option(min=1, help="Of the classifier of MSP and ODIN.")]
Limit = Annotated[int | None, typer.Option(help="Normal images of a set at most; default of table3: all.")]
Methods = Annotated[str | None, typer.Option(help="NAME[,NAME...]; default: all of the table.")]


@app.command()
def table2(
    pairs: Annotated[
        str, typer.Option(help="NORMAL/ABNORMAL[,...]; sets that the article does not have are taken, too.")
    ] = "",
    methods: Methods = None,
    seeds: Seeds = 2,
    trials: Trials = 30,
    minutes: Minutes = None,
    epochs: Epochs = 3,
    limit: Limit = 20_000,
    classifier_epochs: ClassifierEpochs = 30,
    root: Root = None,
    roots: Roots = None,
    output: Output = Path("runs/paper"),
) -> None:
    """Table II: images of other sets among those of one; AutoAD, MSP, ODIN."""
    from benchmarks.paper.published import TABLE_2

    names = [tuple(pair.split("/", 1)) for pair in pairs.split(",") if "/" in pair] or list(TABLE_2)
    rows = {
        f"{normal}/{abnormal}": _given(data=normal, abnormal=abnormal, root=root, roots=_of(roots, (normal, abnormal)))
        for normal, abnormal in names
    }
    chosen = methods.split(",") if methods else ["autoad", "autoad_features", "msp", "odin"]
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
    rows = {name: _category(name, root) for name in categories.split(",")}
    chosen = methods.split(",") if methods else ["autoad", "autoad_features", "ssim_autoencoder", "anogan"]
    chosen += [] if methods else ["feature_dictionary"]
    budget = {"trials": trials, "minutes": minutes, "epochs": epochs, "limit": limit, "max_seconds": 120.0}
    _compute("table3", rows, chosen, seeds, budget, output)


@app.command()
def table4(output: Output = Path("runs/paper")) -> None:
    """Table IV: the models that the searches of the other tables found."""
    from benchmarks.paper.cells import Cells
    from benchmarks.paper.report import architectures

    typer.echo(architectures(Cells(output)))


_Seeds50 = Annotated[int, typer.Option(min=1, help="Searches of each strategy, with seeds from 0.")]
_Trials200 = Annotated[int, typer.Option(min=1, help="Of each search.")]
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
    from benchmarks.paper.recorded import read_searches

    typer.echo(write_table(read_searches(_files(searches), tables.split(",")), seeds, trials, output))


@app.command()
def figure3(
    tables: _Tables = "small,random",
    seeds: _Seeds50 = 50,
    trials: _Trials200 = 200,
    searches: _Recorded = None,
    output: Output = Path("runs/paper"),
) -> None:
    """Figure 3: how searches on recorded tables go on, beside random search."""
    from benchmarks.paper.progress import write_figure
    from benchmarks.paper.recorded import read_searches
    from benchmarks.strategies.figures import require_matplotlib

    require_matplotlib()
    typer.echo(write_figure(read_searches(_files(searches), tables.split(",")), seeds, trials, output))


def _files(searches: str | None) -> list[Path]:
    """The files of recorded searches."""
    if searches is not None:
        return [Path(each) for each in searches.split(",")]
    return sorted((Path(__file__).parents[2] / "experiments" / "strategies").glob("*.jsonl.gz"))


def _compute(
    table: str,
    rows: Mapping[str, Mapping[str, Any]],
    methods: list[str],
    seeds: int,
    budget: Mapping[str, Any],
    output: Path,
) -> None:
    from benchmarks.paper.cells import Budget, Cell, Cells
    from benchmarks.paper.report import write

    cells, given = Cells(output), Budget(**budget)
    missing = {row: why for row, options in rows.items() if (why := _obstacle(options)) is not None}
    wanted = [
        Cell(table, row, method, seed, _options(table, method, options))
        for seed in range(seeds)
        for row, options in rows.items()
        if row not in missing
        for method in methods
    ]
    open_cells = [cell for cell in wanted if not cells.has(cell)]
    began = time.monotonic()
    for done, cell in enumerate(open_cells):
        line = cells.compute(cell, given)
        left = (time.monotonic() - began) / (done + 1) * (len(open_cells) - done - 1)
        figures = line.get("failed") or ", ".join(f"{name} {value:.4f}" for name, value in line["test"].items())
        typer.echo(f"{'/'.join(map(str, cell.key))}: {figures}; about {left / 60:.0f} min left", err=True)
    typer.echo(write(cells, table, missing))


def _category(name: str, root: Path | None) -> dict[str, Any]:
    """The images of a row of Table III."""
    if name == "solar_cells":  # without masks: images are told apart, not pixels
        return _given(data=name, image_size=128, reward="auroc")
    if name in ("brick", "grass", "gravel"):
        return _given(data="textures", category=name, reward="aupro")
    return _given(data="mvtec", category=name, root=root, image_size=128, reward="aupro")


def _options(table: str, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Windows for the article's space on defects, as in experiments/textures.yml."""
    windows = {"patch": 16, "two_sided": True, "max_macs": 2_000_000} if method == "autoad" else {}
    if table == "table2":
        windows = {"max_macs": 10_000_000} if method == "autoad" else {}
        # The extractors see no less than this; a set of 28 x 28 has a single location of most of their stages.
        windows |= {"image_size": 64} if method == "autoad_features" else {}
    return {**options, **windows}


def _obstacle(options: Mapping[str, Any]) -> str | None:
    """Why a row cannot be computed; None if it can."""
    from autoad_nni.data.plan import plan_task
    from autoad_nni.errors import AutoADError
    from autoad_nni.trial.request import TrialRequest

    try:
        plan_task(TrialRequest.from_options(**options).task)
    except AutoADError as error:
        return str(error)
    return None


def _of(roots: str | None, names: tuple[str, ...]) -> str | None:
    """The roots of these sets."""
    return ",".join(each for each in (roots or "").split(",") if each.partition("=")[0] in names) or None


def _given(**options: Any) -> dict[str, Any]:
    return {
        name: str(value) if isinstance(value, Path) else value for name, value in options.items() if value is not None
    }


def main(arguments: list[str] | None = None) -> None:
    """Compute a table; an error that the user can correct is one line on stderr and exit code 2."""
    autoad_nni.cli.main(arguments, commands=app, program="python -m benchmarks.paper")


if __name__ == "__main__":
    main()
