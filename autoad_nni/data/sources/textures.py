"""Photographs of textures with planted defects: a set in the MVTec-AD layout that needs no download."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoad_nni.data.cache import cache_folder
from autoad_nni.data.image_shape import ImageShape
from autoad_nni.data.source import Catalogue, SourceOptions
from autoad_nni.data.sources.folder import Folder
from autoad_nni.data.textures import TEXTURES, ensure_textures
from autoad_nni.errors import AutoADError

__all__ = ["Textures"]


class Textures(Folder):
    """One of three textures, ``--category brick``, ``grass`` or ``gravel``, with planted defects and exact masks.

    ``--root`` is a folder that ``autoad-nni data textures`` wrote. Without it, the set of the seed is written into the
    cache folder of the user at the first use.

    The images below ``test`` come from two halves of a photograph's right part, ``a_`` and ``b_`` in their names: one
    half goes into validation, the other into test, so that no pixel of the photograph is in both.
    """

    def __init__(self, options: SourceOptions) -> None:
        if options.category not in TEXTURES:
            got = "without [[category]]" if options.category is None else f"with [[category]] {options.category!r}"
            raise AutoADError(
                f"[[data=textures]] {got}. Expected one of {', '.join(TEXTURES)}. Give [[category=brick]]."
            )
        root = options.root
        if root is None:
            root = cache_folder() / f"textures-{options.seed}"
            ensure_textures(root, seed=options.seed)
        super().__init__(replace(options, root=root))

    def catalogue(self, shape: ImageShape) -> Catalogue:
        """List all images; those from one half of the photograph are a group."""
        known = super().catalogue(shape)
        paths = self.paths(np.arange(known.n_images))
        half = ["train" if "train" in path.parts[-3:] else path.name[:1] for path in paths]
        return replace(known, groups=np.unique(half, return_inverse=True)[1])
