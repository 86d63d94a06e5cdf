"""The strategies that are compared: the one place that names them and their arguments."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from autoad_nni.errors import AutoADError
from autoad_nni.registry import STRATEGIES

__all__ = ["PEERS", "RANDOM", "SPECS", "Spec", "missing", "select"]

RANDOM: Final = "random"


class Spec(NamedTuple):
    """A registered strategy and its arguments.

    Attributes:
        strategy: Name in the registry.
        arguments: Its ``strategy_args``, as in an experiment file.
    """

    strategy: str
    arguments: Mapping[str, Any]


SPECS: Final[dict[str, Spec]] = {
    "autoad": Spec("autoad", {}),
    "autoad process": Spec("autoad", {"preset": "process"}),
    "autoad paper": Spec("autoad", {"preset": "paper"}),
    "autoad no cover": Spec("autoad", {"cover": 0}),
    "autoad no imagination": Spec("autoad", {"imagined_updates": 0}),
    "autoad no decay": Spec("autoad", {"weight_decay": 0.0}),
    "autoad no buffer": Spec("autoad", {"buffer_size": 0}),
    "autoad not Bayesian": Spec("autoad", {"bayesian": False}),
    "autoad no sharpening": Spec("autoad", {"sharpening": False}),
    **{f"autoad no cover, eta {eta}": Spec("autoad", {"cover": 0, "eta": eta}) for eta in (0.01, 0.1, 1.0)},
    RANDOM: Spec("random", {}),
    # Chosen by tune_evolution.py, which lists what was tried.
    "regularized evolution": Spec(
        "regularized_evolution",
        {"population_size": 25, "sample_size": 15, "mutation_prob": 0.1, "crossover": True},
    ),
    # Chosen by tune_tpe.py, which lists what was tried.
    "tpe": Spec("tpe", {"tpe_args": {"n_startup_jobs": 10, "n_ei_candidates": 4}}),
    # With their own settings: tune_peers.py found nothing better that held on other seeds.
    "smac": Spec("smac", {}),
    "optuna gp": Spec("optuna", {"sampler": "gp"}),
    "optuna tpe": Spec("optuna", {"sampler": "tpe"}),
    "local search": Spec("local_search", {}),
    # tune_rl.py found nothing better than NNI's settings.
    "policy-based RL": Spec("policy_based_rl", {}),
}
PEERS: Final = (
    RANDOM, "regularized evolution", "tpe", "policy-based RL", "smac", "optuna gp", "optuna tpe", "local search",
)  # fmt: skip
"""Against the best of these a strategy is compared; an ablation is no peer."""

_NEEDS: Final = {"policy_based_rl": ("tianshou", "gym"), "smac": ("smac",), "optuna": ("optuna",)}


def select(only: str | None) -> dict[str, Spec]:
    """Return the strategies that a comma-separated list names; those of the report without one.

    A registered name that is not in `SPECS` stands for that strategy with its default arguments, so that a third-party
    strategy is compared as soon as it is installed.

    Raises:
        AutoADError: If a name is unknown.

    Example:
        >>> list(select("tpe, grid_search, random"))
        ['random', 'tpe', 'grid_search']
    """
    if only is None:
        return dict(SPECS)
    known = SPECS | {name: Spec(name, {}) for name in STRATEGIES.names() if name not in SPECS}
    names = {name.strip() for name in only.split(",")}
    for name in sorted(names - known.keys()):
        raise AutoADError(f"[[only]] names {name!r}. Expected some of: {', '.join(known)}. Correct it.")
    return {name: spec for name, spec in known.items() if name in names}


def missing(spec: Spec) -> str | None:
    """Return why a strategy's extra requirements cannot be imported; None if they can.

    Example:
        >>> missing(SPECS["tpe"]) is None
        True
    """
    for package in _NEEDS.get(spec.strategy, ()):
        try:
            importlib.import_module(package)
        except ImportError as error:  # of that package, or of one that it needs in turn
            return str(error)
    return None
