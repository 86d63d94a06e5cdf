from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.searches.search import Search
from autoad_nni.searches.spaces import declare, to_search_space

LABELS = ["hypothesis", "distance", *[
    f"layer1_{key}" for key in ("channels", "kernel", "pooling", "pooling_kernel", "normalization", "activation")
]]  # fmt: skip


def search(strategy: str, journal: Path | None = None, **strategy_args: Any) -> Search:
    return Search(
        search_space=to_search_space(declare("autoencoder", LABELS)),
        journal_path=journal,
        strategy=strategy,
        strategy_args=strategy_args,
        seed=0,
        space="autoencoder",
    )


@pytest.mark.parametrize(
    ("strategy", "arguments", "reason"),
    [
        ("autoad", {"batch_sise": 5}, "batch_sise"),
        ("autoad", {"batch_size": 0}, "batch_size is 0"),
        ("autoad", {"preset": "papr"}, "preset is 'papr'"),
        ("autoad", {"seed": 1}, "multiple values for keyword argument 'seed'"),
        ("random", {"dedupe": True}, "dedupe"),
        ("grid_search", {"shufle": True}, "shufle"),
        ("regularized_evolution", {"populaton_size": 5}, "populaton_size"),
        ("regularized_evolution", {"population_size": 5}, "sample_size must be smaller than population_size"),
        ("regularized_evolution", {"population_size": "many"}, "'<=' not supported"),
        ("regularized_evolution", {"mutation_prob": 1.5}, "mutation_prob is 1.5, not from 0 to 1"),
        ("regularized_evolution", {"mutation_prob": "often"}, "'<=' not supported"),
        ("tpe", {"optimise_mode": "maximize"}, "optimise_mode"),
        ("tpe", {"optimize_mode": "best"}, "'best' is not a valid OptimizeMode"),
        ("tpe", {"tpe_args": {"startup": 3}}, "startup"),
        ("tpe", {"tpe_args": 5}, "must be a mapping"),
        ("tpe", {"tpe_args": {"n_startup_jobs": "few"}}, "tpe_args.n_startup_jobs is 'few', not a number"),
    ],
)
def test_arguments_that_a_strategy_does_not_take_are_named(
    tmp_path: Path, strategy: str, arguments: dict[str, Any], reason: str
) -> None:
    with pytest.raises(AutoADError) as caught:
        search(strategy, tmp_path / "state" / "journal.jsonl", **arguments)
    message = str(caught.value)
    assert message.startswith(f"strategy '{strategy}' does not take strategy_args {arguments}: ")
    assert reason in message and "\n" not in message
    assert message.endswith("). Correct tuner.classArgs.")
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_argument_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(AutoADError, match=r"AutoADStrategy \(preset, batch_size, .*, kl_weight\)\. Correct") as caught:
        search("autoad", weight_sharing=True)
    assert str(caught.value).endswith("; to share weights, give trialCommand --weight-sharing.")


def test_the_tpe_maximises_unless_it_is_set_to_minimise() -> None:
    """NNI's default looks for the worst model."""
    from nni.algorithms.hpo.tpe_tuner import OptimizeMode

    assert search("tpe").strategy.tuner.optimize_mode is OptimizeMode.Maximize
    assert search("tpe", optimize_mode="minimize").strategy.tuner.optimize_mode is OptimizeMode.Minimize


def test_evolution_leaves_its_random_phase_within_a_short_search() -> None:
    strategy = search("regularized_evolution").strategy
    assert (strategy.population_size, strategy.sample_size) == (25, 8)
    assert search("regularized_evolution", population_size=50).strategy.population_size == 50


@pytest.mark.skipif(importlib.util.find_spec("tianshou") is not None, reason="tianshou is installed")
def test_reinforcement_learning_says_what_it_needs() -> None:
    with pytest.raises(AutoADError, match=r"pip install --no-deps tianshou==0.5.1 gym==0.26.2"):
        search("policy_based_rl")


@pytest.mark.parametrize("strategy", ["smac", "optuna"])
def test_a_missing_extra_says_what_to_install(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, strategy, None)
    with pytest.raises(AutoADError) as caught:
        search(strategy)
    message = str(caught.value)
    assert message.startswith(f"strategy '{strategy}' needs a package that is not installed: ")
    assert message.endswith(f"pip install 'autoad-nni[{strategy}]'.") and "\n" not in message


@pytest.mark.parametrize(("strategy", "reason"), [("local_search", "n_startup_trials is 0"), ("optuna", "sampler is")])
def test_wrong_arguments_of_a_peer_are_named(strategy: str, reason: str) -> None:
    if strategy == "optuna":
        pytest.importorskip("optuna")
    arguments = {"n_startup_trials": 0} if strategy == "local_search" else {"sampler": "cma"}
    with pytest.raises(AutoADError, match=rf"{reason}.*Expected arguments of autoad_nni_strategies\."):
        search(strategy, **arguments)


def test_an_unknown_strategy_says_which_one_is_near() -> None:
    with pytest.raises(AutoADError, match=r"^Unknown strategy 'autoadd'. Installed: .* Did you mean 'autoad'\?$"):
        search("autoadd")
