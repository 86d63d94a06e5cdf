"""How the hypotheses detect on the same random autoencoders, and what their settings change.

Fashion-MNIST is normal; handwritten digits and patches of photographs are not. Every variant trains the same cheap
random autoencoders from the same weights, so that the rows compare. AUROC on validation images, median / best over the
autoencoders and training seeds:
  score     the detector's: distance and hypothesis, each divided by its deviation on the training images
  distance  the distance alone, after that training
  term      the hypothesis's term alone
  KL        for cluster: Table I's divergence as a term of the score
"gain" is the mean difference of an autoencoder's score to that of the first variant, with its standard error, and
"time" the median ratio to it.

    python benchmarks/hypotheses.py [--candidates 12] [--limit 4000] [--epochs 3] [--seed 5] [--training-seeds 1]
        [--variants reconstruction density ...]
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
from autoad_nni.models.scoring import Scorer, predict
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
MORE_VARIANTS: dict[str, Callable[[], Hypothesis]] = {
    "cluster, no refresh within an epoch": lambda: ClusterHypothesis(refresh_every=float("inf")),
    "cluster, refresh every 0.1": lambda: ClusterHypothesis(refresh_every=0.1),
    "centroid, radius never in the objective": lambda: CentroidHypothesis(warm_up=1.0),
    "centroid, radius from the first step": lambda: CentroidHypothesis(warm_up=0.0),
    "centroid, radius after 1/15 of the training": lambda: CentroidHypothesis(warm_up=1 / 15),
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


def measure(
    sample: dict[str, Any], hypothesis: Hypothesis, tasks: dict[str, Task], epochs: int, seed: int
) -> dict[str, float]:
    torch.manual_seed(seed)
    detector = Detector(AutoencoderSpace(3).freeze(sample), hypothesis, LOSSES.load(sample["distance"])())
    started = time.perf_counter()
    try:
        fit(detector, tasks[ABNORMAL[0]].train, settings=TrainingSettings(epochs=epochs), seed=seed)
    except RejectedTrial:
        return {f"{name} {term}": 0.0 for name in tasks for term in TERMS} | {"seconds": time.perf_counter() - started}
    result = {"seconds": time.perf_counter() - started}
    for name, task in tasks.items():
        labels = task.validation.labels.numpy()
        with torch.no_grad():
            terms = detector(task.validation.images)
            none = torch.zeros(len(labels))
            values = {
                "score": predict(Scorer(detector), task.validation.images).score,
                "distance": terms.distance,
                "term": hypothesis.score(terms.code),
                "KL": divergence(hypothesis, terms.code) if isinstance(hypothesis, ClusterHypothesis) else none,
            }
        result |= {f"{name} {term}": auroc(labels, value.numpy()) for term, value in values.items()}
    return result


def divergence(hypothesis: ClusterHypothesis, codes: torch.Tensor) -> torch.Tensor:
    kernel = hypothesis._kernel(codes)
    q = kernel / kernel.sum(1, keepdim=True)
    p = target(q, hypothesis.frequencies)
    return (p * (p / q).log()).sum(1)


def gain(results: list[dict[str, float]], first: list[dict[str, float]], column: str) -> str:
    differences = np.array([one[column] - base[column] for one, base in zip(results, first, strict=True)])
    return f"{differences.mean():+.3f} ({differences.std(ddof=1) / len(differences) ** 0.5:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=12)
    parser.add_argument("--limit", type=int, default=4000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--training-seeds", type=int, default=1)
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=[*VARIANTS, *MORE_VARIANTS])
    given = parser.parse_args()
    torch.set_num_threads(1)
    tasks = {
        name: load_task(TaskOptions(data="fashion_mnist", abnormal=(name,), limit=given.limit, seed=0))
        for name in ABNORMAL
    }
    runs = [(sample, seed) for seed in range(given.training_seeds) for sample in draw(given.candidates, given.seed)]
    columns = [f"{name} {term}" for name in ABNORMAL for term in TERMS]
    heads = [*columns, *(f"{name} gain" for name in ABNORMAL), "time"]
    print(f"| variant | {' | '.join(heads)} |\n|---|{'---|' * len(heads)}")
    first: list[dict[str, float]] = []
    for variant in given.variants:
        make = {**VARIANTS, **MORE_VARIANTS}[variant]
        results = [measure(sample, make(), tasks, given.epochs, seed) for sample, seed in runs]
        first = first or results
        ratios = [one["seconds"] / base["seconds"] for one, base in zip(results, first, strict=True)]
        cells = [f"{np.median(v):.3f} / {max(v):.3f}" for c in columns if (v := [result[c] for result in results])]
        cells += [gain(results, first, f"{name} score") for name in ABNORMAL]
        print(f"| {variant} | {' | '.join(cells)} | {statistics.median(ratios):.2f} |", flush=True)


if __name__ == "__main__":
    main()
