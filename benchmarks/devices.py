"""Whether channels-last memory or bfloat16 make training faster, and whether the scores stay the same.

Random autoencoders of three layers on Fashion-MNIST, each trained from the same weights in every way, on every device
that torch finds. Printed per way: training time as a ratio to the plain one (below 1 is faster; median, smallest and
largest over the autoencoders), and how far the scores on validation images agree with the plain ones: smallest rank
correlation, largest difference in AUROC. A way is worth its code where it is faster and agrees: correlation 0.999.

    python benchmarks/devices.py [--candidates 12] [--seed 3] [--limit 3000]
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import argparse
import random
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import Tensor, nn

from autoad_nni.data import TaskOptions, load_task
from autoad_nni.metrics.image import auroc
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import score_images
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.verdicts import RejectedTrial
from autoad_nni_search_spaces import AutoencoderSpace

WAYS = ("plain", "channels last", "bfloat16", "both")


class Way(nn.Module):
    """Runs an autoencoder in one of the ways; scores are computed in float32 from what it gives."""

    def __init__(self, autoencoder: nn.Module, way: str) -> None:
        super().__init__()
        self.channels_last = way in ("channels last", "both")
        self.bfloat16 = way in ("bfloat16", "both")
        self.inner = autoencoder.to(memory_format=torch.channels_last) if self.channels_last else autoencoder

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        if self.channels_last:
            images = images.contiguous(memory_format=torch.channels_last)
        precision: AbstractContextManager[Any] = (
            torch.autocast(images.device.type, torch.bfloat16) if self.bfloat16 else nullcontext()
        )
        with precision:
            image, code = self.inner(images)
        return image.float(), code.float()


def draw(count: int, seed: int) -> list[dict[str, Any]]:
    """Random samples of 1 to 10 million multiply-adds: where time goes."""
    labels = {label: choice.values for label, choice in AutoencoderSpace(3).simplify().items()}
    generator = random.Random(seed)
    samples: list[dict[str, Any]] = []
    while len(samples) < count:
        sample = {label: generator.choice(values) for label, values in labels.items()}
        with torch.device("meta"):
            macs = AutoencoderSpace(3).freeze(sample).macs(28, 28)
        if 1e6 < macs < 1e7:
            samples.append(sample)
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--limit", type=int, default=3000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(TaskOptions(data="fashion_mnist", abnormal=("digits",), limit=given.limit, seed=0))
    labels = task.validation.labels.numpy()
    for device in ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]:
        ratios: dict[str, list[float]] = {way: [] for way in WAYS}
        agreement: dict[str, list[float]] = {way: [] for way in WAYS}
        difference: dict[str, list[float]] = {way: [] for way in WAYS}
        for sample in draw(given.candidates, given.seed):
            plain: tuple[float, np.ndarray] | None = None
            for way in WAYS:
                torch.manual_seed(0)
                autoencoder = Way(AutoencoderSpace(3).freeze(sample), way)
                detector = Detector(autoencoder, ReconstructionHypothesis(), L2Distance()).to(device)
                started = time.perf_counter()
                try:
                    fit(detector, task.train, settings=TrainingSettings(epochs=1), seed=0)
                except RejectedTrial:
                    break
                seconds = time.perf_counter() - started
                scores = score_images(detector, task.validation.images).numpy()
                if plain is None:
                    plain = seconds, scores
                ratios[way].append(seconds / plain[0])
                agreement[way].append(float(spearmanr(plain[1], scores).statistic))
                difference[way].append(abs(auroc(labels, scores) - auroc(labels, plain[1])))
        print(f"{device}:\n| way | time ratio: median (min to max) | rank correlation, min | AUROC difference, max |")
        print("|---|---|---|---|")
        for way in WAYS:
            times = f"{np.median(ratios[way]):.2f} ({min(ratios[way]):.2f} to {max(ratios[way]):.2f})"
            print(f"| {way} | {times} | {min(agreement[way]):.4f} | {max(difference[way]):.4f} |", flush=True)


if __name__ == "__main__":
    main()
