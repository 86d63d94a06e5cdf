from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import broken_strategies
import pytest
from quick_peers import optuna_gp, quick_smac
from quick_tpe import quick_tpe

from autoad_nni.registry import STRATEGIES
from autoad_nni.testing import StrategyContract
from autoad_nni.testing.checking import Check, Factory
from autoad_nni.testing.strategy_checks import STRATEGY_CHECKS

# policy_based_rl needs packages that are not among the tests'.
TESTED_ELSEWHERE = {"autoad", "tpe", "smac", "policy_based_rl"}
# For which a strategy that learns in every iteration needs hundreds of trials.
MANY_TRIALS = {"higher_rewards_are_better", "nothing_is_proposed_twice"}


class TestStrategies(StrategyContract):
    @pytest.fixture(params=sorted(set(STRATEGIES.names()) - TESTED_ELSEWHERE))
    def plugin(self, request: pytest.FixtureRequest) -> Factory[Any]:
        if request.param == "optuna":
            pytest.importorskip("optuna")
        factory: Factory[Any] = STRATEGIES.load(request.param)
        return factory


class TestAutoAD(StrategyContract):
    @pytest.fixture
    def plugin(self) -> Factory[Any]:
        factory: Factory[Any] = STRATEGIES.load("autoad")
        return factory

    @pytest.mark.parametrize(
        "check",
        [
            pytest.param(check, marks=pytest.mark.slow if check.__name__ in MANY_TRIALS else (), id=check.__name__)
            for check in STRATEGY_CHECKS
        ],
    )
    def test_contract(self, plugin: Factory[Any], check: Check[Any]) -> None:
        super().test_contract(plugin, check)


@pytest.mark.slow
class TestSmac(StrategyContract):
    @pytest.fixture
    def plugin(self) -> Factory[Any]:
        pytest.importorskip("smac")
        return quick_smac


@pytest.mark.hours
@pytest.mark.timeout(0)  # its time grows with the cube of the results: half an hour for 80 trials
class TestOptunaGp(StrategyContract):
    @pytest.fixture
    def plugin(self) -> Factory[Any]:
        pytest.importorskip("optuna")
        return optuna_gp


class TestTpe(StrategyContract):
    cannot: ClassVar[Mapping[str, str]] = {
        "constraints_are_kept": "NNI cannot write them in the form that its tuners read"
    }

    @pytest.fixture
    def plugin(self) -> Factory[Any]:
        return quick_tpe


class TestSound(StrategyContract):
    @pytest.fixture
    def plugin(self) -> Factory[Any]:
        return broken_strategies.sound


@pytest.mark.parametrize(("toy", "meant"), broken_strategies.BROKEN.items(), ids=lambda value: str(value))
@pytest.mark.slow
def test_a_broken_strategy_fails_the_check_that_is_meant_for_it_and_no_other(toy: str, meant: str) -> None:
    found = {}
    for check in STRATEGY_CHECKS:
        try:
            check(getattr(broken_strategies, toy))
        except AssertionError as error:
            found[check.__name__] = str(error)
    assert list(found) == [meant], found
    assert found[meant].startswith("Expected: ") and ". Got: " in found[meant] and "\n" not in found[meant]


def test_a_part_that_it_said_it_could_not_do_and_does_is_a_failure() -> None:
    class Modest(StrategyContract):
        cannot: ClassVar[Mapping[str, str]] = {"is_a_strategy": "no reason"}

    is_a_strategy = STRATEGY_CHECKS[0]
    with pytest.raises(pytest.fail.Exception, match="DID NOT RAISE"):
        Modest().test_contract(broken_strategies.sound, is_a_strategy)


def test_every_check_has_a_strategy_that_fails_it() -> None:
    assert set(broken_strategies.BROKEN.values()) == {check.__name__ for check in STRATEGY_CHECKS}
