"""The files of one category, sorted by what they are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoad_nni.data.files import image_files, refused_files
from autoad_nni.data.layout import is_mvtec, kinds_of_defects

__all__ = ["Category", "find_category", "has_layout"]


@dataclass(frozen=True)
class Category:
    """The files of one category by what they are.

    ``train`` is all good images where they are split 6:2:2; ``refused`` is what is of a kind that is not read.
    """

    root: Path
    is_mvtec: bool
    train: list[Path]
    held_out: list[Path]
    defects: dict[str, list[Path]]
    masks: list[Path]
    refused: list[Path]

    @property
    def tested(self) -> Path:
        """The folder that the folders of defects are in."""
        return self.root / "test" if self.is_mvtec else self.root

    @property
    def good(self) -> list[Path]:
        """All images without a defect."""
        return [*self.train, *self.held_out]

    @property
    def defective(self) -> list[Path]:
        """All images with a defect."""
        return [path for paths in self.defects.values() for path in paths]


def has_layout(root: Path) -> bool:
    """Whether a folder is a category in one of the two layouts."""
    return _seems_mvtec(root) or (root / "good").is_dir()


def find_category(root: Path) -> Category:
    """Lists the files of a category; reads none."""
    mvtec = _seems_mvtec(root)
    tested, train = (root / "test", root / "train" / "good") if mvtec else (root, root / "good")
    kinds = kinds_of_defects(tested)
    # A set, as tested / "good" is train in the plain layout.
    looked_in = sorted({train, tested / "good", root / "ground_truth", *kinds})
    above = (root, root / "train", root / "test") if mvtec else (root,)
    lost = [path for folder in above for path in refused_files(folder) if path.parent == folder]
    return Category(
        root=root,
        is_mvtec=mvtec,
        train=image_files(train),
        held_out=image_files(tested / "good") if mvtec else [],
        defects={folder.name: image_files(folder) for folder in kinds},
        masks=image_files(root / "ground_truth"),
        refused=[*lost, *(path for folder in looked_in for path in refused_files(folder))],
    )


def _seems_mvtec(root: Path) -> bool:
    """Also with train and test but no good at all: then that is what is wrong."""
    return is_mvtec(root) or ((root / "train").is_dir() and (root / "test").is_dir() and not (root / "good").is_dir())
