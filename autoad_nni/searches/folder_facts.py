"""What a search for a folder of images has to know of it, before any image is decoded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autoad_nni.data.decode import full_image_shape
from autoad_nni.data.layout import Layout
from autoad_nni.data.plan import Plan
from autoad_nni.data.planting.source import PlantedDefects
from autoad_nni.data.scan import FolderScan, scan_folder

__all__ = ["FolderFacts", "chance_range", "few_images"]

_KINDS_SHOWN = 4
# Fewer than these are warned about.
_FEW_DEFECTS, _FEW_TO_TRAIN = 30, 30
_LAYOUTS: Mapping[Layout, str] = {"mvtec": "train/ and test/", "plain": "good/ beside folders of defects"}


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """What is in a folder of images in one of the two layouts.

    Attributes:
        layout: Which of the two.
        n_good: Good images.
        defects: How many images have a defect, by its kind.
        has_masks: Whether it has masks of defects.
        sizes: Width and height of every size of image, the smallest area first.
        is_grey: Whether all images are stored in grey.
    """

    layout: Layout
    n_good: int
    defects: Mapping[str, int]
    has_masks: bool
    sizes: tuple[tuple[int, int], ...]
    is_grey: bool

    @classmethod
    def of(cls, folder: Path) -> FolderFacts:
        """Look at a folder that has no faults; only headers of files are read."""
        scan: FolderScan = scan_folder(folder)
        assert scan.layout is not None and not scan.faults
        shapes = [full_image_shape(path) for path in [*scan.good, *scan.defective]]
        sizes = {(shape.width, shape.height) for shape in shapes}
        return cls(
            layout=scan.layout,
            n_good=len(scan.good),
            defects={kind: len(paths) for kind, paths in scan.defects.items()},
            has_masks=bool(scan.masks),
            sizes=tuple(sorted(sizes, key=lambda size: (size[0] * size[1], size))),
            is_grey=all(shape.channels == 1 for shape in shapes),
        )

    def counts(self) -> str:
        """Return how many images of which kind there are, in words."""
        n_defective = sum(self.defects.values())
        most = sorted(self.defects.items(), key=lambda item: (-item[1], item[0]))
        kinds = ", ".join(f"{count} {kind}" for kind, count in most[:_KINDS_SHOWN])
        more = f", {len(most) - _KINDS_SHOWN} more kinds" if len(most) > _KINDS_SHOWN else ""
        by_kind = f" ({kinds}{more})" if len(most) > 1 else ""
        defective = f"{n_defective or 'none'} with a defect{by_kind}"
        masks = "with masks" if self.has_masks else "no masks"
        return f"{self.n_good} good, {defective}, {masks}; layout {_LAYOUTS[self.layout]}"

    def size(self) -> str:
        """Return sizes and colour of the images in words."""
        first, last = self.sizes[0], self.sizes[-1]
        sizes = f"{first[0]} x {first[1]}"
        if len(self.sizes) > 1:
            sizes = f"of {len(self.sizes)} sizes from {sizes} to {last[0]} x {last[1]}"
        return f"{sizes}, {'grey' if self.is_grey else 'colour'}"


def few_images(plan: Plan) -> list[str]:
    """Return a warning for each reason why figures of a search will say little, with what that means.

    Args:
        plan: Which image goes where.
    """
    warnings = []
    (validation, test), kind = _anomalous(plan)
    if validation + test < _FEW_DEFECTS:
        low, high = chance_range(test, len(plan.test.normal))
        warnings.append(
            f"warning: {validation + test} {kind} are few: {validation} to choose the model, {test} to "
            f"test it. By chance alone, a model whose AUROC is 0.90 can show {low:.2f} to {high:.2f} on test. "
            f"{_FEW_DEFECTS} or more would tell."
        )
    if len(plan.train) < _FEW_TO_TRAIN:
        warnings.append(
            f"warning: {len(plan.train)} good images to train on are few: what good images look like is learned from "
            "these alone, and good ones that look otherwise will count as defective."
        )
    return warnings


def _anomalous(plan: Plan) -> tuple[tuple[int, int], str]:
    """How many there are in validation and test, each counted once, and what they are called."""
    source, parts = plan.abnormal[0], (plan.validation.abnormal, plan.test.abnormal)
    if isinstance(source, PlantedDefects):
        validation, test = (len(np.unique(source.origins(part[0]))) for part in parts)
        return (validation, test), "good images to plant defects into"
    validation, test = (sum(map(len, part)) for part in parts)
    return (validation, test), "images with a defect" if source is plan.normal else "anomalous images"


def chance_range(n_defective: int, n_good: int, auroc: float = 0.9) -> tuple[float, float]:
    """Return between what an AUROC lies in 95 of 100 draws of so many images, in [0, 1].

    Its value plus and minus 1.96 standard errors of Hanley and McNeil.

    Args:
        n_defective: Images with a defect.
        n_good: Good images.
        auroc: Its value on endlessly many images.

    Reference:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
        Radiology 143 (1982), 29-36.

    Example:
        >>> low, high = chance_range(5, 12)
        >>> round(low, 3), high
        (0.705, 1.0)
    """
    q1, q2, square = auroc / (2 - auroc), 2 * auroc**2 / (1 + auroc), auroc**2
    variance = auroc * (1 - auroc) + (n_defective - 1) * (q1 - square) + (n_good - 1) * (q2 - square)
    deviation = 1.96 * math.sqrt(variance / (n_defective * n_good))
    return max(0.0, auroc - deviation), min(1.0, auroc + deviation)
