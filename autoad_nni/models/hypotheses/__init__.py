"""Hypotheses of what is normal: the H of the triple (A, H, L)."""

from __future__ import annotations

from autoad_nni.models.hypotheses.base import Hypothesis

__all__ = ["Hypothesis"]
