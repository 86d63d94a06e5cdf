from __future__ import annotations

import os
import random
import signal
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autoad_nni.models.surroundings import keeping_surroundings


def _another(number: int, frame: object) -> None:
    """A handler that no process has; one in the background ignores SIGINT from the start."""


CHANGES: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
    "folder": (os.getcwd, lambda: os.chdir("/")),
    "gradients": (torch.is_grad_enabled, lambda: torch.set_grad_enabled(False)),
    "dtype": (torch.get_default_dtype, lambda: torch.set_default_dtype(torch.float64)),
    "device": (lambda: torch.empty(0).device, lambda: torch.set_default_device("meta")),
    "deterministic": (
        torch.are_deterministic_algorithms_enabled,
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    ),
    "precision": (torch.get_float32_matmul_precision, lambda: torch.set_float32_matmul_precision("medium")),
    "SIGINT": (lambda: signal.getsignal(signal.SIGINT), lambda: signal.signal(signal.SIGINT, _another)),
    "SIGTERM": (lambda: signal.getsignal(signal.SIGTERM), lambda: signal.signal(signal.SIGTERM, _another)),
    "warnings": (lambda: list(warnings.filters), lambda: warnings.simplefilter("error")),
    "random": (random.getstate, random.random),
    "numpy": (lambda: np.random.get_state()[2], np.random.rand),
    "torch": (lambda: torch.get_rng_state().tolist(), lambda: torch.rand(1)),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_changed_is_given_back_also_after_an_error(name: str, tmp_path: Path) -> None:
    read, change = CHANGES[name]
    before = read()
    with pytest.raises(RuntimeError, match="boom"), keeping_surroundings():
        change()
        changed = read()
        raise RuntimeError("boom")
    assert changed != before, "or the test proves nothing"
    assert read() == before


def test_what_was_set_before_stays_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with torch.no_grad(), torch.device("meta"), keeping_surroundings():
        torch.set_grad_enabled(True)
    assert torch.is_grad_enabled() and torch.empty(0).device.type == "cpu" and Path.cwd() == tmp_path


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with keeping_surroundings():
        os.chdir(tmp_path)


def test_warnings_that_were_shown_are_not_shown_again() -> None:
    """As they would be if the filters were replaced by a copy at every trial."""

    def warned() -> None:
        warnings.warn("once", UserWarning, stacklevel=1)

    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("default")
        for _ in range(3):
            with keeping_surroundings():
                warned()
    assert len(shown) == 1


def test_in_another_thread_handlers_are_left_alone() -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            with keeping_surroundings():
                pass
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert errors == []
