"""Pictures of a refinement: its maps side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from autoad_nni.refinement.combine import Refinement

__all__ = ["Panel", "draw", "panels_of"]


class Panel(NamedTuple):
    """An image or a map with a title.

    Attributes:
        title: Above it.
        pixels: ``(1 or 3, h, w)``: RGB in [0, 1], or one channel.
        limits: Values shown as the darkest and the lightest colour; None for an RGB or grey image in [0, 1].
    """

    title: str
    pixels: Tensor
    limits: tuple[float, float] | None = None


def panels_of(image: Tensor, refinement: Refinement) -> list[Panel]:
    """Returns image, score map, 1 - Grad-CAM, saliency and refined map of one image.

    The two maps of scores have a scale each, from 0 to their highest value, which stands above: what refinement
    changes is where a map is high, and its values shrink.

    Shape:
        image ``(1, c, h, w)``; each map of the refinement ``(1, 1, h, w)``.
    """
    score_map, kept, saliency, refined = (values[0].cpu() for values in refinement)
    # A map of zeros only would be drawn in the middle colour.
    highest, remaining = (max(float(values.max()), 1e-12) for values in (score_map, refined))
    return [
        Panel("image", image[0].cpu()),
        Panel(f"score map, up to {highest:.3g}", score_map, (0.0, highest)),
        Panel("1 - Grad-CAM", kept, (0.0, 1.0)),
        Panel("saliency", saliency, (0.0, 1.0)),
        Panel(f"refined map, up to {remaining:.3g}", refined, (0.0, remaining)),
    ]


def draw(rows: Sequence[Sequence[Panel]], path: Path) -> None:
    """Writes panels as a PNG, a row per image.

    Args:
        rows: As many panels in each.
        path: The file.
    """
    from matplotlib.figure import Figure

    first = rows[0][0].pixels
    width = 2.6
    height = width * first.shape[1] / first.shape[2] + 0.3
    figure = Figure(figsize=(width * len(rows[0]), height * len(rows)), layout="constrained")
    for row, axes_of_row in zip(rows, figure.subplots(len(rows), len(rows[0]), squeeze=False), strict=True):
        for panel, axes in zip(row, axes_of_row, strict=True):
            pixels = panel.pixels.permute(1, 2, 0)
            if panel.limits is not None:
                axes.imshow(pixels[..., 0].numpy(), cmap="inferno", vmin=panel.limits[0], vmax=panel.limits[1])
            else:
                axes.imshow(pixels.expand(-1, -1, 3).numpy())
            axes.set_title(panel.title, fontsize=9)
            axes.axis("off")
    figure.savefig(path, dpi=100)
