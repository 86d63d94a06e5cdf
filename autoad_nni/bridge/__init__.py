"""Everything that drives NNI: one experiment file, two ways to run it.

``StrategyAdvisor`` is the class that an experiment file names under ``tuner:``. The import stays light (no
torch): NNI's manager waits ten seconds for the advisor to connect.
"""

from __future__ import annotations

import os

# NNI would import pytorch_lightning, which is no requirement here and takes seconds.
os.environ.setdefault("NNI_FRAMEWORK", "none")

from autoad_nni.bridge.advisor import StrategyAdvisor

__all__ = ["StrategyAdvisor"]
