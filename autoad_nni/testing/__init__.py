"""Contract tests for the authors of plugins; docs/plugins.md shows their use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from autoad_nni.testing.contracts import DefectContract, DistanceContract, FeatureContract, HypothesisContract
    from autoad_nni.testing.strategy_contract import StrategyContract

__all__ = ["DefectContract", "DistanceContract", "FeatureContract", "HypothesisContract", "StrategyContract"]


def __getattr__(name: str) -> Any:
    """Import the classes when they are asked for: the checks themselves need no pytest."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = "strategy_contract" if name == "StrategyContract" else "contracts"
    try:
        contracts = importlib.import_module(f"autoad_nni.testing.{module}")
    except ModuleNotFoundError as error:
        if error.name != "pytest":
            raise
        raise ModuleNotFoundError(
            f"autoad_nni.testing.{name} needs pytest, which is not installed. Install it: pip install pytest",
            name="pytest",
        ) from error
    return getattr(contracts, name)
