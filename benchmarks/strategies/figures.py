"""The curves of a comparison as figures. Needs matplotlib: ``pip install '.[bench]'``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoad_nni.errors import AutoADError
from benchmarks.strategies.report import Curves, best_so_far, per_window, top_so_far
from benchmarks.strategies.stats import estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["band", "draw", "draw_lines", "require_matplotlib"]

_WINDOW = 20
_STYLES = ("-", "--", "-.", ":")  # beyond ten strategies the colours repeat


def require_matplotlib() -> None:
    """Check, before hours of searches, that their figures can be drawn.

    Raises:
        AutoADError: If matplotlib is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise AutoADError(
            "matplotlib is not installed. Expected it for the figures. Install it with: pip install '.[bench]'"
        ) from None


def draw(curves: Mapping[str, Curves], table: str, folder: Path) -> list[Path]:
    """Draw ``best-TABLE`` and ``progress-TABLE``, each as PNG and SVG.

    Args:
        curves: Rewards by name of the strategy.
        table: Name of the table.
        folder: Where to write.

    Returns:
        The files.
    """
    from matplotlib.figure import Figure

    best = Figure(figsize=(10, 5), layout="constrained")
    axes = best.subplots()
    draw_lines(axes, curves, best_so_far, 1)
    axes.set(title=f"{table}: mean of the best reward so far, 95 % interval", xlabel="trial", ylabel="reward")
    best.legend(loc="outside right upper")  # beside the curves: a dozen names would cover their ends
    # As Fig. 3 of the paper.
    progress = Figure(figsize=(10, 10), layout="constrained")
    top, mean, deviation = progress.subplots(3, 1, sharex=True)
    draw_lines(top, curves, top_so_far, 1)
    top.set(title=f"{table}: mean of the five best so far")
    draw_lines(mean, curves, lambda each: per_window(each, _WINDOW)[0], _WINDOW)
    mean.set(title=f"mean reward per {_WINDOW} trials")
    draw_lines(deviation, curves, lambda each: per_window(each, _WINDOW)[1], _WINDOW)
    deviation.set(title=f"standard deviation of the reward per {_WINDOW} trials", xlabel="trial")
    progress.legend(*top.get_legend_handles_labels(), loc="outside right upper")
    return [*_save(best, folder / f"best-{table}"), *_save(progress, folder / f"progress-{table}")]


def draw_lines(
    axes: Axes,
    curves: Mapping[str, Curves],
    values_of: Callable[[Curves], Curves],
    step: int,
    colours: Mapping[str, str] | None = None,
) -> None:
    """Draw a line with its interval for each strategy.

    Args:
        axes: Where to.
        curves: Rewards by name of the strategy.
        values_of: What of them is drawn.
        step: Trials from one value to the next.
        colours: By name; None: one after the other.
    """
    for number, (name, each) in enumerate(curves.items()):
        means, margins = band(values_of(each))
        trials = step * np.arange(1, len(means) + 1)
        style: dict[str, Any] = {
            "color": f"C{number % 10}" if colours is None else colours[name],
            "linestyle": _STYLES[number // 10 % 4],
        }
        axes.plot(trials, means, label=name, marker="o" if step > 1 else None, markersize=3, **style)
        axes.fill_between(trials, means - margins, means + margins, alpha=0.15, linewidth=0, color=style["color"])
    axes.grid(alpha=0.3)


def band(values: Curves) -> tuple[Curves, Curves]:
    """Return mean and half the 95 % interval per column, over the seeds that have not ended there."""
    columns = [column[~np.isnan(column)].tolist() for column in values.T]
    pairs = [estimate(column) if column else (np.nan, np.nan) for column in columns]
    result = np.array(pairs, dtype=float).reshape(-1, 2)
    return result[:, 0], np.nan_to_num(result[:, 1])


def _save(figure: Figure, path: Path) -> Iterable[Path]:
    import matplotlib

    files = [path.with_name(f"{path.name}.{ending}") for ending in ("png", "svg")]
    figure.savefig(files[0], dpi=150)
    with matplotlib.rc_context({"svg.hashsalt": path.name}):  # the same results, the same file
        figure.savefig(files[1], metadata={"Date": None})
    return files
