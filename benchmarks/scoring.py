"""What scoring one image costs: the best model of a run alone, and its winner, which may be the mean of several.

    python benchmarks/scoring.py RUN

One thread, one image at a time, as in an inspection line; scores and maps; the median of the images, in milliseconds of
wall time and of processor time. Features are computed, not taken from the cache.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import torch

import autoad_nni as ad
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.scoring import Scorer, predict

N_IMAGES = 30


def milliseconds(scorer: Scorer | Ensemble, images: torch.Tensor) -> tuple[float, float]:
    """Median wall and processor time of an image."""
    predict(scorer, images[:1])  # what is set up at the first image does not count
    wall, processor = [], []
    for image in images.split(1):
        started, used = time.perf_counter(), time.process_time()
        predict(scorer, image)
        wall.append(time.perf_counter() - started)
        processor.append(time.process_time() - used)
    return 1000 * statistics.median(wall), 1000 * statistics.median(processor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="Folder of a search.")
    model = ad.load(parser.parse_args().run)
    torch.set_num_threads(1)
    images = torch.rand(N_IMAGES, *model.image_shape, generator=torch.Generator().manual_seed(0))
    winner = model.scorer
    print(f"{model.image_shape.height} x {model.image_shape.width} pixels, ms for an image: wall time, processor time")
    if isinstance(winner, Ensemble):
        print("best trial alone      {:7.1f} {:7.1f}".format(*milliseconds(winner.scorers[0], images)))
        print("mean of {:2d} models     {:7.1f} {:7.1f}".format(len(winner.scorers), *milliseconds(winner, images)))
    else:
        print("one model             {:7.1f} {:7.1f}".format(*milliseconds(winner, images)))


if __name__ == "__main__":
    main()
