"""The classifier whose outputs MSP and ODIN read."""

from __future__ import annotations

import hashlib
import time
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.competitors.base import shuffled
from autoad_nni.data import Task
from autoad_nni.errors import AutoADError

__all__ = ["TrainedClassifier", "accuracy", "check_classes", "share_classifier", "train_classifier"]

_BATCH, _LEARNING_RATE, _WEIGHT_DECAY = 128, 0.05, 5e-4


class _Block(nn.Module):
    """Two convolutions with a shortcut around them (He et al. 2016), halving the side if ``stride`` is 2."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        self.shortcut = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, images: Tensor) -> Tensor:
        return F.relu(self.residual(images) + self.shortcut(images))


def _network(channels: int, n_classes: int) -> nn.Sequential:
    """A residual network of seven convolutions and 0.2 million weights: minutes on one core, not hours."""
    return nn.Sequential(
        nn.Conv2d(channels, 32, 3, 1, 1, bias=False), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2),
        _Block(32, 32, 1), _Block(32, 64, 2), _Block(64, 64, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, n_classes),
    )  # fmt: skip


def check_classes(task: Task, methods: str = "MSP and ODIN") -> tuple[Tensor, Tensor]:
    """Return the classes that there are, ascending, and which of them each training image has, as an index.

    Args:
        task: The images.
        methods: Who learns to tell them apart; for the message.

    Raises:
        AutoADError: They have none, or all are of one.
    """
    if task.train_classes is None:
        raise AutoADError(
            f"{task.name}: the normal images have no classes. Expected several, such as those of fashion_mnist, for "
            f"{methods} to tell apart. Leave these methods out."
        )
    known, classes = torch.unique(task.train_classes, return_inverse=True)
    if len(known) < 2:
        raise AutoADError(
            f"{task.name}: the normal images are all of one class. Expected two or more for {methods} to tell apart. "
            "Leave these methods out."
        )
    return known, classes


class TrainedClassifier(NamedTuple):
    """A classifier that several methods read.

    Attributes:
        network: Images to logits; frozen.
        seconds: Processor seconds of its training.
        shared: Whether an earlier call trained it.
    """

    network: nn.Sequential
    seconds: float
    shared: bool


_LAST: Final[dict[str, TrainedClassifier]] = {}


def share_classifier(images: Tensor, classes: Tensor, *, epochs: int, seed: int) -> TrainedClassifier:
    """Train a classifier, or return the last one that was trained in this process if it would be the same.

    Arguments are those of `train_classifier`. What would change the weights is compared: the content of images and
    classes, epochs, seed, and torch's number of threads, which changes the order of sums.
    """
    digest = hashlib.sha256(repr((images.shape, epochs, seed, torch.get_num_threads())).encode())
    for part in (images, classes):
        digest.update(part.contiguous().numpy().data)
    key = digest.hexdigest()
    if key in _LAST:
        return _LAST[key]._replace(shared=True)
    began = time.process_time()
    network = train_classifier(images, classes, epochs=epochs, seed=seed)
    _LAST.clear()
    _LAST[key] = TrainedClassifier(network, time.process_time() - began, shared=False)
    return _LAST[key]


def train_classifier(images: Tensor, classes: Tensor, *, epochs: int, seed: int) -> nn.Sequential:
    """Train a small residual network with stochastic gradient descent, its rate falling along a cosine.

    Args:
        images: In [0, 1]; they are standardized by the network itself.
        classes: From 0.
        epochs: Passes over the images.
        seed: Of the weights and of the order.

    Shape:
        images ``(n, channels, height, width)``, classes ``(n,)`` int64; the network gives ``(n, n_classes)`` logits.

    Differs from / not given by the paper: it does not name the classifier; Liang et al. train DenseNet-BC-100-12 and
    WRN-28-10 for 200 to 300 epochs, here hours of a core for a pass. `accuracy` is to be reported beside the figures.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        body = _network(images.shape[1], int(classes.max()) + 1)
    mean, std = images.mean((0, 2, 3), keepdim=True), images.std((0, 2, 3), keepdim=True).clamp(min=1e-6)
    network = nn.Sequential(_Standardized(mean, std), *body)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(
        network.parameters(), _LEARNING_RATE, momentum=0.9, weight_decay=_WEIGHT_DECAY, nesterov=True
    )
    n_steps = epochs * len(list(shuffled(len(images), _BATCH, torch.Generator())))
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(n_steps, 1))
    network.train()
    for _ in range(epochs):
        for batch in shuffled(len(images), _BATCH, generator):
            optimizer.zero_grad()
            torch.autograd.backward(F.cross_entropy(network(images[batch]), classes[batch]))
            optimizer.step()
            schedule.step()
    return network.eval().requires_grad_(False)


@torch.no_grad()
def accuracy(network: nn.Module, images: Tensor, classes: Tensor) -> float:
    """Return the share of images whose class is the network's first choice."""
    hits = [
        network(part).argmax(1) == right
        for part, right in zip(torch.split(images, 512), torch.split(classes, 512), strict=True)
    ]
    return float(torch.cat(hits).float().mean())


class _Standardized(nn.Module):
    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean) / self.std
