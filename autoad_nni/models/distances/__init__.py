"""Distances between an image and its reconstruction: the L of the triple (A, H, L)."""

from __future__ import annotations

from autoad_nni.models.distances.base import Distance

__all__ = ["Distance"]
