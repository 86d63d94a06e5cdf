"""How often the interval of an AUROC holds the true one, by the number of anomalous images.

Usage: python benchmarks/intervals.py [--repeats N]

Scores of 84 normal and a few anomalous images from normal distributions 1 and 2 deviations apart, 300 times, 300 draws
each; beside the share, the mean width. Intervals for 95 %.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.interval import Indices, bootstrap_interval

N_NORMAL = 84


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

                def metric(drawn: Indices, labels: Indices = labels, scores: np.ndarray = scores) -> float:
                    return auroc(labels[drawn], scores[drawn])

                low, high = bootstrap_interval(metric, labels, n_draws=300)
                held, width = held + (low <= truth <= high), width + high - low
            print(f"{n_anomalous:>4} anomalous: held {held / repeats:.2f}, width {width / repeats:.2f}")


if __name__ == "__main__":
    main()
