"""Bergmann et al.'s autoencoder."""

from __future__ import annotations

import time
from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.competitors.base import Competitor, shuffled
from autoad_nni.data import LabelledImages, Task
from autoad_nni.metrics.image import auroc
from autoad_nni.metrics.pixel import aupro
from autoad_nni.models.distances.ssim import SsimDistance
from autoad_nni.models.scoring import Prediction
from autoad_nni.models.smoothing import smooth

__all__ = ["SsimAutoencoder"]

SIDE: Final = 128
# Table 1 of the paper: channels, kernel, stride, padding; then comes the code.
_ENCODER: Final = (
    (32, 4, 2, 1), (32, 4, 2, 1), (32, 3, 1, 1), (64, 4, 2, 1), (64, 3, 1, 1), (128, 4, 2, 1), (64, 3, 1, 1),
    (32, 3, 1, 1),
)  # fmt: skip


class SsimAutoencoder(Competitor):
    """A convolutional autoencoder trained with SSIM; the dissimilarity of image and reconstruction is its map.

    Maps are smoothed or not, and negated or not, whatever is better on validation (AUPRO with masks, AUROC of images
    without); an image's score is its map's highest value.

    Args:
        epochs: Passes over the training images; with ``seconds`` as many as fit.
        seconds: Processor time of the training, instead of ``epochs``.
        latent: Numbers of the code; 100 for textures, 500 for objects.
        batch_size: Images of a step.
        seed: Of the weights and of the order.

    Differs from / not given by the paper: images are resized to 128 x 128, what the network is made for, not cut into
    windows of that size; 32 images a batch, not 128, as a folder often has a hundred; smoothing and sign are chosen.

    Reference: Bergmann et al., Improving unsupervised defect segmentation by applying structural similarity to
    autoencoders, 2018, Table 1 and Section 4.
    """

    def __init__(
        self, *, epochs: int = 200, seconds: float | None = None, latent: int = 100, batch_size: int = 32, seed: int = 0
    ) -> None:
        self.epochs, self.seconds = epochs, seconds
        self.latent, self.batch_size, self.seed = latent, batch_size, seed
        self.network: nn.Module = nn.Identity()
        self.trained_epochs, self.loss = 0, float("nan")
        self.sign, self.smoothing = 1, 0.0

    def fit(self, task: Task) -> Self:
        """Train, then choose sign and smoothing."""
        self._train(_resized(task.train))
        maps = self._maps(task.validation.images)
        variants = [(sign, deviation) for sign in (1, -1) for deviation in (0.0, SIDE / 56)]
        self.sign, self.smoothing = max(
            variants, key=lambda variant: _figure(task.validation, smooth(variant[0] * maps, variant[1]))
        )
        return self

    def predict(self, images: Tensor) -> Prediction:
        """Score images."""
        maps = smooth(self.sign * self._maps(images), self.smoothing)
        return Prediction(maps.amax((1, 2, 3)), maps)

    def _train(self, images: Tensor) -> None:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.network = _network(images.shape[1], self.latent)
        generator, distance = torch.Generator().manual_seed(self.seed), SsimDistance()
        optimizer = torch.optim.Adam(self.network.parameters(), 2e-4, weight_decay=1e-5)
        began = time.process_time()
        while self.trained_epochs < self.epochs if self.seconds is None else time.process_time() - began < self.seconds:
            losses = []
            for batch in shuffled(len(images), self.batch_size, generator):
                loss = distance(self.network(images[batch]), images[batch]).mean()
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                optimizer.step()
                losses.append(loss.item())
            self.trained_epochs, self.loss = self.trained_epochs + 1, sum(losses) / len(losses)

    @torch.no_grad()
    def _maps(self, images: Tensor) -> Tensor:
        small = _resized(images)
        made = torch.cat([SsimDistance().map(self.network(part), part) for part in torch.split(small, self.batch_size)])
        return F.interpolate(made, images.shape[-2:], mode="bilinear", align_corners=False)


def _network(channels: int, latent: int) -> nn.Sequential:
    """Table 1, and its mirror image; no activation on the code, none at the end."""
    layers: list[nn.Module] = []
    shapes = [*_ENCODER, (latent, 8, 1, 0)]
    inputs = [channels, *(each[0] for each in _ENCODER)]
    for before, (after, kernel, stride, padding) in zip(inputs, shapes, strict=True):
        layers += [nn.Conv2d(before, after, kernel, stride, padding), nn.LeakyReLU(0.2)]
    layers.pop()
    for before, (after, kernel, stride, padding) in reversed(list(zip(inputs, shapes, strict=True))):
        layers += [nn.ConvTranspose2d(after, before, kernel, stride, padding), nn.LeakyReLU(0.2)]
    layers.pop()
    return nn.Sequential(*layers)


def _resized(images: Tensor) -> Tensor:
    if images.shape[-2:] == (SIDE, SIDE):
        return images
    return F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)


def _figure(held: LabelledImages, maps: Tensor) -> float:
    if held.masks is not None:
        located = held.located().numpy()
        return aupro(held.masks.numpy()[located], maps[:, 0].numpy()[located])
    return auroc(held.labels.numpy(), maps.amax((1, 2, 3)).numpy())
