"""Checks a folder of images before it is used: what is wrong, and with which file."""

from __future__ import annotations

from autoad_nni.data.check.report import LayoutReport, check_layout

__all__ = ["LayoutReport", "check_layout"]
