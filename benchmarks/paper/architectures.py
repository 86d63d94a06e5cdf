"""Table IV: the models that the searches found, as a table and drawn."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from autoad_nni.errors import AutoADError
from autoad_nni.models.autoencoder import count_layers
from benchmarks.paper.cells import SPACES, Cells, results_folder
from benchmarks.paper.report import write_rows
from benchmarks.strategies.report import markdown_table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["boxes_of", "write_architectures"]

_COLUMNS: Final = ("table", "row", "method", "seed", "reward", "figure", "test", "run")

_HEAD: Final = (
    "![the models](table4.png)\n\nThe model with the highest reward of each search; reward and test figure are of the "
    "mean of all `members`, which are in table4.json."
)


def write_architectures(cells: Cells) -> str:
    """Write ``table4.md``, ``.csv``, ``.json`` and ``.png``; return the Markdown, which has a column for each search.

    Raises:
        AutoADError: No search has ended.
    """
    found = [line for line in cells.lines if line["method"] in SPACES and {"model", "test"} <= line.keys()]
    if not found:
        raise AutoADError("no search has ended. Expected cells of table2 or table3. Compute one of these first.")
    rows = [_winner(line) for line in found]
    text = "\n".join([_HEAD, "", _markdown(rows)]) + "\n"
    write_rows(cells.folder, "table4", rows, text, _COLUMNS)
    with results_folder(cells.folder):
        _draw(rows, cells.folder / "table4.png")
    return text


def _winner(line: Mapping[str, Any]) -> dict[str, Any]:
    """The best trial of a search; its test figure is of all members together, which the oldest cells do not name."""
    figure = line["options"].get("reward", "auroc")
    winner = {name: line[name] for name in ("table", "row", "method", "seed")}
    winner |= {"reward": line.get("validation"), "figure": figure, "test": line["test"].get(figure)}
    return {**winner, "run": line.get("run", ""), "sample": line["model"], "members": line.get("members")}


def _markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    heads = [f"{row['row']}, {row['method']}, seed {row['seed']}" for row in rows]
    labels = list(dict.fromkeys(label for row in rows for label in row["sample"]))
    return markdown_table(
        [
            ["label", *heads],
            *([label, *(row["sample"].get(label, "") for row in rows)] for label in labels),
            ["reward", *(_figure(row["reward"]) for row in rows)],
            ["test", *(f"{_figure(row['test'])} {row['figure']}" for row in rows)],
            ["members", *("" if row["members"] is None else len(row["members"]) for row in rows)],
        ]
    )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def boxes_of(sample: Mapping[str, Any]) -> list[str]:
    """Return what is drawn from left to right.

    Example:
        >>> layer = {"kernel": 3, "channels": 8, "pooling": "max", "pooling_kernel": 2, "activation": "relu"}
        >>> boxes_of({f"layer1_{key}": value for key, value in layer.items()})
        ['image', '3x3 x 8\\nmax pool 2\\nrelu', 'code', '3x3 x image\\nenlarge 2\\nrelu', 'output']
    """
    if "extractor" in sample:
        kept = ("stages", "enlargement", "neighbourhood", "vectors", "projection", "layers")
        parts = [f"{name} {sample[name]}" for name in kept if name in sample]
        return ["image", str(sample["extractor"]), *parts, "code"]
    encoder, decoder, before = [], [], "image"
    for number in range(1, count_layers(sample) + 1):
        kernel, channels, pooling, size, activation = (
            sample.get(f"layer{number}_{key}", "?")
            for key in ("kernel", "channels", "pooling", "pooling_kernel", "activation")
        )
        encoder.append(f"{kernel}x{kernel} x {channels}\n{pooling} pool {size}\n{activation}")
        decoder.insert(0, f"{kernel}x{kernel} x {before}\nenlarge {size}\n{activation}")
        before = str(channels)
    return ["image", *encoder, "code", *decoder, "output"]


def _draw(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(17, 0.75 * len(rows) + 0.5), layout="constrained")
    axes = figure.subplots()
    length = max(len(boxes_of(row["sample"])) for row in rows)
    axes.set(xlim=(-3.2, length + 1.4), ylim=(len(rows) - 0.4, -0.6))
    axes.axis("off")
    for place, row in enumerate(rows):
        head = f"{row['row']}\n{row['method']}, seed {row['seed']}"
        axes.text(-3.1, place, head, va="center", fontsize=9)
        sample = row["sample"]
        _draw_boxes(axes, boxes_of(sample), place)
        beside = f"{sample.get('hypothesis')}\n{sample.get('distance')}\ntest {row['figure']} {_figure(row['test'])}"
        axes.text(length - 0.3, place, beside, va="center", fontsize=8)
    figure.savefig(path, dpi=110)


def _draw_boxes(axes: Axes, boxes: Sequence[str], place: int) -> None:
    colours = {"image": "0.9", "output": "0.9", "code": "moccasin"}
    for x, box in enumerate(boxes):
        text = "\n".join(textwrap.fill(line, 15) for line in box.split("\n"))
        style = {"boxstyle": "round,pad=0.35", "facecolor": colours.get(box, "lightsteelblue"), "edgecolor": "0.4"}
        axes.text(x, place, text, ha="center", va="center", fontsize=7, bbox=style)
        if x:
            axes.annotate("", (x - 0.42, place), (x - 0.58, place), arrowprops={"arrowstyle": "->", "lw": 0.8})
