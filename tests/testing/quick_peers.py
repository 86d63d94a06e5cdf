"""Strategies of other libraries, as fast as their tests need them."""

from __future__ import annotations

from autoad_nni_strategies.optuna_strategy import optuna
from autoad_nni_strategies.smac_strategy import smac
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["optuna_gp", "quick_smac"]


def quick_smac(*, seed: int) -> AskTellStrategy:
    """Fit the forest every 20 samples, a second each."""
    return smac(seed=seed, retrain_after=20)


def optuna_gp(*, seed: int) -> AskTellStrategy:
    """Search with Optuna's Gaussian process."""
    return optuna(seed=seed, sampler="gp")
