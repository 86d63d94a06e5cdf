"""How often the interval of an AUROC holds the true one, by the number of anomalous images.

Usage: python benchmarks/intervals.py [--repeats N]

Scores of 84 normal and a few anomalous images from normal distributions 1 and 2 deviations apart, 300 times, 300 draws
each; beside the share, the mean width. Intervals for 95 %. Then the same for eight copies of each anomalous image, half
the variance of whose scores is the image's own: drawn one by one, and all copies of an image together.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.interval import Indices, bootstrap_interval

N_NORMAL, COPIES = 84, 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=300)
    repeats = parser.parse_args().repeats
    for shift in (1.0, 2.0):
        truth = 0.5 * (1 + math.erf(shift / 2))
        print(f"AUROC {truth:.3f}")
        for n_anomalous in (2, 3, 5, 10, 25, 50):
            labels, held, width = np.repeat([0, 1], [N_NORMAL, n_anomalous]), 0, 0.0
            for seed in range(repeats):
                scores = np.random.default_rng(seed).normal(size=len(labels)) + shift * labels
                low, high = interval(labels, scores)
                held, width = held + (low <= truth <= high), width + high - low
            print(f"{n_anomalous:>4} anomalous: held {held / repeats:.2f}, width {width / repeats:.2f}")
        for n_images in (2, 4, 8, 16):
            alone, together = (of_copies(n_images, shift, truth, repeats, drawn) for drawn in (False, True))
            print(f"{COPIES} copies of {n_images:>2}: held {alone:.2f} drawn one by one, {together:.2f} drawn together")


def of_copies(n_images: int, shift: float, truth: float, repeats: int, together: bool) -> float:
    """How often it holds the true figure."""
    labels = np.repeat([0, 1], [N_NORMAL, COPIES * n_images])
    groups = np.concatenate([np.arange(N_NORMAL), N_NORMAL + np.arange(COPIES * n_images) // COPIES])
    held = 0
    for seed in range(repeats):
        random = np.random.default_rng(seed)
        own, copies = np.repeat(random.normal(size=n_images), COPIES), random.normal(size=COPIES * n_images)
        scores = np.concatenate([random.normal(size=N_NORMAL), shift + (own + copies) / math.sqrt(2)])
        low, high = interval(labels, scores, groups if together else None)
        held += low <= truth <= high
    return held / repeats


def interval(labels: Indices, scores: np.ndarray, groups: Indices | None = None) -> tuple[float, float]:
    return bootstrap_interval(lambda drawn: auroc(labels[drawn], scores[drawn]), labels, groups, n_draws=300)


if __name__ == "__main__":
    main()
