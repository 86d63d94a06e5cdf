"""The first run of a trial in a process scores as later ones do, wherever its features come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.models.training import TrainingSettings
from autoad_nni.testing.new_process import in_new_process
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import FeatureSpace


def trained_on_features() -> dict[str, Any]:
    """A known method with weights to train, and a network, which draws weights before it is given its own."""
    return dict(FeatureSpace.known["feature_autoencoder"])


def fingerprints_of_two_runs(sample: Callable[[], dict[str, Any]]) -> Tensor:
    settings = TrialSettings(space="features", device="cpu", threads=1, training=TrainingSettings(epochs=1))
    task = load_task(TaskOptions(data="digits", abnormal=("uniform",), image_size=32, limit=80))
    records = [run_trial(sample(), task, settings).record for _ in range(2)]
    return torch.tensor([int(record.fingerprint, 16) for record in records], dtype=torch.float64)


def test_scores_are_those_of_later_runs_with_a_cold_a_warm_and_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path))
    cold = in_new_process(fingerprints_of_two_runs, trained_on_features)
    assert list((tmp_path / "features").iterdir()), "nothing was kept"
    warm = in_new_process(fingerprints_of_two_runs, trained_on_features)
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "0")
    none = in_new_process(fingerprints_of_two_runs, trained_on_features)
    found = [f"{int(number):08x}" for number in (*cold, *warm, *none)]
    assert len(set(found)) == 1, found
