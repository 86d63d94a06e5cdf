"""How the hypotheses detect on the same random autoencoders, and what their settings change.

Fashion-MNIST is normal; handwritten digits and patches of photographs are not. Every variant trains the same cheap
random autoencoders from the same weights, so that the columns compare. AUROC on validation images:
  score     the detector's: distance and hypothesis, each divided by its deviation on the training images
  distance  the distance alone, after that training
  term      the hypothesis's term alone
  KL        for cluster: Table I's divergence as a term of the score

    python benchmarks/hypotheses.py [--candidates 12] [--limit 4000] [--epochs 3] [--seed 5]
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")  # before NNI is imported, or it wants pytorch_lightning

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from autoad_nni.data import Task, TaskOptions, load_task
from autoad_nni.metrics.image import auroc
from autoad_nni.models.detector import Detector
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.centroid import CentroidHypothesis
from autoad_nni.models.hypotheses.cluster import ClusterHypothesis, target
from autoad_nni.models.hypotheses.density import DensityHypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import score_images
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.registry import LOSSES
from autoad_nni.verdicts import RejectedTrial
from autoad_nni_search_spaces import AutoencoderSpace

ABNORMAL = ("digits", "photos")
TERMS = ("score", "distance", "term", "KL")


def density(size: int) -> Hypothesis:
    class Sized(DensityHypothesis):
        max_code_size = size

    return Sized()


VARIANTS: dict[str, Callable[[], Hypothesis]] = {
    "reconstruction": ReconstructionHypothesis,
    "density": DensityHypothesis,
    "density, no regularizer": lambda: DensityHypothesis(energy_weight=0.0, covariance_weight=0.0),
    "density, 64 numbers": lambda: density(64),
    "density, 256 numbers": lambda: density(256),
    "cluster": ClusterHypothesis,
    "cluster, no regularizer": lambda: ClusterHypothesis(weight=0.0),
    "centroid": CentroidHypothesis,
    "centroid, no regularizer": lambda: CentroidHypothesis(weight=0.0),
    "centroid, weight 0.01": lambda: CentroidHypothesis(weight=0.01),
}


def draw(count: int, seed: int) -> list[dict[str, Any]]:
    """Random samples of three layers that train in seconds: few multiply-adds, few written values."""
    labels = {label: choice.values for label, choice in AutoencoderSpace(3).simplify().items()}
    generator = random.Random(seed)
    samples: list[dict[str, Any]] = []
    while len(samples) < count:
        sample = {label: generator.choice(values) for label, values in labels.items()}
        with torch.device("meta"):
            macs = AutoencoderSpace(3).freeze(sample).macs(28, 28)
        side, written = 28, 0
        for i in (1, 2, 3):
            written += sample[f"layer{i}_channels"] * side * side
            side = -(-side // sample[f"layer{i}_pooling_kernel"])
        if macs < 3e6 and written < 40_000:
            samples.append(sample)
    return samples


def measure(sample: dict[str, Any], hypothesis: Hypothesis, tasks: dict[str, Task], epochs: int) -> dict[str, float]:
    torch.manual_seed(0)
    detector = Detector(AutoencoderSpace(3).freeze(sample), hypothesis, LOSSES.load(sample["distance"])())
    started = time.perf_counter()
    try:
        fit(detector, tasks[ABNORMAL[0]].train, settings=TrainingSettings(epochs=epochs), seed=0)
    except RejectedTrial:
        return {f"{name} {term}": 0.0 for name in tasks for term in TERMS} | {"seconds": time.perf_counter() - started}
    result = {"seconds": time.perf_counter() - started}
    for name, task in tasks.items():
        labels = task.validation.labels.numpy()
        with torch.no_grad():
            distances, codes = detector.terms(task.validation.images)
            values = {
                "score": score_images(detector, task.validation.images),
                "distance": distances,
                "term": hypothesis.score(codes),
                "KL": divergence(hypothesis, codes) if isinstance(hypothesis, ClusterHypothesis) else 0 * distances,
            }
        result |= {f"{name} {term}": auroc(labels, value.numpy()) for term, value in values.items()}
    return result


def divergence(hypothesis: ClusterHypothesis, codes: torch.Tensor) -> torch.Tensor:
    kernel = hypothesis._kernel(codes)
    q = kernel / kernel.sum(1, keepdim=True)
    p = target(q, hypothesis.frequencies)
    return (p * (p / q).log()).sum(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--limit", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {
        name: load_task(TaskOptions(data="fashion_mnist", abnormal=(name,), limit=given.limit, seed=0))
        for name in ABNORMAL
    }
    samples = draw(given.candidates, given.seed)
    columns = [f"{name} {term}" for name in ABNORMAL for term in TERMS]
    print("median / best over the autoencoders; time: median of the ratio to reconstruction\n")
    print(f"| variant | {' | '.join(columns)} | time |\n|---|{'---|' * (len(columns) + 1)}")
    seconds: dict[str, list[float]] = {}
    for variant, make in VARIANTS.items():
        results = [measure(sample, make(), tasks, given.epochs) for sample in samples]
        seconds[variant] = [result["seconds"] for result in results]
        ratios = [one / base for one, base in zip(seconds[variant], seconds["reconstruction"], strict=True)]
        cells = [f"{np.median(v):.3f} / {max(v):.3f}" for c in columns if (v := [result[c] for result in results])]
        print(f"| {variant} | {' | '.join(cells)} | {statistics.median(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    main()
