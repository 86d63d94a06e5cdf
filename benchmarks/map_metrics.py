"""Time and memory of the metrics of anomaly maps, on one core.

Usage: python benchmarks/map_metrics.py [--repeats N] [--images N]

Maps of 224 x 224, float32: smoothed noise, raised where the masks have blobs (about 2 % of the pixels).
(a) seconds of each metric and of all four; aim: AUPRO of 100 maps in less than 3 s.
(b) AUPRO against the naive twin of tests/metrics/test_pixel_metrics.py (each distinct score, each region), on 4 maps of
    48 x 48.
(c) peak memory beyond the maps and masks, in bytes a pixel; about 4 are the sorted normal scores.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before NumPy is imported

import argparse
import statistics
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage  # type: ignore[import-untyped]

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "metrics"))

from test_pixel_metrics import naive_aupro

from autoad_nni.metrics.pixel import aupro, normal_threshold, pixel_auroc, rpro

Judged = tuple[npt.NDArray[np.bool_], npt.NDArray[Any]]


def example(n_images: int, side: int) -> Judged:
    rng = np.random.default_rng(0)

    def smooth(width: float) -> npt.NDArray[Any]:
        noise = rng.standard_normal((n_images, side, side), np.float32)
        smoothed: npt.NDArray[Any] = ndimage.gaussian_filter(noise, (0, width, width))
        smoothed /= smoothed.std()
        return smoothed

    masks = smooth(side / 32) > 2
    return masks, smooth(3) + masks


def seconds(work: Callable[[], float], repeats: int) -> float:
    def once() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    once()  # warm up
    return statistics.median(once() for _ in range(repeats))


def peak(work: Callable[[], float]) -> int:
    tracemalloc.start()
    work()
    used = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return used


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=100)
    arguments = parser.parse_args()

    masks, maps = example(arguments.images, 224)
    normal = example(arguments.images, 224)[1] - masks
    threshold = normal_threshold(normal, min_area=100)
    metrics: dict[str, Callable[[], float]] = {
        "pixel_auroc": lambda: pixel_auroc(masks, maps),
        "aupro": lambda: aupro(masks, maps),
        "normal_threshold": lambda: normal_threshold(normal, min_area=100),
        "rpro": lambda: rpro(masks, maps, threshold=threshold),
    }
    print(f"{arguments.images} maps of 224 x 224, {masks.mean():.1%} of the pixels defect")
    print(f"{'':18}{'value':>8}{'(a) seconds':>14}{'(c) peak, MB':>14}{'bytes a pixel':>15}")
    times = []
    for name, metric in metrics.items():
        times.append(seconds(metric, arguments.repeats))
        used = peak(metric)
        print(f"{name:18}{metric():8.3f}{times[-1]:14.3f}{used / 1e6:14.1f}{used / masks.size:15.2f}")
    print(f"{'all four':18}{'':8}{sum(times):14.3f}   (aim: aupro < 3 s)")

    masks, maps = example(4, 48)
    naive, ours = naive_aupro(masks, maps, 0.3), aupro(masks, maps)
    ratio = seconds(lambda: naive_aupro(masks, maps, 0.3), 1) / seconds(lambda: aupro(masks, maps), 99)
    print(f"(b) naive twin's time / ours, 4 maps of 48 x 48: {ratio:.0f}; the values differ by {abs(naive - ours):.0e}")
