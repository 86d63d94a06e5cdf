"""Contract tests for the authors of plugins; docs/plugins.md shows their use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoad_nni.testing.contracts import DefectContract, DistanceContract, FeatureContract, HypothesisContract

__all__ = ["DefectContract", "DistanceContract", "FeatureContract", "HypothesisContract"]


def __getattr__(name: str) -> Any:
    """Import the classes when they are asked for: the checks themselves need no pytest."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from autoad_nni.testing import contracts
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ModuleNotFoundError(
            f"autoad_nni.testing.{name} needs pytest, which is not installed. Install it: pip install pytest",
            name="pytest",
        ) from error
    return getattr(contracts, name)
