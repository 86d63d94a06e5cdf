"""The interface of a set of images, for built-in and third-party ones alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from torch import Tensor

from autoad_nni.data.image_shape import ImageShape

__all__ = ["Catalogue", "ImageSource", "IntArray", "SourceOptions"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What a source is made with; a source uses what it needs and ignores the rest.

    Args:
        root: The folder that the user named.
        category: The sub-folder of it that the user named.
        download: Whether the source may download missing files into ``root``.
        seed: Determines generated images, such as noise.
    """

    root: Path | None = None
    category: str | None = None
    download: bool = False
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """What is known about every image of a source before any of them is read.

    Args:
        n_images: How many images there are; they are numbered from 0.
        groups: For each image a number; images with the same number (patches that may share pixels, say) go into the
            same one of train, validation and test, those with a defect too. None: each image is a group of its own.
        held_out: For each image whether it must not be trained on. Given: train is exactly the rest, and the held-out
            normal images are halved into validation and test. None: 6:2:2.
        defects: For each image the name of its defect, or "" when it is normal. None: all are normal.

    Shape:
        Every field but the first: ``(n_images,)``.
    """

    n_images: int
    groups: IntArray | None = None
    held_out: npt.NDArray[np.bool_] | None = None
    defects: tuple[str, ...] | None = None


class ImageSource(ABC):
    """A set of images that a task can take as its normal or its abnormal one.

    A third party derives from this class, and registers the class under a name in the entry-point group
    ``autoad_nni.datasets``. ``__init__`` finds the files and fails when there are none; nothing is decoded before
    :meth:`read`, which is asked for the images that a task needs and no others.

    Attributes:
        can_be_abnormal: Whether the set may be one of the abnormal sets of a task.
        image_shape: The shape of the images as they are; for a set without one (noise), its shape as the normal set.
        where: Where the images come from, or None when they are made; two sets of a task with one place are refused.
        checks_root: Whether ``__init__`` itself says what is wrong with a root that is not a folder.

    Example:
        >>> import torch
        >>> class Black(ImageSource):
        ...     '''A hundred black images.'''
        ...     def __init__(self, options: SourceOptions) -> None:
        ...         self.image_shape, self.where = ImageShape(1, 28, 28), None
        ...     def catalogue(self, shape: ImageShape) -> Catalogue:
        ...         return Catalogue(n_images=100)
        ...     def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        ...         return torch.zeros(len(indices), *shape)
        >>> Black(SourceOptions()).read(np.arange(2), ImageShape(3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    can_be_abnormal: ClassVar[bool] = True
    checks_root: ClassVar[bool] = False
    image_shape: ImageShape
    where: Path | None

    @abstractmethod
    def __init__(self, options: SourceOptions) -> None:
        """Find the images.

        Args:
            options: What the user asked for.

        Raises:
            AutoADError: Files are missing; it names them, where they were looked for, and where to get them.
        """

    @abstractmethod
    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List the images.

        Args:
            shape: The image shape that they will be read in.
        """

    @abstractmethod
    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        """Read images in the requested shape; the same indices and shape always give the same images.

        Args:
            indices: Numbers of the wanted images, in any order.
            shape: The image shape that is wanted; :func:`autoad_nni.data.to_image_shape` converts into it.

        Shape:
            ``(len(indices), *shape)``, float32 in [0, 1], in the order of the indices.

        Raises:
            AutoADError: A file cannot be read; names it.
        """

    def masks(self, indices: IntArray, shape: ImageShape) -> Tensor | None:
        """Read the masks of defects; None, as here, for a set without masks.

        Args:
            indices: As for :meth:`read`.
            shape: As for :meth:`read`; its channels do not matter.

        Shape:
            ``(len(indices), height, width)`` bool, True where the defect is; all False for a normal image.

        Raises:
            AutoADError: A mask is missing or cannot be read; names it.
        """
        return None

    def origins(self, indices: IntArray) -> IntArray:
        """Return what each image was made of, as a number that images made of the same one share; here, itself."""
        return indices

    def classes(self, indices: IntArray) -> IntArray | None:
        """Return the class of each image, 0 or more; None, as here, for a set whose images are not told apart."""
        return None

    def names(self, indices: IntArray) -> list[str]:
        """Return a name for each image, for pictures and lists; a path with ``/`` where there are files."""
        return [f"{index:06d}" for index in indices]
