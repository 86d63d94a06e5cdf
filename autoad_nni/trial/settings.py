"""What a trial needs besides the sample and the images."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from autoad_nni.errors import AutoADError
from autoad_nni.models.features import Extraction
from autoad_nni.models.scoring import ScoringSettings
from autoad_nni.models.training import TrainingSettings
from autoad_nni.options import option
from autoad_nni.trial.evaluate import REWARDS

__all__ = ["DEVICES", "TrialSettings", "pick_device"]

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True, kw_only=True)
class TrialSettings:
    """What a trial needs besides the sample and the images.

    Args:
        training: How to train.
        scoring: Whether the model sees whole images or windows, and how maps are smoothed.
        reward: One of `autoad_nni.trial.evaluate.REWARDS`.
        max_macs: Refuse models with more multiply-adds for one image; None for no limit.
        max_ms: Refuse models that take more milliseconds of processor time for one image, on one thread
            (:func:`autoad_nni.trial.timing.ms_per_image`); None for no limit. Times are measured, so near the limit two
            runs can differ.
        max_seconds: Stop training or scoring that would take longer; None for no limit. This limit depends on the
            machine, so near it two runs can differ.
        max_memory: Megabytes of what is saved for backward; the batch is made smaller to fit, and a model is refused
            if not even 8 images do.
        device: ``auto`` takes CUDA when there is one.
        threads: CPU threads of torch; None for torch's choice, all cores. Trials that run side by side on all cores
            each slow one another down many times over: give cores / trials.
        seed: Seed of weights and shuffling.
        space: Name of the search space that samples are from.
        download: Whether the weights of the feature extractor may be downloaded.
        weights: File with the weights of the feature extractor; None for installed or downloaded ones.

    Raises:
        AutoADError: If a value is out of range or unknown.
    """

    training: TrainingSettings = field(default_factory=TrainingSettings)
    scoring: ScoringSettings = field(default_factory=ScoringSettings)
    reward: str = option("auroc", help=f"Metric on the validation images, one of {', '.join(REWARDS)}.")
    max_macs: int | None = option(
        None, help="Refuse models with more multiply-adds for one image, or for one window; reward 0."
    )
    max_ms: float | None = option(
        None, help="Refuse models with more milliseconds of processor time for one image, on one thread; reward 0."
    )
    max_seconds: float | None = option(None, help="Stop a trial that takes longer to train and score; reward 0.")
    max_memory: int = option(4000, help="Megabytes saved for backward; the batch is made smaller to fit.")
    device: str = option("auto", help="auto, cpu or cuda.")
    threads: int | None = option(None, help="CPU threads; default: all cores.")
    seed: int = option(0, help="Seed of the split, the weights and the shuffling.")
    space: str = option("autoencoder", help="Registered search space that the sample is from.")
    download: bool = False
    weights: Path | None = option(None, help="Weights of the feature extractor, instead of downloading them.")

    @property
    def extraction(self) -> Extraction:
        """Where the weights of the feature extractor come from."""
        return Extraction(download=self.download, weights=self.weights)

    def __post_init__(self) -> None:
        for name, known in (("reward", REWARDS), ("device", DEVICES)):
            if getattr(self, name) not in known:
                raise AutoADError(
                    f"[[{name}]] is {getattr(self, name)!r}. Expected one of {', '.join(known)}. Give one of these."
                )
        limits = {
            "max_macs": "no limit",
            "max_ms": "no limit",
            "max_seconds": "no limit",
            "threads": "all cores",
            "max_memory": "4,000 megabytes",
        }
        for name, default in limits.items():
            value = getattr(self, name)
            if value is not None and not value > 0:  # nan too
                raise AutoADError(
                    f"[[{name}]] is {value}. Expected more than 0. Raise it, or leave it out for {default}."
                )
        if not 0 <= self.seed < 2**63:
            raise AutoADError(f"[[seed]] is {self.seed}. Expected 0 to 2^63 - 1. Give [[seed=0]].")


def pick_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu`` or ``cuda`` into a device; AutoADError when CUDA is asked for and there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise AutoADError(
            "[[device]] is cuda, but torch finds no CUDA device. Expected one. Give [[device=auto]] or [[device=cpu]]."
        )
    return torch.device("cuda" if name != "cpu" and torch.cuda.is_available() else "cpu")
