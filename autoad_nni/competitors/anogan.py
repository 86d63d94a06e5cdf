"""AnoGAN, and the encoder of f-AnoGAN."""

from __future__ import annotations

from typing import Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.competitors.base import Competitor, shuffled
from autoad_nni.data import Task
from autoad_nni.models.scoring import Prediction

__all__ = ["AnoGan"]

SIDE: Final = 64
_LATENT, _WIDTH, _BATCH = 100, 32, 64
_FEATURE_WEIGHT: Final = 0.1
"""lambda of Schlegl et al. 2017, Eq. 5."""


class AnoGan(Competitor):
    r"""How far an image is from the nearest one that a generator makes, in pixels and in the discriminator's features.

    .. math:: A(x) = (1 - \lambda) \sum |x - G(z)| + \lambda \sum |f(x) - f(G(z))|

    with z found by gradient descent on the same sum (both divided by their number of terms); the map is |x - G(z)|.

    Args:
        epochs: Passes over the training images.
        search_steps: Steps of Adam for z, for each batch of images.
        encoder: Let a network, trained when the generator is, say what z is, instead of the search: f-AnoGAN's
            izi_f. Scoring takes one pass.
        seed: Of weights, order and latent vectors.

    Differs from / not given by the paper: the networks are those of DCGAN at half the width, on images resized to
    64 x 64 in [-1, 1]. Both sums are means here, so that lambda does not depend on the size. f-AnoGAN trains a
    Wasserstein GAN; here both share one generator.

    Reference: Schlegl et al., Unsupervised anomaly detection with generative adversarial networks to guide marker
    discovery, IPMI 2017, Eq. 2 to 5; Schlegl et al., f-AnoGAN, Medical Image Analysis 54, 2019; Radford, Metz and
    Chintala, DCGAN, 2016.

    Example:
        >>> from autoad_nni.data import TaskOptions, load_task
        >>> task = load_task(TaskOptions(data="digits", abnormal=("uniform",), limit=100))
        >>> method = AnoGan(epochs=1, search_steps=2).fit(task)
        >>> method.predict(task.test.images[:2]).anomaly_map.shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(self, *, epochs: int = 50, search_steps: int = 500, encoder: bool = False, seed: int = 0) -> None:
        self.epochs, self.search_steps, self.seed = epochs, search_steps, seed
        self.with_encoder = encoder
        self.generator: nn.Module = nn.Identity()
        self.discriminator: nn.Sequential = nn.Sequential()
        self.encoder: nn.Module | None = None

    def fit(self, task: Task) -> Self:
        """Train generator and discriminator, then the encoder if there is to be one."""
        images, channels = _prepared(task.train), task.channels
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            self.generator, self.discriminator = _generator(channels), _discriminator(channels)
            self.encoder = _encoder(channels) if self.with_encoder else None
        random = torch.Generator().manual_seed(self.seed)
        self._train_gan(images, random)
        for network in (self.generator, self.discriminator):
            network.eval().requires_grad_(False)
        if self.encoder is not None:
            self._train_encoder(self.encoder, images, random)
        return self

    def predict(self, images: Tensor) -> Prediction:
        """Find the nearest generated images, and score the differences."""
        parts = [self._predict(part) for part in torch.split(images, _BATCH)]
        return Prediction(torch.cat([part.score for part in parts]), torch.cat([part.anomaly_map for part in parts]))

    def _predict(self, images: Tensor) -> Prediction:
        wanted = _prepared(images)
        if self.encoder is None:
            latent = self._search(wanted)
        else:
            with torch.no_grad():
                latent = self.encoder(wanted)
        with torch.no_grad():
            made = self.generator(latent)
            difference = (wanted - made).abs().mean(1, keepdim=True) / 2
            enlarged = F.interpolate(difference, images.shape[2:], mode="bilinear", align_corners=False)
            return Prediction(self._loss(wanted, made), enlarged)

    def _search(self, wanted: Tensor) -> Tensor:
        random = torch.Generator().manual_seed(self.seed)  # so that an image's score does not depend on calls before
        latent = torch.randn(len(wanted), _LATENT, 1, 1, generator=random).requires_grad_()
        optimizer = torch.optim.Adam([latent], 1e-2)
        for _ in range(self.search_steps):
            optimizer.zero_grad()
            with torch.enable_grad():
                torch.autograd.backward(self._loss(wanted, self.generator(latent)).sum())
            optimizer.step()
        return latent.detach()

    def _loss(self, wanted: Tensor, made: Tensor) -> Tensor:
        """Eq. 5 for each image, ``(n,)``."""
        features = (self._features(wanted) - self._features(made)).abs().flatten(1).mean(1)
        return (1 - _FEATURE_WEIGHT) * (wanted - made).abs().flatten(1).mean(1) + _FEATURE_WEIGHT * features

    def _features(self, images: Tensor) -> Tensor:
        result: Tensor = self.discriminator[:-1](images)
        return result

    def _train_gan(self, images: Tensor, random: torch.Generator) -> None:
        makes, tells = (
            torch.optim.Adam(network.parameters(), 2e-4, betas=(0.5, 0.999))
            for network in (self.generator, self.discriminator)
        )
        for _ in range(self.epochs):
            for batch in shuffled(len(images), _BATCH, random):
                made = self.generator(torch.randn(len(batch), _LATENT, 1, 1, generator=random))
                real, fake = self.discriminator(images[batch]), self.discriminator(made.detach())
                tells.zero_grad()
                torch.autograd.backward((F.softplus(-real) + F.softplus(fake)).mean())
                tells.step()
                makes.zero_grad()
                torch.autograd.backward(F.softplus(-self.discriminator(made)).mean())
                makes.step()

    def _train_encoder(self, encoder: nn.Module, images: Tensor, random: torch.Generator) -> None:
        """Images to latent vectors whose generated images are like them, in pixels and features (izi_f)."""
        optimizer = torch.optim.Adam(encoder.parameters(), 2e-4, betas=(0.5, 0.999))
        for _ in range(self.epochs):
            for batch in shuffled(len(images), _BATCH, random):
                wanted = images[batch]
                made = self.generator(encoder(wanted))
                features = (self._features(wanted) - self._features(made)).square().mean()
                optimizer.zero_grad()
                torch.autograd.backward((wanted - made).square().mean() + features)
                optimizer.step()
        encoder.eval().requires_grad_(False)


def _prepared(images: Tensor) -> Tensor:
    small = images
    if images.shape[2:] != (SIDE, SIDE):
        small = F.interpolate(images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True)
    return small * 2 - 1


def _generator(channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    inputs, geometry = _LATENT, (4, 1, 0)
    for outputs in (8 * _WIDTH, 4 * _WIDTH, 2 * _WIDTH, _WIDTH):
        layers += [nn.ConvTranspose2d(inputs, outputs, *geometry, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs, geometry = outputs, (4, 2, 1)
    return _initialized(nn.Sequential(*layers, nn.ConvTranspose2d(inputs, channels, *geometry), nn.Tanh()))


def _discriminator(channels: int) -> nn.Sequential:
    """Its last layer gives a logit; what comes before it are the features f."""
    return _initialized(nn.Sequential(*_halving(channels), nn.Conv2d(8 * _WIDTH, 1, 4, 1, 0)))


def _encoder(channels: int) -> nn.Sequential:
    """As the discriminator, to a latent vector bounded by what a normal distribution gives."""
    return _initialized(nn.Sequential(*_halving(channels), nn.Conv2d(8 * _WIDTH, _LATENT, 4, 1, 0), _Bounded()))


class _Bounded(nn.Module):
    def forward(self, latent: Tensor) -> Tensor:
        return 3 * torch.tanh(latent / 3)


def _halving(channels: int) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Conv2d(channels, _WIDTH, 4, 2, 1), nn.LeakyReLU(0.2)]
    for inputs in (_WIDTH, 2 * _WIDTH, 4 * _WIDTH):
        layers += [
            nn.Conv2d(inputs, 2 * inputs, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * inputs), nn.LeakyReLU(0.2),
        ]  # fmt: skip
    return layers


def _initialized(network: nn.Sequential) -> nn.Sequential:
    """Weights as DCGAN has them."""
    for layer in network:
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, 0.02)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, 0.02)
    return network
