"""A set in the MVTec-AD layout out of real photographs of textures, with planted defects and exact masks."""

from __future__ import annotations

from autoad_nni.data.textures.planted import KINDS, MIN_CHANGE, Planted, plant
from autoad_nni.data.textures.recipe import HALVES, REGIONS, TEXTURES
from autoad_nni.data.textures.writing import ensure_textures, write_textures

__all__ = [
    "HALVES",
    "KINDS",
    "MIN_CHANGE",
    "REGIONS",
    "TEXTURES",
    "Planted",
    "ensure_textures",
    "plant",
    "write_textures",
]
