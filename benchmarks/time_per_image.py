"""What one image costs in torch and in onnxruntime: some typical winners, one core, one image at a time.

    python benchmarks/time_per_image.py [--side 128] [--images 30]

Median of the images in milliseconds, from 8-bit pixels of the model's size to score, map and decision; both runtimes
take turns, image by image, so that a busy machine slows both. The models are trained for a few steps: their time does
not depend on that.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime as ort
import torch
from torch import Tensor

from autoad_nni.data import ImageShape, Task, TaskOptions, load_task
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.onnx import export_onnx
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict
from autoad_nni.models.training import TrainingSettings
from autoad_nni.trial.run import make_scorer, run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni_search_spaces import FeatureSpace

LAYER = {"channels": 32, "kernel": 5, "pooling": "max", "pooling_kernel": 3, "normalization": "batch"}
AUTOENCODER = {f"layer{i}_{key}": value for i in (1, 2) for key, value in {**LAYER, "activation": "elu"}.items()}
AUTOENCODER |= {"hypothesis": "density", "distance": "l2"}
PATCHCORE, PADIM = FeatureSpace.known["patchcore"], FeatureSpace.known["padim"]


def trained(sample: dict[str, Any], task: Task, **scoring: Any) -> Scorer:
    space = "features" if "extractor" in sample else "autoencoder"
    settings = TrialSettings(
        training=TrainingSettings(steps=10), scoring=ScoringSettings(**scoring), space=space, device="cpu", threads=1
    )
    result = run_trial(sample, task, settings)
    assert result.detector is not None, result.record.detail
    return make_scorer(result.detector, task.train[0], settings.scoring)


def medians(scorer: Scorer | Ensemble, session: ort.InferenceSession, pixels: Tensor) -> tuple[float, float]:
    """Milliseconds for an image in torch and in onnxruntime."""
    with torch.inference_mode():
        ways: list[Callable[[Tensor], Any]] = [
            lambda image: predict(scorer, image / 255),
            lambda image: session.run(None, {"images": image.numpy()}),
        ]
        taken: tuple[list[float], list[float]] = ([], [])
        for image in [pixels[:1], *pixels.split(1)]:
            for way, into in zip(ways, taken, strict=True):
                started = time.perf_counter()
                way(image)
                into.append(time.perf_counter() - started)
    first, second = (1000 * statistics.median(each[1:]) for each in taken)  # the first image sets up
    return first, second


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--images", type=int, default=30)
    options = parser.parse_args()
    torch.set_num_threads(1)
    task = load_task(TaskOptions(data="textures", category="brick", image_size=options.side, limit=100))
    pixels = task.test.images[: options.images].mul(255).round().to(torch.uint8)
    patchcore, padim = trained(dict(PATCHCORE), task), trained(dict(PADIM), task)
    winners: dict[str, Scorer | Ensemble] = {
        "autoencoder, 2 layers, density": trained(AUTOENCODER, task),
        "the same in windows of 32": trained(AUTOENCODER, task, patch=32),
        "contrast_mixture": trained(dict(FeatureSpace.known["contrast_mixture"]), task),
        "padim (EfficientNet-Lite0)": padim,
        "mean of patchcore and padim": Ensemble([patchcore, padim]),
    }
    print(f"{options.side} x {options.side} pixels, {len(pixels)} images, one core")
    print(f"{'winner':32} {'torch ms':>9} {'ONNX ms':>9} {'ratio':>6} {'file MB':>8}")
    for name, scorer in winners.items():
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            export_onnx(scorer, ImageShape(*task.train.shape[1:]), 0.0, path)
            session_options = ort.SessionOptions()
            session_options.intra_op_num_threads = 1
            session = ort.InferenceSession(path, session_options, providers=["CPUExecutionProvider"])
            megabytes = path.stat().st_size / 1e6
        in_torch, in_onnx = medians(scorer, session, pixels)
        print(f"{name:32} {in_torch:9.1f} {in_onnx:9.1f} {in_onnx / in_torch:6.2f} {megabytes:8.1f}", flush=True)


if __name__ == "__main__":
    main()
