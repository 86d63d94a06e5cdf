"""What one image costs: processor time of a model that scores images one at a time, on one thread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor

from autoad_nni.models.scoring import ImageScorer, Scorer, predict, reconstruct
from autoad_nni.models.surroundings import torch_threads
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["check_ms", "ms_per_image", "network_ms_per_image"]

_LEAST_PASSES, _MOST_PASSES = 3, 15
_BUDGET_S: Final = 0.5


def ms_per_image(scorer: ImageScorer, images: Tensor, *, budget_s: float = _BUDGET_S) -> float:
    """Return the milliseconds that a model takes for one image: features, score and map, images one at a time.

    It is the median of 3 to 15 passes on one thread, after one that warms up. Processor time of this process counts,
    not the wall clock: time in which other processes have the core does not lengthen it. What they do to caches, memory
    and clock rate remains. On a GPU, whose work is no processor time, the wall clock counts.

    Args:
        scorer: One model, or several that predict together: a network that several of them take runs once.
        images: At least one, ``(n, channels, height, width)``.
        budget_s: Seconds after which no pass begins, but for the least number.

    Raises:
        RejectedTrial: A score or a map is not finite.
    """
    return _median_ms(lambda image: predict(scorer, image), scorer.device, images, budget_s)


def network_ms_per_image(scorer: Scorer, images: Tensor) -> float:
    """Return the milliseconds that a model's network alone takes for one image, trained or not; otherwise as above.

    The extractor of features, or the autoencoder; the model as a whole takes longer.

    Args:
        scorer: One model; of features, it need not be prepared.
        images: At least one, ``(n, channels, height, width)``.
    """
    detector = scorer.detector

    def run(image: Tensor) -> object:
        return detector.inputs(image.to(scorer.device)) if detector.takes_features else reconstruct(scorer, image)

    return _median_ms(run, scorer.device, images, 0.0)


def check_ms(ms: float, limit: float | None) -> None:
    """Raise RejectedTrial, ``OVER_MS``, for a model that takes more milliseconds for one image than the limit."""
    if limit is not None and ms > limit:
        raise RejectedTrial(Verdict.OVER_MS, f"{ms:.4g} ms for one image, the limit is {limit:g} ms.")


def _median_ms(run: Callable[[Tensor], Any], device: torch.device, images: Tensor, budget_s: float) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    passes: list[float] = []
    with torch_threads(1):
        run(images[:1])
        while len(passes) < _LEAST_PASSES or (len(passes) < _MOST_PASSES and sum(passes) < budget_s):
            began = clock()
            run(images[(len(passes) % len(images)) :][:1])
            passes.append(clock() - began)
    return round(1000 * statistics.median(passes), 3)
