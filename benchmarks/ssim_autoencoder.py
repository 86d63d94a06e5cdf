"""The SSIM autoencoder (Bergmann et al. 2018), trained for as long as a search took, on the search's own images.

    python benchmarks/ssim_autoencoder.py RUN

RUN is the folder of a finished `autoad-nni search` on images with masks. Latent size 100, Adam 2e-4, weight decay 1e-5,
batches of 32 (not 128: a training set of 100 images), images resized to the 128 pixels that the network is made for. It
gets the seconds that the search's trials took together, on one thread and counted in processor time; the trials had
less when the machine was busy. Its maps are smoothed or not, and negated or not, whatever is better on validation;
then both models are scored on the test images.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.data import LabelledImages, load_task
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import aupro, pixel_auroc
from autoad_nni.models.distances.ssim import SsimDistance
from autoad_nni.models.smoothing import smooth
from autoad_nni.runs.records import BestRecord, read_history

SIDE, LATENT = 128, 100


def network(channels: int) -> nn.Sequential:
    """Table 1 of Bergmann et al. 2018, and its mirror image; no activation on the code, none at the end."""
    encoder = [(channels, 32, 4, 2, 1), (32, 32, 4, 2, 1), (32, 32, 4, 2, 1), (32, 32, 3, 1, 1), (32, 64, 4, 2, 1)]
    encoder += [(64, 64, 3, 1, 1), (64, 128, 4, 2, 1), (128, 64, 3, 1, 1), (64, 32, 3, 1, 1), (32, LATENT, 4, 1, 0)]
    layers: list[nn.Module] = []
    for i, (wide, narrow, kernel, stride, padding) in enumerate(encoder):
        layers += [nn.Conv2d(wide, narrow, kernel, stride, padding), *([nn.LeakyReLU(0.2)] if i < 9 else [])]
    for i, (wide, narrow, kernel, stride, padding) in enumerate(reversed(encoder)):
        layers += [nn.ConvTranspose2d(narrow, wide, kernel, stride, padding), *([nn.LeakyReLU(0.2)] if i < 9 else [])]
    return nn.Sequential(*layers)


def train(images: Tensor, seconds: float) -> tuple[nn.Sequential, int, float]:
    """Returns the network, how many epochs the time was enough for, and the last epoch's mean loss."""
    torch.manual_seed(0)
    model, distance = network(images.shape[1]), SsimDistance()
    optimizer = torch.optim.Adam(model.parameters(), 2e-4, weight_decay=1e-5)
    end, epochs, mean = time.process_time() + seconds, 0, 0.0
    while time.process_time() < end:
        losses = []
        for batch in torch.randperm(len(images)).split(32):
            loss = distance(model(images[batch]), images[batch]).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        epochs, mean = epochs + 1, sum(losses) / len(losses)
    return model.eval(), epochs, mean


@torch.no_grad()
def maps(model: nn.Sequential, images: Tensor) -> Tensor:
    small = resized(images)
    made = torch.cat([SsimDistance().map(model(part), part) for part in small.split(32)])
    return F.interpolate(made, images.shape[-2:], mode="bilinear")


def resized(images: Tensor) -> Tensor:
    return images if images.shape[-2:] == (SIDE, SIDE) else F.interpolate(images, (SIDE, SIDE), mode="bilinear")


def figures(images: LabelledImages, values: Tensor) -> dict[str, float]:
    masks, scores = images.masks.numpy(), values[:, 0].numpy()
    return {
        "pixel_auroc": pixel_auroc(masks, scores),
        "aupro": aupro(masks, scores),
        "image_auroc": auroc(images.labels.numpy(), scores.max((1, 2))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, help="Processor time, instead of the seconds of all trials.")
    arguments = parser.parse_args()
    run = arguments.run
    best, history = BestRecord.read(run), read_history(run)
    if best.test is None:
        raise SystemExit(f"{run} has no test figures: {best.test_detail or 'its search has not ended'}")
    seconds = arguments.seconds or sum(record.seconds for record in history)
    torch.set_num_threads(1)
    task = load_task(best.request.task)
    model, epochs, loss = train(resized(task.train), seconds)
    variants = [(sign, deviation) for sign in (1, -1) for deviation in (0.0, SIDE / 56)]
    on_validation = maps(model, task.validation.images)
    sign, deviation = max(variants, key=lambda v: figures(task.validation, smooth(v[0] * on_validation, v[1]))["aupro"])
    baseline = figures(task.test, smooth(sign * maps(model, task.test.images), deviation))
    print(
        f"{task.name}: {len(history)} trials; SSIM autoencoder {seconds:.0f} s, {epochs} epochs, loss {loss:.3f}, ",
        end="",
    )
    print(f"maps {'negated, ' if sign < 0 else ''}smoothed by {deviation:.1f} pixels")
    for name, value in baseline.items():
        print(f"  test {name}: search {best.test[name]:.4f}, SSIM autoencoder {value:.4f}")


if __name__ == "__main__":
    main()
