"""The name that experiment files give NNI: ``className: autoad_nni.bridge.StrategyAdvisor``."""

from __future__ import annotations

from autoad_nni.engines.nnictl.advisor import StrategyAdvisor

__all__ = ["StrategyAdvisor"]
