"""Distances between an image and its reconstruction: the L of the triple (A, H, L)."""

from __future__ import annotations

from autoad_nni.losses.base import Distance

__all__ = ["Distance"]
