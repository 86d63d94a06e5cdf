"""Runs a contract against one plugin with pytest, without a test file."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from typing import Any

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.testing import contracts

__all__ = ["run_contract"]


def run_contract(contract: str, plugin: Any, report: Callable[[str], object]) -> bool:
    """Run every check of a contract, and return whether all passed.

    Args:
        contract: Name of the class in :mod:`autoad_nni.testing.contracts`.
        plugin: What the entry point gave.
        report: Called with one line per check as it ends, and with one line at the end.

    Raises:
        AutoADError: pytest could not run.

    Example:
        >>> from autoad_nni.models.distances.l1 import L1Distance
        >>> lines = []
        >>> run_contract("DistanceContract", L1Distance, lines.append)
        True
        >>> lines[0].split(), lines[-1].split()
        (['ok', 'is', 'a', 'distance'], ['11', 'checks,', 'all', 'passed.'])
    """
    run = _Run(plugin, report)
    arguments = [
        *(str(contracts.__file__), "--override-ini", f"python_classes={contract}"),
        # Neither the settings nor the plugins of whatever project lies around.
        *("-c", os.devnull, "--rootdir", os.path.dirname(str(contracts.__file__)), "--noconftest"),
        *("-p", "no:terminal", "-p", "no:cacheprovider", "--capture=sys", "-W", "ignore"),
    ]
    given = {name: os.environ.pop(name, None) for name in ("PYTEST_ADDOPTS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD")}
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    try:
        code = pytest.main(arguments, plugins=[run])
    finally:
        del os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"]
        os.environ.update({name: value for name, value in given.items() if value is not None})
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not run.n_checks:
        raise AutoADError(
            f"pytest ended with {code!r} after {run.n_checks} checks. Expected it to run them all. "
            "Install a newer pytest: pip install 'pytest>=8'"
        )
    outcome = f"{run.n_failed} failed" if run.n_failed else "all passed"
    report(f"  {run.n_checks} checks, {outcome}.")
    return run.n_failed == 0


class _Run:
    """A pytest plugin: gives the contract its fixture, and reports each check as it ends."""

    def __init__(self, plugin: Any, report: Callable[[str], object]) -> None:
        self._plugin = plugin
        self._report = report
        self.n_checks = 0
        self.n_failed = 0

    @pytest.fixture
    def plugin(self) -> Any:
        return self._plugin

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        result = yield
        if call.when == "call" or call.excinfo is not None:
            check = getattr(item, "callspec").params["check"].__name__.replace("_", " ")  # noqa: B009
            self.n_checks += 1
            if call.excinfo is None:
                self._report(f"  ok    {check}")
            else:
                self.n_failed += 1
                self._report(f"  FAIL  {check}. {call.excinfo.value}")
        return result
