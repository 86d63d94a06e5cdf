"""Contract tests for the authors of plugins; docs/plugins.md shows their use."""

from __future__ import annotations

try:
    import pytest as _pytest  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "autoad_nni.testing needs pytest, which is not installed. Install it: pip install pytest", name="pytest"
    ) from _error

from autoad_nni.testing.contracts import DistanceContract, HypothesisContract

__all__ = ["DistanceContract", "HypothesisContract"]
