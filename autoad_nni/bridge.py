"""The name that experiment files give NNI: ``className: autoad_nni.bridge.StrategyAdvisor``."""

from __future__ import annotations

import os

# Before NNI is imported, in the dispatcher's own process: it would import pytorch_lightning, which takes seconds.
os.environ.setdefault("NNI_FRAMEWORK", "none")

from autoad_nni.engines.nnictl.advisor import StrategyAdvisor

__all__ = ["StrategyAdvisor"]
