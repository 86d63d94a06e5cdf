"""Trains a detector on normal images."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector, Terms
from autoad_nni.models.stopwatch import Stopwatch
from autoad_nni.options import option
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["TrainingSettings", "fit"]

# Reading a loss waits for the device, so it is not read at each step: a diverged run takes this many steps more.
_FINITE_CHECK_EVERY = 50
# Enough for the statistics of a hypothesis between epochs; the final ones are those of all images.
_CODES_WHILE_TRAINING = 4096


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a detector is trained.

    Args:
        epochs: Passes over the training images.
        batch_size: Images per step. A last batch of a single image is left out, which batch normalization cannot use.
        learning_rate: Adam's, divided by 10 at 50 % and at 75 % of the steps.
        beta1: Adam's decay of the mean gradient; what the paper calls momentum.
        beta2: Adam's decay of the mean squared gradient.

    Raises:
        AutoADError: A value is out of range.

    Differs from the paper, whose learning rate of 0.1 ruins many models with Adam (figures in
    docs/decisions/child-model.md); :meth:`paper` has it. Not given by the paper: beta2, here Adam's usual 0.999, and
    the number of epochs.

    Reference:
        Li et al., TNNLS 2022, Section V-C.

    Example:
        >>> TrainingSettings.paper(epochs=3).learning_rate
        0.1
    """

    epochs: int = option(5, help="Passes over the training images.")
    batch_size: int = 64
    learning_rate: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise AutoADError(f"[[epochs]] is {self.epochs}. Expected 1 or more. Give for instance [[epochs=5]].")
        if self.batch_size < 1:
            raise AutoADError(f"batch_size is {self.batch_size}. Expected 1 or more. Give for instance batch_size=64.")
        if not 0 < self.learning_rate < math.inf:
            raise AutoADError(
                f"learning_rate is {self.learning_rate}. Expected a positive number. Give learning_rate=0.01."
            )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise AutoADError(f"{name} is {getattr(self, name)}. Expected 0 <= {name} < 1. Give {name}=0.9.")

    @classmethod
    def paper(cls, epochs: int) -> TrainingSettings:
        """Return the paper's constants: batch size 64, learning rate 0.1, beta1 0.9."""
        return cls(epochs=epochs, batch_size=64, learning_rate=0.1, beta1=0.9)


def fit(
    detector: Detector,
    images: Tensor,
    *,
    settings: TrainingSettings,
    seed: int,
    calibrate: bool = False,
    max_seconds: float | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
) -> None:
    """Train a detector on normal images; afterwards it is in evaluation mode.

    The order of the images is drawn for each epoch from ``seed`` alone; the global random state is neither read nor
    changed. A hypothesis that needs codes is fitted to those of at most 4,096 images, spread evenly, before the first
    epoch and between epochs, and to those of all images after the last one; then both terms of the score are
    calibrated (:meth:`autoad_nni.models.detector.Detector.calibrate`).

    Args:
        detector: Trained in place, on the device of its parameters, from the weights it has.
        images: Normal images. They are moved to the detector's device at once if they take less than half of its free
            memory, otherwise batch by batch.
        settings: Epochs, batch size, learning rate.
        seed: Of the order of the images.
        calibrate: Calibrate also with a hypothesis that needs no codes, whose score otherwise stays the distance as it
            is.
        max_seconds: Training is stopped when it takes longer, or after a tenth of that time if, at its pace since the
            first step, it would take more than twice that time.
        on_epoch: Called after each epoch with its number, from 1, and its mean training loss.

    Shape:
        - images: ``(n, channels, height, width)``, float32 in [0, 1]

    Raises:
        RejectedTrial: ``OVER_TIME``, or ``NON_FINITE`` for a training loss, a distance or a code that is infinite or
            undefined.
        AutoADError: There are no images.
    """
    if len(images) == 0:
        raise AutoADError("The training set has 0 images. Expected at least 1. Give more normal images.")
    watch = Stopwatch(max_seconds)
    device = _device(detector)
    images = _move_if_it_fits(images, device)
    optimizer = _Adam(detector, settings)
    generator = torch.Generator().manual_seed(seed)
    starts = _batch_starts(len(images), settings.batch_size)
    n_steps = settings.epochs * len(starts)
    _fit_first(detector, images, settings.batch_size, watch)
    step = 0
    for epoch in range(1, settings.epochs + 1):
        detector.train()
        detector.hypothesis.begin_epoch((epoch - 1) / settings.epochs)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        total = torch.zeros((), device=device)
        for start in starts:
            batch = images[order[start : start + settings.batch_size]].to(device)
            loss = detector.loss(batch)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(settings.learning_rate * _decay(step, n_steps))
            total += loss.detach()
            step += 1
            if step % _FINITE_CHECK_EVERY == 0:
                _mean(total, 1)
            watch.check(step, n_steps)
        mean_loss = _mean(total, len(starts))
        detector.eval()
        if epoch < settings.epochs:
            _fit_between(detector, images, settings.batch_size, watch)
        else:
            _fit_last(detector, images, settings.batch_size, calibrate, watch)
        if on_epoch is not None:
            on_epoch(epoch, mean_loss)
    detector.eval()


class _Adam:
    """Adam in torch's functional form, fused.

    ``torch.optim.Adam`` computes the same, but imports torch._dynamo when it is created, which takes 1.2 to 2.5 s at
    the start of every trial process. On a CPU, the fused form takes a fifth of the time of the default one.
    """

    def __init__(self, module: nn.Module, settings: TrainingSettings) -> None:
        self._parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self._means = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._squares = [torch.zeros_like(parameter) for parameter in self._parameters]
        self._steps = [torch.zeros((), device=parameter.device) for parameter in self._parameters]
        self._settings = settings

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """Move the parameters against their gradients, then clear the gradients."""
        moved = [i for i, parameter in enumerate(self._parameters) if parameter.grad is not None]
        adam(
            [self._parameters[i] for i in moved],
            [gradient for i in moved if (gradient := self._parameters[i].grad) is not None],
            [self._means[i] for i in moved],
            [self._squares[i] for i in moved],
            [],
            [self._steps[i] for i in moved],
            fused=True,
            amsgrad=False,
            beta1=self._settings.beta1,
            beta2=self._settings.beta2,
            lr=learning_rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )
        for parameter in self._parameters:
            parameter.grad = None


def _device(detector: Detector) -> torch.device:
    return next((parameter.device for parameter in detector.parameters()), torch.device("cpu"))


def _move_if_it_fits(images: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda" and images.device != device:
        free, _ = torch.cuda.mem_get_info(device)
        return images.to(device) if images.nbytes < free // 2 else images
    return images


def _batch_starts(n_images: int, batch_size: int) -> list[int]:
    """Where batches begin; none has a single image, unless there is only one or ``batch_size`` is 1."""
    starts = list(range(0, n_images, batch_size))
    return starts[:-1] if len(starts) > 1 and n_images - starts[-1] == 1 < batch_size else starts


def _decay(step: int, n_steps: int) -> float:
    """1; 0.1 from half of the steps on; 0.01 from three quarters on."""
    return 0.1 ** ((2 * step >= n_steps) + (4 * step >= 3 * n_steps))


def _mean(total: Tensor, count: int) -> float:
    mean = total.item() / count
    if not math.isfinite(mean):
        raise RejectedTrial(Verdict.NON_FINITE, f"The training loss became {mean}.")
    return mean


def _fit_first(detector: Detector, images: Tensor, batch_size: int, watch: Stopwatch) -> None:
    """Fit the hypothesis for the first time, to a part of the images.

    In training mode, like the batches that follow: there, batch normalization scales codes by their batch; in
    evaluation mode it would not scale them before the first step. Its running statistics settle meanwhile.
    """
    if detector.hypothesis.needs_codes:
        detector.train()
        detector.hypothesis.fit(_terms(detector, _part(images), batch_size, watch)[1])


def _fit_between(detector: Detector, images: Tensor, batch_size: int, watch: Stopwatch) -> None:
    """Fit the hypothesis to a part of the images, between two epochs."""
    if detector.hypothesis.needs_codes:
        detector.hypothesis.fit(_terms(detector, _part(images), batch_size, watch)[1])


def _fit_last(detector: Detector, images: Tensor, batch_size: int, calibrate: bool, watch: Stopwatch) -> None:
    """Fit the hypothesis to all images, and calibrate the detector."""
    if detector.hypothesis.needs_codes or calibrate:
        distances, codes = _terms(detector, images, batch_size, watch)
        detector.hypothesis.fit(codes)
        detector.calibrate(distances, codes)


def _part(images: Tensor) -> Tensor:
    """At most `_CODES_WHILE_TRAINING` images, spread evenly over all."""
    return images[:: -(-len(images) // _CODES_WHILE_TRAINING)]


@torch.no_grad()
def _terms(detector: Detector, images: Tensor, batch_size: int, watch: Stopwatch) -> tuple[Tensor, Tensor]:
    """Distances and codes of images, batch by batch; RejectedTrial NON_FINITE if one is not finite."""
    device = _device(detector)
    starts = _batch_starts(len(images), batch_size) if detector.training else range(0, len(images), batch_size)
    parts = []
    for start in starts:
        terms: Terms = detector(images[start : start + batch_size].to(device))
        parts.append((terms.distance, terms.code))
        watch.check_limit(f", codes of {start} of {len(images)} training images computed")
    distances, codes = (torch.cat(part) for part in zip(*parts, strict=True))
    if not (torch.isfinite(distances).all() and torch.isfinite(codes).all()):
        raise RejectedTrial(Verdict.NON_FINITE, "A code or a distance of a training image is infinite or undefined.")
    return distances, codes
