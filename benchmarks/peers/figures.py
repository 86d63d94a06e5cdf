"""Figures of a method from the scores and maps that it wrote, with this project's metrics."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoad_nni.data import LabelledImages, Task
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import aupro, pixel_auroc

__all__ = ["read_figures", "table"]

METRICS = ("auroc", "aupro", "pixel_auroc")


def read_figures(path: Path, task: Task) -> dict[str, Any]:
    """Return the figures on validation and test, and what they cost.

    Args:
        path: What ``methods`` wrote.
        task: The images that it scored; without masks there is ``auroc``, of images, alone.
    """
    with np.load(path) as found:
        parts = {"validation": task.validation, "test": task.test}
        figures = {name: _figures(part, found[f"{name}_scores"], found[f"{name}_maps"]) for name, part in parts.items()}
        return {**figures, **json.loads(str(found["cost"]))}


def _figures(images: LabelledImages, scores: Any, maps: Any) -> dict[str, float]:
    figures = {"auroc": auroc(images.labels.numpy(), scores)}
    if images.masks is not None:
        masks = images.masks.numpy()
        figures |= {"aupro": aupro(masks, maps), "pixel_auroc": pixel_auroc(masks, maps)}
    return {name: round(value, 4) for name, value in figures.items()}


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return a Markdown table of all runs: figures on test, in brackets on validation."""
    heads = ["method", "coreset", "input", "seed", "image AUROC", "AUPRO", "pixel AUROC"]
    heads += ["fit, s", "ms per image", "peak, MB"]
    lines = [heads, ["---"] * len(heads), *map(_cells, sorted(rows, key=_order))]
    return (
        "\n".join(f"| {' | '.join(cells)} |" for cells in lines).replace("| --- |", "|---|").replace(" --- |", "---|")
    )


def _order(row: Mapping[str, Any]) -> tuple[str, int, int]:
    return row["method"], row["input_size"] or 0, row["seed"]


def _cells(row: Mapping[str, Any]) -> list[str]:
    figures = [
        f"{row['test'][name]:.3f} ({row['validation'][name]:.3f})" if name in row["test"] else "" for name in METRICS
    ]
    coreset = "" if row["coreset"] is None else f"{row['coreset']:g}"
    size = "own size" if row["input_size"] is None else str(row["input_size"])
    cost = [f"{row[name]:.0f}" for name in ("fit_seconds", "ms_per_image", "peak_mb")]
    return [row["method"], coreset, size, str(row["seed"]), *figures, *cost]
