"""Search algorithms that are asked and told, and the strategies for NNI that they make: AutoAD, the LSTM controller."""

from __future__ import annotations

import sys

if "nni.nas" not in sys.modules:
    # NNI would import pytorch_lightning with its model spaces, which takes seconds and is not required here.
    from nni.common.framework import set_default_framework

    set_default_framework("none")

from autoad_nni_strategies.ask_tell import AskTell, Proposer
from autoad_nni_strategies.autoad import AutoAD
from autoad_nni_strategies.autoad_strategy import AutoADStrategy
from autoad_nni_strategies.guarded import Guarded
from autoad_nni_strategies.settings import Settings
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["AskTell", "AskTellStrategy", "AutoAD", "AutoADStrategy", "Guarded", "Proposer", "Settings"]
