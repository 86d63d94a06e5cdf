"""Table V: what the parts of the search strategy are worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.paper.published import TABLE_5
from benchmarks.paper.recorded import NOT_THE_ARTICLES, Searches, too_few
from benchmarks.paper.report import write_rows
from benchmarks.strategies.report import Curves, best_so_far, markdown_table
from benchmarks.strategies.specs import RANDOM, Spec
from benchmarks.strategies.stats import estimate

__all__ = ["ROWS", "write_table"]

_AFTER: Final = (20, 100, 200)
_REFERENCE: Final = "eta 0"
_SAME: Final = "buffer 10"
_PROCESS: Final = {"preset": "process"}
ROWS: Final[Mapping[str, Spec]] = {
    _REFERENCE: Spec("autoad", _PROCESS),
    "eta 0.01": Spec("autoad", {**_PROCESS, "eta": 0.01}),
    "eta 0.1": Spec("autoad", {**_PROCESS, "eta": 0.1}),
    "no buffer": Spec("autoad", {**_PROCESS, "buffer_size": 0}),
    "buffer 5": Spec("autoad", {**_PROCESS, "buffer_size": 5}),
    _SAME: Spec("autoad", _PROCESS),
    "no filter": Spec("autoad", {**_PROCESS, "candidates": 5}),
    "not Bayesian": Spec("autoad", {**_PROCESS, "bayesian": False}),
    "no sharpening": Spec("autoad", {**_PROCESS, "sharpening": False}),
    "preset paper": Spec("autoad", {"preset": "paper"}),
    "preset default": Spec("autoad", {}),
    RANDOM: Spec("random", {}),
}
"""The article's rows by its names, then those that it does not have."""


def write_table(searches: Mapping[str, Searches], seeds: int, trials: int, output: Path) -> str:
    """Write ``table5.md``, ``table5.csv`` and ``table5.json``; return the Markdown.

    Args:
        searches: By table.
        seeds: Searches for each row, with seeds from 0; a row that has fewer is left out, with its reason.
        trials: Of each.
        output: Folder.

    Raises:
        AutoADError: Not a single row of the article has as many searches; then nothing is written.
    """
    parts, rows = [NOT_THE_ARTICLES, _HEAD.format(seeds=seeds, trials=trials)], []
    for table, group in searches.items():
        found = {name: group.curves(spec, seeds, trials) for name, spec in ROWS.items()}
        curves = {name: each for name, each in found.items() if each is not None}
        if not TABLE_5.keys() & curves.keys():
            continue  # such as a version of the table on which peers were compared only
        made = [_row(table, name, curves) for name in curves]
        absent = [
            f"- {name}: left out, as not all of {seeds} searches of {trials} trials are recorded"
            for name in found
            if name not in curves
        ]
        parts += [f"## {table}", *_markdown(made, trials), "\n".join(absent)]
        rows += made
    if not rows:
        raise too_few(seeds, trials)
    return write_rows(output, "table5", rows, "\n\n".join(part for part in parts if part) + "\n")


_HEAD = (
    "Best reward so far after so many trials: mean of {seeds} searches ± half its 95 % interval (Student's t), the "
    "worst of them in brackets; *the article* beside it. Mean and deviation are of the rewards of all {trials} trials "
    "of a search; a rejected model counts with the reward that the strategy gets. Below: differences to the row "
    "`eta 0`, paired by seed; those of the article are to `eta 0` for eta and to `buffer 10` for the buffer.\n\n"
    "The rows are the strategy's preset `process`, each with one change. A Gaussian process picks its proposals, which "
    "is not in the article, and most of them are not the controller's: changes of it have little to act on. "
    "The article gives no seeds, and does not say which buffer its rows of eta have, nor which eta its rows of the "
    "buffer: here they have a buffer of 10 and eta 0, so that `buffer 10` is `eta 0`. It ends above `no filter`."
)


def _row(table: str, name: str, curves: Mapping[str, Curves]) -> dict[str, Any]:
    row: dict[str, Any] = {"table": table, "row": name, "seeds": len(curves[name])}
    values, reference = _values(curves[name]), _values(curves[_REFERENCE]) if _REFERENCE in curves else {}
    for figure, each in values.items():
        mean, margin = estimate(each.tolist())
        row |= {figure: mean, f"{figure}_margin": margin, f"{figure}_worst": float(each.min())}
        row[f"{figure}_paper"] = TABLE_5.get(name, {}).get(figure)
        if reference and name not in (_REFERENCE, _SAME):
            mean, margin = estimate((each - reference[figure]).tolist())
            row |= {f"{figure}_difference": mean, f"{figure}_difference_margin": margin}
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in row.items()}


def _values(curves: Curves) -> dict[str, NDArray[np.float64]]:
    """The figures of a row, a value for each seed."""
    trials, best = curves.shape[1], best_so_far(curves)
    values = {f"best_{after}": best[:, after - 1] for after in _shown(trials)}
    return values | {f"mean_{trials}": np.nanmean(curves, 1), f"std_{trials}": np.nanstd(curves, 1)}


def _shown(trials: int) -> list[int]:
    return sorted({*(after for after in _AFTER if after < trials), trials})


def _markdown(rows: Sequence[Mapping[str, Any]], trials: int) -> list[str]:
    figures = [*(f"best_{after}" for after in _shown(trials)), f"mean_{trials}", f"std_{trials}"]
    heads = [word for figure in figures for word in (figure.replace("_", " "), "the article")]
    lines = [[row["row"], *(cell for figure in figures for cell in _cells(row, figure))] for row in rows]
    differences = [
        [row["row"], *(cell for figure in figures for cell in _differences(row, figure))]
        for row in rows
        if f"{figures[0]}_difference" in row
    ]
    of_differences = markdown_table([[f"to {_REFERENCE}", *heads], *differences]) if differences else ""
    return [markdown_table([["row", *heads], *lines]), of_differences]


def _cells(row: Mapping[str, Any], figure: str) -> tuple[str, str]:
    worst = f" ({row[f'{figure}_worst']:.4f})" if figure.startswith("best") else ""
    paper = row[f"{figure}_paper"]
    return _with_margin(row, figure, ".4f") + worst, "" if paper is None else f"{paper:.4f}"


def _differences(row: Mapping[str, Any], figure: str) -> tuple[str, str]:
    paper, reference = row[f"{figure}_paper"], TABLE_5[_of_part(row["row"])].get(figure)
    known = paper is not None and reference is not None
    return _with_margin(row, f"{figure}_difference", "+.4f"), f"{paper - reference:+.4f}" if known else ""


def _of_part(row: str) -> str:
    """The row of the article with which one of the same part is compared."""
    return _SAME if "buffer" in row else _REFERENCE


def _with_margin(row: Mapping[str, Any], figure: str, form: str) -> str:
    margin = row[f"{figure}_margin"]
    return f"{row[figure]:{form}}" + ("" if np.isnan(margin) else f" ± {margin:.4f}")
