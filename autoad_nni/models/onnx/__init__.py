"""Trained models as ONNX files, which other runtimes execute without torch."""

from __future__ import annotations

from autoad_nni.models.onnx.check import check_exportable
from autoad_nni.models.onnx.export import export_onnx

__all__ = ["check_exportable", "export_onnx"]
