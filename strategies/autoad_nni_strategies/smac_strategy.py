"""SMAC, a random forest with expected improvement, as a strategy."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path
from typing import Any

from autoad_nni_strategies.ask_tell import Sample
from autoad_nni_strategies.extras import require, whole
from autoad_nni_strategies.guarded import Guarded
from autoad_nni_strategies.ranks import in_order, is_ordered
from autoad_nni_strategies.spaces import Decision, to_action, to_sample
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["SmacProposer", "smac"]


def smac(*, seed: int, n_initial: int = 10, retrain_after: int = 8) -> AskTellStrategy:
    """Search with SMAC3's facade for hyperparameters. Needs the extra ``smac``.

    Args:
        seed: Seed of SMAC.
        n_initial: Samples of a Sobol sequence at the start.
        retrain_after: Samples after which the forest is fitted anew. Fewer need more time: the fit and the search for
            the highest expected improvement take about a second.

    Raises:
        ImportError: If SMAC is not installed.
        ValueError: If an argument is out of its range.

    Differs from SMAC: it takes 10 initial samples per choice, at most a quarter of the trials; here their number is
    given. Numbers are given to it as whole numbers, their ranks. Every sample is evaluated once.
    """
    require("smac", "smac")
    n_initial, retrain_after = whole("n_initial", n_initial), whole("retrain_after", retrain_after)
    return AskTellStrategy(
        lambda decisions, is_valid: Guarded(
            SmacProposer(decisions, seed=seed, n_initial=n_initial, retrain_after=retrain_after), decisions, is_valid
        )
    )


class SmacProposer:
    """SMAC's ask and tell over the decisions of a space.

    Args:
        decisions: Of the space.
        seed: Seed of SMAC.
        n_initial: Samples of the initial design.
        retrain_after: Samples between two fits.
    """

    def __init__(self, decisions: tuple[Decision, ...], *, seed: int, n_initial: int, retrain_after: int) -> None:
        require("smac", "smac")
        import ConfigSpace
        from smac import Scenario

        logging.getLogger("smac").setLevel(logging.ERROR)
        self._decisions = tuple(in_order(decision) for decision in decisions)
        self._names = [f"{i:03}" for i in range(len(decisions))]  # SMAC sorts by name
        seed %= 2**31  # the largest that numpy and scikit-learn take as they are
        self._space = ConfigSpace.ConfigurationSpace(seed=seed)
        for name, decision in zip(self._names, decisions, strict=True):
            n = len(decision.values)
            self._space.add(
                ConfigSpace.UniformIntegerHyperparameter(name, 0, n - 1)
                if is_ordered(decision)
                else ConfigSpace.CategoricalHyperparameter(name, list(range(n)))
            )
        self._evaluation_seed = 0
        """With which SMAC believes that samples are evaluated: one of its own, or of the first that it is given."""
        # SMAC writes its settings to a folder when it is made; results are kept elsewhere.
        with tempfile.TemporaryDirectory() as folder:
            scenario = Scenario(
                self._space, deterministic=True, n_trials=10**6, seed=seed, output_directory=Path(folder)
            )
            self._facade = _facade(scenario, n_initial=n_initial, retrain_after=retrain_after)

    def ask(self, n: int) -> list[Sample]:
        """Return n samples; fewer if SMAC finds no more."""
        from smac.main.exceptions import ConfigurationSpaceExhaustedException

        samples: list[Sample] = []
        while len(samples) < n:
            try:
                info = self._facade.ask()
            except (ConfigurationSpaceExhaustedException, StopIteration):
                break
            self._evaluation_seed = info.seed
            samples.append(to_sample(self._decisions, tuple(int(info.config[name]) for name in self._names)))
        return samples

    def tell(self, results: list[tuple[Sample, float]]) -> None:
        """Take rewards; SMAC minimises, and takes logarithms of the distance from the lowest cost."""
        from ConfigSpace import Configuration
        from smac.runhistory import TrialInfo, TrialValue

        for sample, reward in results:
            ranks = zip(self._names, to_action(self._decisions, sample), strict=True)
            info = TrialInfo(Configuration(self._space, values=dict(ranks)), seed=self._evaluation_seed)
            self._facade.tell(info, TrialValue(cost=-reward), save=False)


def _facade(scenario: Any, *, n_initial: int, retrain_after: int) -> Any:
    from smac import HyperparameterOptimizationFacade as Facade

    model = Facade.get_model(scenario)
    model._rf_opts["n_jobs"] = 1  # threads for trees of a few hundred samples take longer than the trees
    maximizer = Facade.get_acquisition_maximizer(scenario)
    maximizer._local_search.__class__ = _ordered(type(maximizer._local_search))
    return Facade(
        scenario,
        model=model,
        acquisition_maximizer=maximizer,
        initial_design=Facade.get_initial_design(scenario, n_configs=n_initial),
        intensifier=Facade.get_intensifier(scenario, max_config_calls=1),
        config_selector=Facade.get_config_selector(scenario, retrain_after=retrain_after),
        logging_level=False,
        overwrite=True,
    )


def _ordered(local_search: type) -> type:
    """Return SMAC's local search with its starts in order.

    They come from a set of configurations, whose order depends on Python's hashes of texts: another one in each
    process, so that a search could not be replayed.
    """

    class OrderedLocalSearch(local_search):  # type: ignore[misc]
        def _get_init_points_from_previous_configs(self, *args: Any, **kwargs: Any) -> list[Any]:
            starts = super()._get_init_points_from_previous_configs(*args, **kwargs)
            return sorted(starts, key=lambda config: tuple(config.get_array()))

    return OrderedLocalSearch
