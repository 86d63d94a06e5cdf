"""Samplers of Optuna as a strategy: a Gaussian process, and multivariate TPE."""

from __future__ import annotations

from typing import Any

from autoad_nni_strategies.ask_tell import Sample
from autoad_nni_strategies.extras import require, whole
from autoad_nni_strategies.guarded import Guarded
from autoad_nni_strategies.ranks import in_order, is_ordered
from autoad_nni_strategies.spaces import Action, Decision, to_action, to_sample
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["OptunaProposer", "optuna"]


def optuna(
    *,
    seed: int,
    sampler: str = "tpe",
    n_startup_trials: int = 10,
    n_ei_candidates: int = 24,
) -> AskTellStrategy:
    """Search with a sampler of Optuna. Needs the extra ``optuna``.

    Args:
        seed: Seed of the sampler.
        sampler: ``tpe``, the multivariate tree-structured Parzen estimator, or ``gp``, a Gaussian process with
            expected improvement, hundreds of milliseconds per trial.
        n_startup_trials: Random samples at the start.
        n_ei_candidates: Samples that ``tpe`` draws to choose one from; ``gp`` has no use for it.

    Raises:
        ImportError: If Optuna is not installed.
        ValueError: If an argument is out of its range.

    Differs from Optuna: numbers are given to it as whole numbers, their ranks, so that it knows their order. A sample
    that was tried before is answered with its reward, as Optuna's manual recommends, and another is asked for. Its
    ``group`` is for spaces whose choices depend on others, which these are not.
    """
    library = require("optuna", "optuna")
    if sampler not in ("gp", "tpe"):
        raise ValueError(f"sampler is {sampler!r}. Expected gp or tpe")
    # Optuna's generators take 32 bits.
    arguments = {"seed": seed % 2**32, "n_startup_trials": whole("n_startup_trials", n_startup_trials)}
    if sampler == "tpe":
        arguments |= {"n_ei_candidates": whole("n_ei_candidates", n_ei_candidates), "multivariate": True}
    made = {"gp": library.samplers.GPSampler, "tpe": library.samplers.TPESampler}[sampler]
    return AskTellStrategy(
        lambda decisions, is_valid: Guarded(OptunaProposer(decisions, made(**arguments)), decisions, is_valid)
    )


class OptunaProposer:
    """A study of Optuna over the decisions of a space.

    Args:
        decisions: Of the space.
        sampler: Of Optuna, seeded.
    """

    def __init__(self, decisions: tuple[Decision, ...], sampler: Any) -> None:
        self._optuna = library = require("optuna", "optuna")
        self._decisions = tuple(in_order(decision) for decision in decisions)
        self._distributions = {
            decision.label: library.distributions.IntDistribution(0, len(decision.values) - 1)
            if is_ordered(decision)
            else library.distributions.CategoricalDistribution(list(range(len(decision.values))))
            for decision in decisions
        }
        library.logging.set_verbosity(library.logging.WARNING)  # or it prints a line per study
        self._study = library.create_study(direction="maximize", sampler=sampler)
        self._open: dict[Action, list[Any]] = {}

    def ask(self, n: int) -> list[Sample]:
        """Return n samples, some of them perhaps not for the first time."""
        return [self._ask_one() for _ in range(n)]

    def _ask_one(self) -> Sample:
        trial = self._study.ask(self._distributions)
        ranks = tuple(trial.params[label] for label in self._distributions)
        self._open.setdefault(ranks, []).append(trial)
        return to_sample(self._decisions, ranks)

    def tell(self, results: list[tuple[Sample, float]]) -> None:
        """Take rewards: those of its own trials, others as new ones."""
        for sample, reward in results:
            ranks = to_action(self._decisions, sample)
            trials = self._open.pop(ranks, [])
            for trial in trials:
                self._study.tell(trial, reward)
            if not trials:
                self._study.add_trial(self._ended(ranks, reward))

    def _ended(self, ranks: Action, reward: float) -> Any:
        params = dict(zip(self._distributions, ranks, strict=True))
        return self._optuna.trial.create_trial(params=params, distributions=self._distributions, value=reward)
