"""The contract of strategies as a pytest class; apart from the others, as it imports NNI."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from autoad_nni.testing.checking import Check, Factory
from autoad_nni.testing.strategy_checks import STRATEGY_CHECKS

__all__ = ["StrategyContract"]


class StrategyContract:
    """The tests that every strategy has to pass; inherit them and give what makes it.

    The fixture ``plugin`` returns what makes the strategy when it is called with ``seed``: a class, or a function, at
    the top level of a module, since one test imports it in a new process.

    Attributes:
        cannot: Names of checks that the strategy does not pass, with the reasons; should it pass one, the test fails.

    Example:
        >>> from autoad_nni.searches.nni_strategies import random
        >>> class TestRandom(StrategyContract):
        ...     @pytest.fixture
        ...     def plugin(self):
        ...         return random
        >>> for check in STRATEGY_CHECKS[:3]:  # what pytest does, with all of them
        ...     TestRandom().test_contract(random, check)
    """

    cannot: ClassVar[Mapping[str, str]] = {}

    @pytest.mark.parametrize("check", STRATEGY_CHECKS, ids=lambda check: check.__name__)
    def test_contract(self, plugin: Factory[Any], check: Check[Any]) -> None:
        """Run one check."""
        if check.__name__ in self.cannot:
            with pytest.raises(AssertionError, match="Expected: "):
                check(plugin)
        else:
            check(plugin)
