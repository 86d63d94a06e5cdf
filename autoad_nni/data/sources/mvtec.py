"""MVTec-AD, the benchmark set of industrial inspection."""

from __future__ import annotations

from typing import ClassVar, Final

from autoad_nni.data.files import is_folder
from autoad_nni.data.source import SourceOptions
from autoad_nni.data.sources.folder import Folder
from autoad_nni.errors import AutoADError

__all__ = ["CATEGORIES", "Mvtec"]

CATEGORIES: Final = (
    "bottle",
    "cable",
    "capsule",
    "carpet",
    "grid",
    "hazelnut",
    "leather",
    "metal_nut",
    "pill",
    "screw",
    "tile",
    "toothbrush",
    "transistor",
    "wood",
    "zipper",
)


class Mvtec(Folder):
    """One category of MVTec-AD: ``--root`` holds the folders of the categories, ``--category`` names one of them.

    Train is ``train/good``; ``test`` is halved into validation and test, each type of defect as evenly as it goes.
    Masks are read from ``ground_truth``. The set is not downloaded: its makers ask users to accept a licence first.

    Reference:
        Bergmann et al., "MVTec AD - A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR 2019.
    """

    checks_root: ClassVar[bool] = True

    def __init__(self, options: SourceOptions) -> None:
        where_from = "MVTec-AD is available from its makers at mvtec.com/company/research/datasets/mvtec-ad"
        if options.root is None:
            raise AutoADError(
                f"[[data=mvtec]] without [[root]]. Expected the folder that holds bottle, cable, ... {where_from}. "
                "Give [[root=DIR]]."
            )
        category = options.category
        if category not in CATEGORIES:
            got = "without [[category]]" if category is None else f"with [[category]] {category!r}"
            raise AutoADError(
                f"[[data=mvtec]] {got}. Expected one of {', '.join(CATEGORIES)}. Give [[category=NAME]]; for a set of "
                "your own in this layout use [[data=folder]]."
            )
        for part in ("train/good", "test/good", "ground_truth"):
            folder = options.root / category / part
            if not is_folder(folder):
                raise AutoADError(
                    f"There is no folder {folder}. Expected MVTec-AD as it is unpacked, with {category}/{part} below "
                    f"[[root]]. {where_from}. Unpack it there, or correct [[root]]."
                )
        super().__init__(options)
