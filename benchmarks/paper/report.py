"""The tables, from the computed cells: Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoad_nni.storing import replace_file
from benchmarks.paper.cells import Cells, results_folder
from benchmarks.paper.published import TABLE_2, TABLE_3
from benchmarks.strategies.report import markdown_table

__all__ = ["write", "write_rows", "write_text"]

FIGURES = {
    "table2": ("auroc", "aupr_in", "aupr_out"),
    "table3": ("rpro", "pixel_auroc", "aupro", "image_auroc", "auroc"),
}

_LEGEND = (
    "Figures on test: the mean over seeds, in brackets the lowest and the highest. `autoad` and `autoad_features` are "
    "the winner of a search, the mean of up to five of its models. "
)
_LEGENDS = {
    "table2": _LEGEND + "An abnormal image is the positive of AUPR-Out, a normal one that of AUPR-In.",
    "table3": _LEGEND + "`auroc` is that of the score of an image, `image_auroc` that of the highest value of its map.",
}


def write(cells: Cells, table: str, missing: Mapping[str, str]) -> str:
    """Write ``TABLE.md``, ``TABLE.csv`` and ``TABLE.json`` beside the cells; return the Markdown.

    Args:
        cells: Those of all tables.
        table: ``table2`` or ``table3``.
        missing: Rows that were left out, and why.
    """
    rows = _rows(cells, table)
    failed = [f"- {each['row']}, {each['method']}, seed {each['seed']}: {each['failed']}"
              for each in rows if "failed" in each]  # fmt: skip
    left_out = [f"- {row}: {why}" for row, why in missing.items()]
    text = "\n".join([_LEGENDS[table], "", _markdown(rows, FIGURES[table]), "", *failed, *left_out]) + "\n"
    columns = ["row", "method", "seed", *FIGURES[table], "processor_seconds", "paper", "failed"]
    return write_rows(cells.folder, table, rows, text, columns)


def write_rows(
    folder: Path, name: str, rows: Sequence[Mapping[str, Any]], text: str, columns: Sequence[str] | None = None
) -> str:
    """Write ``NAME.md``, ``NAME.csv`` and ``NAME.json``.

    Args:
        folder: Where to; made if it is missing.
        name: Of the table.
        rows: For JSON, and for CSV.
        text: The Markdown.
        columns: Of the CSV; None: all that any row has.

    Returns:
        The Markdown.
    """
    with results_folder(folder):
        replace_file(folder / f"{name}.json", (json.dumps(rows, indent=1) + "\n").encode())
    return write_text(folder, name, rows, text, columns)


def write_text(
    folder: Path, name: str, rows: Sequence[Mapping[str, Any]], text: str, columns: Sequence[str] | None = None
) -> str:
    """Write ``NAME.md`` and ``NAME.csv`` alone, as `write_rows`; for rows by the thousand."""
    with results_folder(folder):
        replace_file(folder / f"{name}.md", text.encode())
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.DictWriter(
                file, columns or list(dict.fromkeys(each for row in rows for each in row)), extrasaction="ignore"
            )
            writer.writeheader()
            writer.writerows(rows)
    return text


def _rows(cells: Cells, table: str) -> list[dict[str, Any]]:
    rows = []
    for line in cells.lines:
        if line["table"] == table:
            figures = {name: round(line["test"][name], 4) for name in FIGURES[table] if name in line.get("test", {})}
            kept = ("row", "method", "seed", "processor_seconds", "failed", "accuracy", "temperature", "epsilon")
            rows.append({name: line[name] for name in kept if name in line} | figures | _published(line))
    return sorted(rows, key=lambda row: (row["row"], row["method"], row["seed"]))


def _published(line: Mapping[str, Any]) -> dict[str, str]:
    """The article's figures, as text: they are of other images where a set could not be had."""
    if line["table"] == "table2":
        cells = TABLE_2.get(tuple(line["row"].split("/")))  # type: ignore[call-overload]
        values = [] if cells is None else [getattr(cell, line["method"], None) for cell in cells.values()]
    else:
        values = list(TABLE_3.get(line["row"], {}).get(line["method"], ()))
    return {"paper": " / ".join(f"{value:.3f}" for value in values)} if values and None not in values else {}


def _markdown(rows: Sequence[Mapping[str, Any]], figures: Sequence[str]) -> str:
    """Mean over seeds, with the lowest and the highest of several."""
    groups: dict[tuple[str, str], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rows:
        groups[row["row"], row["method"]].append(row)
    lines: list[list[Any]] = [["row", "method", "seeds", *figures, "processor s", "the article"]]
    for (name, method), group in groups.items():
        good = [row for row in group if "failed" not in row]
        cells = [_spread([row[figure] for row in good if figure in row]) for figure in figures]
        seconds = _spread([row["processor_seconds"] for row in good], "{:.0f}")
        lines.append([name, method, len(good), *cells, seconds, group[0].get("paper", "")])
    return markdown_table(lines)


def _spread(values: Sequence[float], form: str = "{:.4f}") -> str:
    if not values:
        return ""
    mean = form.format(sum(values) / len(values))
    if len(values) == 1:
        return mean
    return f"{mean} ({form.format(min(values))} to {form.format(max(values))})"
