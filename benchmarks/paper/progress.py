"""Figure 3: the progress of searches, beside random search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.paper.cells import results_folder
from benchmarks.paper.recorded import NOT_THE_ARTICLES, Searches, too_few
from benchmarks.paper.report import write_text
from benchmarks.strategies.figures import band, draw_lines
from benchmarks.strategies.report import Curves, best_so_far, markdown_table, per_window, top_so_far
from benchmarks.strategies.specs import RANDOM, SPECS

__all__ = ["write_figure"]

_LINES: Final = ("autoad", "autoad process", "autoad paper", RANDOM)
_WINDOW: Final = 20
_PANELS: Final[Mapping[str, tuple[Callable[[Curves], Curves], int]]] = {
    "best so far": (best_so_far, 1),
    "mean of the five best so far": (top_so_far, 1),
    f"mean of {_WINDOW} trials": (lambda curves: per_window(curves, _WINDOW)[0], _WINDOW),
    f"deviation of {_WINDOW} trials": (lambda curves: per_window(curves, _WINDOW)[1], _WINDOW),
}
"""What is drawn from top to bottom: values of each search, and how many trials there are between two of them. The
article has the last three."""


def write_figure(searches: Mapping[str, Searches], seeds: int, trials: int, output: Path) -> str:
    """Write ``figure3.png``, ``figure3.md`` and ``figure3.csv``; return the Markdown.

    Args:
        searches: By table; one without random search, or with nothing else, is left out.
        seeds: Searches for each line, with seeds from 0; a line that has fewer is left out.
        trials: Of each.
        output: Folder.

    Raises:
        AutoADError: No table is left; then nothing is written.
    """
    columns = {}
    for table, group in searches.items():
        found = {name: group.curves(SPECS[name], seeds, trials) for name in _LINES}
        curves = {name: each for name, each in found.items() if each is not None}
        if RANDOM in curves and len(curves) > 1:
            columns[table] = curves
    if not columns:
        raise too_few(seeds, trials)
    rows = [row for table, curves in columns.items() for row in _points(table, curves)]
    text = "\n\n".join([NOT_THE_ARTICLES, _HEAD.format(seeds=seeds), *_markdown(rows)]) + "\n"
    write_text(output, "figure3", rows, text)
    with results_folder(output):
        _draw(columns, output / "figure3.png")
    return text


_HEAD = (
    "![best so far, the five best, mean and deviation](figure3.png)\n\n"
    "Mean of {seeds} searches ± half its 95 % interval (Student's t). The article's Figure 3 has the three lower rows "
    "and no numbers: the five best of AutoAD ahead of random search throughout, a mean that rises, a deviation that "
    "falls. `autoad` is the default, `autoad process` its preset with a Gaussian process as a filter, `autoad paper` "
    "its preset with the article's constants. A column has the searches on one version of a table."
)


def _points(table: str, curves: Mapping[str, Curves]) -> Iterator[dict[str, Any]]:
    for panel, (values_of, step) in _PANELS.items():
        for name, each in curves.items():
            for number, (mean, margin) in enumerate(zip(*band(values_of(each)), strict=True), start=1):
                point = {"table": table, "figure": panel, "strategy": name, "trial": step * number}
                yield point | {"mean": f"{mean:.4f}", "margin": f"{margin:.4f}"}


def _markdown(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A table for each table and panel, at every window's end up to the fifth, and at the last."""
    for table in dict.fromkeys(row["table"] for row in rows):
        yield f"## {table}"
        for panel in _PANELS:
            here = [row for row in rows if (row["table"], row["figure"]) == (table, panel)]
            ends = sorted({row["trial"] for row in here if row["trial"] % _WINDOW == 0} | {here[-1]["trial"]})
            shown = [end for end in ends if end in ends[:5] or end == ends[-1]]
            lines = [[panel, *(f"at {trial}" for trial in shown)]]
            for name in dict.fromkeys(row["strategy"] for row in here):
                cells = {row["trial"]: f"{row['mean']} ± {row['margin']}" for row in here
                         if row["strategy"] == name}  # fmt: skip
                lines.append([name, *(cells[trial] for trial in shown)])
            yield markdown_table(lines)


def _draw(columns: Mapping[str, Mapping[str, Curves]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(columns) + 1, 11), layout="constrained")
    grid = figure.subplots(len(_PANELS), len(columns), sharex=True, squeeze=False)
    colours = {name: f"C{number}" for number, name in enumerate(_LINES)}
    for column, (table, curves) in enumerate(columns.items()):
        for row, (panel, (values_of, step)) in enumerate(_PANELS.items()):
            axes = grid[row][column]
            draw_lines(axes, curves, values_of, step, colours)
            axes.set(title=f"{table}: {panel}", xlabel="trial" if row == len(_PANELS) - 1 else None)
    handles = {label: handle for column in grid[0]
               for handle, label in zip(*column.get_legend_handles_labels(), strict=True)}  # fmt: skip
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=len(handles))
    figure.savefig(path, dpi=110)
