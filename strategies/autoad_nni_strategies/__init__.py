"""Strategies for NNI: AutoAD, the LSTM controller."""

from __future__ import annotations

from autoad_nni_strategies.autoad import AutoADStrategy

__all__ = ["AutoADStrategy"]
