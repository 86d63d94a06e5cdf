"""Compares ways to build and train a child model, on the same random candidates; gives docs/decisions/child-model.md.

    OMP_NUM_THREADS=1 python benchmarks/child_model.py /usr/share/datasets/fashion-mnist --study decoder

Fashion-MNIST (a folder of IDX files) is normal; handwritten digits and patches of photographs are abnormal.
"""

from __future__ import annotations

import os

os.environ.setdefault("NNI_FRAMEWORK", "none")

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.models.autoencoder import Reconstruction
from autoad_nni.models.detector import Detector, count_macs
from autoad_nni.models.scoring import score_images
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.registry import HYPOTHESES, LOSSES
from autoad_nni.verdicts import RejectedTrial
from autoad_nni_search_spaces import AutoencoderSpace

SIDE = 28


@dataclass(frozen=True)
class Variant:
    """One way to build and train; the defaults are what the package does."""

    learning_rate: float = 0.003
    last_norm: bool = True
    last_activation: bool = True
    unpooling: str = "nearest"  # nearest | bilinear | indices
    unpool_first: bool = False  # DECONV(UPPOOL(x)) instead of the paper's UPPOOL(DECONV(x))


class VariantAutoencoder(nn.Module):
    """A frozen child model, run as a variant says."""

    def __init__(self, child: AutoencoderSpace, variant: Variant) -> None:
        super().__init__()
        self.child, self.variant = child, variant

    def forward(self, images: Tensor) -> Reconstruction:
        features, trail = images, []
        layer: Any
        for layer in self.child.encoder:
            before = layer.convolution(features)
            indices = None
            if isinstance(layer.pooling, nn.MaxPool2d) and self.variant.unpooling == "indices":
                k = layer.pooling_kernel
                pooled, indices = F.max_pool2d_with_indices(before, k, stride=k, ceil_mode=True)
            else:
                pooled = layer.pooling(before)
            features = layer.activation(layer.normalization(pooled))
            trail.append((indices, before.shape[-2:]))
        code = features.flatten(1)
        last = len(trail) - 1
        for i, (layer, (indices, size)) in enumerate(zip(self.child.decoder, reversed(trail), strict=True)):
            if self.variant.unpool_first:
                features = layer.deconvolution(self._unpool(features, indices, size))
            else:
                features = self._unpool(layer.deconvolution(features), None, size)
            if i < last or self.variant.last_norm:
                features = layer.normalization(features)
            if i < last or self.variant.last_activation:
                features = layer.activation(features)
        return Reconstruction(features, code)

    def _unpool(self, features: Tensor, indices: Tensor | None, size: tuple[int, int]) -> Tensor:
        if indices is not None:  # max_unpool2d wants a stride that reaches the size: scatter does the same for any
            flat = features.new_zeros(*features.shape[:2], size[0] * size[1])
            return flat.scatter(2, indices.flatten(2), features.flatten(2)).view(*features.shape[:2], *size)
        if self.variant.unpooling == "bilinear":
            return F.interpolate(features, size=size, mode="bilinear", align_corners=False)
        return F.interpolate(features, size=size, mode="nearest")


def read_idx(path: Path) -> Tensor:
    data = np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=16).reshape(-1, 1, SIDE, SIDE)
    return torch.from_numpy(data.astype(np.float32) / 255)


def digits() -> Tensor:
    from sklearn.datasets import load_digits

    images = torch.from_numpy(load_digits().images.astype(np.float32) / 16)[:, None]
    return F.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)


def patches(n: int) -> Tensor:
    from skimage import color, data

    photos = [data.camera() / 255.0, *map(color.rgb2gray, (data.astronaut(), data.coffee(), data.chelsea()))]
    rng = np.random.default_rng(0)
    cut = []
    for i in range(n):
        photo = photos[i % len(photos)]
        y, x = (rng.integers(0, side - SIDE) for side in photo.shape)
        cut.append(photo[y : y + SIDE, x : x + SIDE])
    return torch.from_numpy(np.stack(cut).astype(np.float32))[:, None]


def n_values(child: AutoencoderSpace) -> int:
    """Numbers that the convolutions and the unpoolings write for one image: wide layers cost time beyond their macs."""
    side, total = SIDE, 0
    layer: Any
    for layer in child.encoder:
        total += side**2 * (layer.convolution.out_channels + layer.convolution.in_channels)
        side = -(-side // layer.pooling_kernel)
    return total


def candidates(n: int, max_macs: int, max_values: int, seed: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    space = AutoencoderSpace(3)
    choices = {label: list(choice.values) for label, choice in space.simplify().items()}
    found: list[dict[str, Any]] = []
    while len(found) < n:
        sample = {label: values[rng.integers(len(values))] for label, values in choices.items()}
        with torch.device("meta"):
            child = space.freeze(sample)
        if count_macs(child, 1, SIDE, SIDE) <= max_macs and n_values(child) <= max_values:
            found.append(sample)
    return found


def auroc(normal: Tensor, abnormal: Tensor) -> float:
    from sklearn.metrics import roc_auc_score

    labels = np.r_[np.zeros(len(normal)), np.ones(len(abnormal))]
    return float(roc_auc_score(labels, torch.cat([normal, abnormal]).numpy()))


def trial(sample: dict[str, Any], variant: Variant, seed: int, data: dict[str, Tensor], epochs: int) -> dict[str, Any]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = VariantAutoencoder(AutoencoderSpace(3).freeze(sample), variant)
    detector = Detector(model, HYPOTHESES.load("reconstruction")(), LOSSES.load(model.child.distance_name)())
    result: dict[str, Any] = {"variant": asdict(variant), "seed": seed}
    started = time.perf_counter()
    try:
        settings = TrainingSettings(epochs=epochs, learning_rate=variant.learning_rate)
        fit(detector, data["train"], settings=settings, seed=seed, on_epoch=lambda _, loss: result.update(loss=loss))
        scores = {name: score_images(detector, data[name]) for name in ("normal", "digits", "photos")}
    except RejectedTrial as rejected:
        return {**result, "failure": rejected.verdict.value, "digits": 0.5, "photos": 0.5}
    result["seconds"] = time.perf_counter() - started
    with torch.inference_mode():
        images, _ = model(data["normal"][:256])
    if float(images.std(0).max()) < 1e-3:
        result["failure"] = "ignores_input"
    for name in ("digits", "photos"):
        result[name] = auroc(scores["normal"], scores[name])
    return result


STUDIES: dict[str, list[Variant]] = {
    "learning_rate": [
        Variant(learning_rate=rate, last_norm=kept, last_activation=kept)
        for rate in (0.1, 0.01, 0.003, 0.001)
        for kept in (True, False)
    ],
    "decoder": [
        Variant(),
        Variant(last_norm=False, last_activation=False),
        Variant(last_norm=False),
        Variant(last_activation=False),
        Variant(unpooling="bilinear"),
        Variant(unpool_first=True),
        Variant(unpooling="bilinear", unpool_first=True),
        Variant(unpooling="indices", unpool_first=True),
    ],
}


def describe(variant: dict[str, Any]) -> str:
    kept = [name for name, key in (("norm", "last_norm"), ("activation", "last_activation")) if variant[key]]
    order = "before" if variant["unpool_first"] else "after"
    return (
        f"rate {variant['learning_rate']:g}; last layer {' + '.join(kept) or 'bare'}; "
        f"{variant['unpooling']} {order} deconvolution"
    )


def table(results: Iterable[dict[str, Any]]) -> str:
    groups: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        groups.setdefault(describe(result["variant"]), []).append(result)
    lines = [
        "| variant | runs | digits: median | mean | best | photos: median | mean | best | non-finite | ignores input |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    statistics: tuple[Callable[..., Any], ...] = (np.median, np.mean, np.max)
    for name, runs in groups.items():
        columns = [[run[key] for run in runs] for key in ("digits", "photos")]
        figures = [f"{statistic(column):.3f}" for column in columns for statistic in statistics]
        failures = [str(sum(r.get("failure") == kind for r in runs)) for kind in ("non_finite", "ignores_input")]
        lines.append("| " + " | ".join([name, str(len(runs)), *figures, *failures]) + " |")
    return "\n".join(lines)


DATA: dict[str, Tensor] = {}


def start_worker(folder: Path, n_train: int) -> None:
    torch.set_num_threads(1)
    DATA["train"] = read_idx(folder / "train-images-idx3-ubyte.gz")[:n_train]
    DATA["normal"] = read_idx(folder / "t10k-images-idx3-ubyte.gz")[:1500]
    DATA["digits"] = digits()
    DATA["photos"] = patches(1500)


def run(job: tuple[dict[str, Any], Variant, int, int]) -> dict[str, Any]:
    sample, variant, seed, epochs = job
    return trial(sample, variant, seed, DATA, epochs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--study", choices=sorted(STUDIES), required=True)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--candidate-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--train", type=int, default=4096)
    parser.add_argument("--max-macs", type=int, default=10_000_000)
    parser.add_argument("--max-values", type=int, default=60_000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--output", type=Path, help="write every run's figures here, one JSON object per line")
    options = parser.parse_args()
    variants = STUDIES[options.study]
    samples = candidates(options.candidates, options.max_macs, options.max_values, options.candidate_seed)
    jobs = [(s, v, seed, options.epochs) for seed in options.seeds for s in samples for v in variants]
    results = []
    with get_context("spawn").Pool(options.jobs, start_worker, (options.folder, options.train)) as pool:
        for result in pool.imap(run, jobs):
            results.append(result)
            if options.output:
                with options.output.open("a") as lines:
                    lines.write(json.dumps(result) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
