"""Strategies for NNI: AutoAD, the LSTM controller."""

from __future__ import annotations

import sys

if "nni.nas" not in sys.modules:
    # NNI would import pytorch_lightning with its model spaces, which takes seconds and is not required here.
    from nni.common.framework import set_default_framework

    set_default_framework("none")

from autoad_nni_strategies.autoad import AutoADStrategy

__all__ = ["AutoADStrategy"]
