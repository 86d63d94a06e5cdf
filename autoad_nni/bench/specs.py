"""The strategies that are compared: the one place that names them and their arguments."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from autoad_nni.errors import AutoADError

__all__ = ["PEERS", "RANDOM", "SPECS", "Spec", "missing", "select"]

RANDOM: Final = "random"


class Spec(NamedTuple):
    """A registered strategy and what it is told.

    Attributes:
        strategy: Name in the registry.
        arguments: Its ``strategy_args``, as in an experiment file.
    """

    strategy: str
    arguments: Mapping[str, Any]


SPECS: Final[dict[str, Spec]] = {
    "autoad": Spec("autoad", {}),
    "autoad paper": Spec("autoad", {"preset": "paper"}),
    "autoad eta 0.01": Spec("autoad", {"eta": 0.01}),
    "autoad eta 0.1": Spec("autoad", {"eta": 0.1}),
    "autoad no buffer": Spec("autoad", {"buffer_size": 0}),
    "autoad buffer 5": Spec("autoad", {"buffer_size": 5}),
    "autoad no filter": Spec("autoad", {"candidates": 5}),
    "autoad not Bayesian": Spec("autoad", {"bayesian": False}),
    "autoad no sharpening": Spec("autoad", {"sharpening": False}),
    RANDOM: Spec("random", {}),
    # Chosen by benchmarks/strategies/tune_evolution.py, where what was tried is written down.
    "regularized evolution": Spec(
        "regularized_evolution",
        {"population_size": 25, "sample_size": 15, "mutation_prob": 0.1, "crossover": True},
    ),
    # Chosen by benchmarks/strategies/tune_tpe.py, where what was tried is written down.
    "tpe": Spec("tpe", {"tpe_args": {"n_startup_jobs": 10, "n_ei_candidates": 4}}),
    # benchmarks/strategies/tune_rl.py found nothing better than NNI's settings.
    "policy-based RL": Spec("policy_based_rl", {}),
}
PEERS: Final = (RANDOM, "regularized evolution", "tpe", "policy-based RL")
"""Against whose best a strategy is compared; an ablation is no peer."""

_NEEDS: Final = {"policy_based_rl": ("tianshou", "gym")}


def select(only: str | None, specs: Mapping[str, Spec] = SPECS) -> dict[str, Spec]:
    """Returns the strategies that a comma-separated list names; all without one.

    Raises:
        AutoADError: If a name is unknown.

    Example:
        >>> list(select("tpe, random"))
        ['random', 'tpe']
    """
    if only is None:
        return dict(specs)
    names = {name.strip() for name in only.split(",")}
    for name in sorted(names - specs.keys()):
        raise AutoADError(f"--only names {name!r}. Expected some of: {', '.join(specs)}. Correct it.")
    return {name: spec for name, spec in specs.items() if name in names}


def missing(spec: Spec) -> str | None:
    """Returns why a strategy cannot be imported: what it needs beside the toolkit's own requirements; None if it can.

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
