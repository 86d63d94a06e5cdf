"""The options that determine a task."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autoad_nni.data.image_shape import MAX_SIDE, MIN_SIDE
from autoad_nni.errors import AutoADError
from autoad_nni.options import option

__all__ = ["MIN_NORMAL", "PLANTED", "TaskOptions"]

# The smallest number that 6:2:2 divides without a remainder other than all zero.
MIN_NORMAL = 10

PLANTED = "planted"
"""Value of ``anomalies``."""


@dataclass(frozen=True, kw_only=True)
class TaskOptions:
    """The options that determine a task: the same ones give identical tensors, also in a new process.

    Args:
        data: Name of the normal set (entry-point group ``autoad_nni.datasets``).
        abnormal: Names of the sets whose images are the anomalies; they share equally. Empty when the normal set has
            defects of its own (``folder``), or they are planted.
        anomalies: ``planted``: the anomalies are held-out good images with defects planted into them
            (:mod:`autoad_nni.data.planting`), for a set that has none. None: defects of the set's own, or ``abnormal``.
        root: The folder that the files of ``data`` and of ``abnormal`` are looked for in.
        roots: The folders of single sets, ``NAME=FOLDER`` each, instead of ``root``.
        category: A sub-folder of ``root``, NAME or NAME/NAME, for sets that are made of categories.
        image_size: Side of the images in pixels, 8 to 224; None keeps the image shape of the normal set.
        limit: At most so many normal images, drawn by the seed before the split; None takes all.
        download: Whether missing files may be downloaded into ``root``, and weights of a feature extractor into torch's
            cache.
        seed: Determines the split, the draws and all generated images.
        contamination: Share of anomalies in validation and test; does not apply to a set's own defects.

    Raises:
        AutoADError: A value is out of its range, a set is named twice, or the category is not below the root.

    Example:
        >>> TaskOptions(data="digits", abnormal=("photos", "gaussian"), image_size=28).contamination
        0.05
    """

    data: str = option(help="Normal images: a registered data set, or 'folder'.")
    abnormal: tuple[str, ...] = option((), help="Abnormal data sets, NAME[,NAME...].")
    anomalies: str | None = option(None, help="planted: validate and test with defects planted into good images.")
    root: Path | None = option(None, help="Folder with the files of --data.")
    roots: tuple[str, ...] = option((), help="Folders of single sets instead of --root, NAME=DIR[,NAME=DIR...].")
    category: str | None = option(None, help="Sub-folder of --root.")
    image_size: int | None = option(None, help="Resize to N x N pixels; default: as they are.")
    limit: int | None = option(None, help="Use at most N normal images, drawn by --seed.")
    download: bool = option(False, help="Download missing files of --data, and weights of the feature extractor.")
    seed: int = 0
    contamination: float = 0.05

    @property
    def planted(self) -> bool:
        """Whether the anomalies of validation and test are planted defects."""
        return self.anomalies == PLANTED

    def __post_init__(self) -> None:
        if isinstance(self.abnormal, str):
            raise AutoADError(
                f"[[abnormal]] is {self.abnormal!r}. Expected a tuple of names. Give abnormal=({self.abnormal!r},)."
            )
        if self.data in self.abnormal:
            raise AutoADError(
                f"[[abnormal]] names {self.data}, which is the normal set. Expected another set. Take it out of "
                "[[abnormal]] or change [[data]]."
            )
        if self.anomalies not in (None, PLANTED):
            raise AutoADError(
                f"[[anomalies]] is {self.anomalies!r}. Expected {PLANTED}, or nothing for real ones. Give "
                f"[[anomalies={PLANTED}]], or leave it out."
            )
        if self.planted and self.abnormal:
            raise AutoADError(
                f"[[anomalies={PLANTED}]] and [[abnormal]] names {', '.join(self.abnormal)}. Expected one kind of "
                "anomaly. Leave out one of the two."
            )
        twice = sorted({name for name in self.abnormal if self.abnormal.count(name) > 1})
        if twice:
            raise AutoADError(f"[[abnormal]] names {twice[0]} twice. Expected each set once. Take one of them out.")
        _check_roots(self)
        if self.category is not None and (Path(self.category).is_absolute() or ".." in Path(self.category).parts):
            raise AutoADError(
                f"[[category]] is {self.category}. Expected a folder below [[root]]. Give its name, or another "
                "[[root]]."
            )
        if self.image_size is not None and not MIN_SIDE <= self.image_size <= MAX_SIDE:
            raise AutoADError(
                f"[[image_size]] is {self.image_size}. Expected {MIN_SIDE} to {MAX_SIDE} pixels. Give "
                "[[image_size=64]]."
            )
        if self.limit is not None and self.limit < MIN_NORMAL:
            raise AutoADError(
                f"[[limit]] is {self.limit}. Expected {MIN_NORMAL} normal images or more. Give [[limit=1000]] or none."
            )
        if self.seed < 0:
            raise AutoADError(f"[[seed]] is {self.seed}. Expected 0 or more. Give [[seed=0]].")
        if not 0 < self.contamination < 1:
            raise AutoADError(
                f"contamination is {self.contamination}. Expected a share between 0 and 1. Give contamination=0.05."
            )

    def root_of(self, name: str) -> Path | None:
        """Return the folder that the files of a set are looked for in.

        Example:
            >>> options = TaskOptions(data="mnist", abnormal=("svhn",), root=Path("sets"), roots=("svhn=numbers",))
            >>> str(options.root_of("mnist")), str(options.root_of("svhn"))
            ('sets', 'numbers')
        """
        roots = dict(each.split("=", 1) for each in self.roots)
        return Path(roots[name]).expanduser() if name in roots else self.root


def _check_roots(options: TaskOptions) -> None:
    names = [each.partition("=")[0] for each in options.roots]
    for each, name in zip(options.roots, names, strict=True):
        if not each.partition("=")[2]:
            raise AutoADError(
                f"[[roots]] has {each!r}. Expected NAME=DIR, NAME a data set of the task. Give [[roots=mnist=DIR]], "
                "for instance."
            )
        if name not in (options.data, *options.abnormal) or names.count(name) > 1:
            wrong = "twice" if names.count(name) > 1 else "which is no set of this task"
            raise AutoADError(
                f"[[roots]] names {name}, {wrong}. Expected each of {', '.join((options.data, *options.abnormal))} "
                "once at most. Correct it."
            )
