"""Trains a detector on normal images."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.optim.adam import adam

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector, Inputs, Terms
from autoad_nni.models.locations import chosen_vectors
from autoad_nni.models.stopwatch import Stopwatch
from autoad_nni.options import option
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = ["Schedule", "TrainingSettings", "calibrate", "fit", "fit_statistics", "trains_by_steps"]

# Reading a loss waits for the device, so it is not read at each step: a diverged run takes this many steps more.
_FINITE_CHECK_EVERY = 50
# Enough for the statistics of a hypothesis between rounds; the final ones are those of all images.
_CODES_WHILE_TRAINING = 4096
# An image has hundreds of locations, which are much alike.
_MOST_CODES_OF_LOCATIONS = 20_000
# Images: the vectors of one take megabytes.
_FEATURES_AT_A_TIME = 8

_EPOCHS = 5
_STEPS = 1000
_BATCH = 64
# Smaller batches for sets of fewer than 512 images: a step costs less, and the order still matters in each epoch.
_BATCHES_PER_EPOCH = 8
_SMALLEST_BATCH = 8
# Hypotheses are fitted and the model is evaluated after each: that must not cost more than the training.
_ROUNDS = 10


@dataclass(frozen=True)
class Schedule:
    """What a training amounts to with a number of images.

    Attributes:
        batch_size: Images per step.
        rounds: How many epochs each round has. After a round, the hypothesis is fitted and the model can be evaluated.
    """

    batch_size: int
    rounds: tuple[int, ...]

    @property
    def epochs(self) -> int:
        """Passes over the training images."""
        return sum(self.rounds)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """How a detector is trained.

    Args:
        epochs: The fewest passes over the training images; given without ``steps``, their number. Default 5.
        steps: The fewest steps: training lasts as many epochs as make that many. Default 1,000, or none if ``epochs``
            is given.
        batch_size: Images per step. By default 64; where ``steps`` counts, an eighth of the images if that is less,
            but at least 8. A last batch of a single image is left out, which batch normalization cannot use.
        learning_rate: Adam's, divided by 10 at 50 % and at 75 % of the steps.
        beta1: Adam's decay of the mean gradient; what the paper calls momentum.
        beta2: Adam's decay of the mean squared gradient.

    Raises:
        AutoADError: A value is out of range.

    Differs from the paper, whose learning rate of 0.1 ruins many models with Adam (figures in
    docs/decisions/child-model.md); :meth:`paper` has it. Not given by the paper: beta2, here Adam's usual 0.999, and
    how long training lasts (figures in docs/decisions/child-model.md, too).

    Reference:
        Li et al., TNNLS 2022, Section V-C.

    Example:
        >>> TrainingSettings.paper(epochs=3).learning_rate
        0.1
        >>> TrainingSettings(steps=100).schedule(240)  # 13 epochs of 8 batches
        Schedule(batch_size=30, rounds=(1, 1, 1, 2, 1, 1, 2, 1, 1, 2))
    """

    epochs: int | None = option(
        None, help="Fewest passes over the training images; without --steps, exactly that many. Default: 5."
    )
    steps: int | None = option(None, help="Fewest training steps. Default: 1,000, or none if --epochs is given.")
    batch_size: int | None = None
    learning_rate: float = 3e-3
    beta1: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        for name, advice in (
            ("[[epochs]]", "[[epochs=5]]"),
            ("[[steps]]", "[[steps=1000]]"),
            ("batch_size", "batch_size=64"),
        ):
            value = getattr(self, name.strip("[]"))
            if value is not None and value < 1:
                raise AutoADError(f"{name} is {value}. Expected 1 or more. Give for instance {advice}.")
        if not 0 < self.learning_rate < math.inf:
            raise AutoADError(
                f"learning_rate is {self.learning_rate}. Expected a positive number. Give learning_rate=0.01."
            )
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise AutoADError(f"{name} is {getattr(self, name)}. Expected 0 <= {name} < 1. Give {name}=0.9.")

    @classmethod
    def paper(cls, epochs: int | None = None, steps: int | None = None) -> TrainingSettings:
        """Return the paper's constants: batch size 64, learning rate 0.1, beta1 0.9."""
        return cls(epochs=epochs, steps=steps, batch_size=_BATCH, learning_rate=0.1, beta1=0.9)

    def with_images(self, before: int, now: int) -> TrainingSettings:
        """Return the settings that train about as many steps with another number of images.

        Args:
            before: Training images for which these settings were made.
            now: Training images that there are instead.

        Example:
            >>> TrainingSettings(epochs=8).with_images(300, 400).epochs
            6
        """
        by_steps = self.steps is not None or self.epochs is None
        epochs = max(1, round((self.epochs or _EPOCHS) * before / now))
        return replace(self, epochs=epochs, steps=(self.steps or _STEPS) if by_steps else None)

    def schedule(self, n_images: int) -> Schedule:
        """Return the batch size and the rounds for a number of training images.

        A round is an epoch if there are at most 10 epochs or ``epochs`` asks for that many; otherwise there are 10
        rounds, as even as possible.
        """
        by_steps = self.steps is not None or self.epochs is None
        batch_size = self.batch_size or (_batch_size(n_images) if by_steps else _BATCH)
        epochs = least = self.epochs or _EPOCHS
        if by_steps:
            epochs = max(least, math.ceil((self.steps or _STEPS) / len(_batch_starts(n_images, batch_size))))
        n_rounds = min(epochs, max(least, _ROUNDS))
        ends = [epochs * i // n_rounds for i in range(n_rounds + 1)]
        return Schedule(batch_size, tuple(end - start for start, end in pairwise(ends)))


def fit(
    detector: Detector,
    images: Inputs,
    *,
    settings: TrainingSettings,
    seed: int,
    calibrate: bool = False,
    max_seconds: float | None = None,
    on_epoch: Callable[[int, float], None] | None = None,
    rungs: Sequence[float] = (),
    on_rung: Callable[[int], None] | None = None,
) -> None:
    """Train a detector on normal images; afterwards it is in evaluation mode.

    The order of the images is drawn for each epoch from ``seed`` alone; the global random state is neither read nor
    changed. Epochs form rounds (:meth:`TrainingSettings.schedule`). A hypothesis that needs codes is fitted to those of
    at most 4,096 images, spread evenly, before the first round and between rounds, and to those of all images after the
    last one; then both terms of the score are calibrated (:meth:`autoad_nni.models.detector.Detector.calibrate`).
    For a hypothesis, a round is an epoch: :meth:`autoad_nni.models.hypotheses.base.Hypothesis.begin_epoch`.

    Args:
        detector: Trained in place, on the device of its parameters, from the weights it has.
        images: Normal images, or their features. They are moved to the detector's device at once if they take less than
            half of its free memory, otherwise batch by batch.
        settings: Epochs, steps, batch size, learning rate.
        seed: Of the order of the images.
        calibrate: Calibrate also with a hypothesis that needs no codes, whose score otherwise stays the distance as it
            is.
        max_seconds: Training is stopped when it takes longer, or after a tenth of that time if, at its pace since the
            first step, it would take more than twice that time.
        on_epoch: Called after each round with its number, from 1, and its mean training loss.
        rungs: Shares of the steps after which ``on_rung`` is called, ascending, each in (0, 1).
        on_rung: Called with the index of the rung. The detector is in training mode, and must be left as it is.

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
    device = detector.device
    images = _move_if_it_fits(images, device)
    if not trains_by_steps(detector):
        return _fit_untrained(detector, images, settings, watch, on_epoch)
    optimizer = _Adam(detector, settings)
    generator = torch.Generator().manual_seed(seed)
    schedule = settings.schedule(len(images))
    n_steps = schedule.epochs * len(_batch_starts(len(images), schedule.batch_size))
    # In training mode, like the batches that follow: there, batch normalization scales codes by their batch; in
    # evaluation mode it would not scale them before the first step. Its running statistics settle meanwhile.
    detector.train()
    _fit_hypothesis(detector, images, schedule.batch_size, watch)
    step, rung_at = 0, _rung_steps(rungs, n_steps)
    for number, n_epochs in enumerate(schedule.rounds, 1):
        detector.train()
        detector.hypothesis.begin_epoch(step / n_steps)
        total, first = torch.zeros((), device=device), step
        for batch in _batches(images, schedule.batch_size, n_epochs, generator):
            loss = detector.loss(batch.to(device))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step(settings.learning_rate * _decay(step, n_steps))
            total += loss.detach()
            step += 1
            if step % _FINITE_CHECK_EVERY == 0:
                _mean(total, 1)
            watch.check(step, n_steps)
            if on_rung is not None and step in rung_at:
                on_rung(rung_at[step])
        mean_loss = _mean(total, step - first)
        detector.eval()
        if number < len(schedule.rounds):
            _fit_hypothesis(detector, images, schedule.batch_size, watch)
        else:
            _fit_last(detector, images, schedule.batch_size, calibrate, watch)
        if on_epoch is not None:
            on_epoch(number, mean_loss)


def trains_by_steps(detector: Detector) -> bool:
    """Return whether a detector has parameters to train; one that has none is fitted in a single round."""
    return any(parameter.requires_grad for parameter in detector.parameters())


def fit_statistics(
    detector: Detector, images: Inputs, *, batch_size: int, calibrate: bool, max_seconds: float | None = None
) -> None:
    """Do what `fit` ends with, on at most 4,096 images, spread evenly: fit the hypothesis, and calibrate.

    Args:
        detector: In evaluation mode.
        images: Those of the training.
        batch_size: Images at a time.
        calibrate: As for `fit`.
        max_seconds: As for `fit`.

    Raises:
        RejectedTrial: As `fit`.
    """
    _fit_last(detector, _part(images), batch_size, calibrate, Stopwatch(max_seconds))


def calibrate(detector: Detector, images: Inputs, *, batch_size: int, max_seconds: float | None = None) -> None:
    """Take scales and centres of both terms from normal images other than those that `fit` took them from.

    A memory is at no distance from its own images, and principal components reconstruct theirs exactly.

    Args:
        detector: Trained.
        images: Normal images, or their features.
        batch_size: Images at a time.
        max_seconds: As for `fit`.

    Raises:
        RejectedTrial: ``OVER_TIME``, or ``NON_FINITE`` for a distance or a code that is infinite or undefined.
    """
    detector.calibrate(*_terms(detector, images, batch_size, Stopwatch(max_seconds)))


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


def _fit_untrained(
    detector: Detector,
    images: Inputs,
    settings: TrainingSettings,
    watch: Stopwatch,
    on_epoch: Callable[[int, float], None] | None,
) -> None:
    """Fit a model in which nothing is trained by steps."""
    detector.eval()
    batch_size = settings.schedule(len(images)).batch_size
    distances = _fit_last(detector, images, batch_size, True, watch)
    if on_epoch is not None:
        on_epoch(1, _mean(distances.sum(), len(distances)))


def _move_if_it_fits(images: Inputs, device: torch.device) -> Inputs:
    if device.type == "cuda" and images.device != device:
        free, _ = torch.cuda.mem_get_info(device)
        return images.to(device) if images.nbytes < free // 2 else images
    return images


def _batch_size(n_images: int) -> int:
    """64; for small sets less, so that an epoch has 8 batches, but at least 8."""
    return min(_BATCH, max(_SMALLEST_BATCH, math.ceil(n_images / _BATCHES_PER_EPOCH)))


def _batches(images: Inputs, batch_size: int, n_epochs: int, generator: torch.Generator) -> Iterator[Inputs]:
    """Batches of some epochs, each in an order of its own."""
    starts = _batch_starts(len(images), batch_size)
    for _ in range(n_epochs):
        order = torch.randperm(len(images), generator=generator).to(images.device)
        for start in starts:
            yield images[order[start : start + batch_size]]


def _batch_starts(n_images: int, batch_size: int) -> list[int]:
    """Where batches begin; none has a single image, unless there is only one or ``batch_size`` is 1."""
    starts = list(range(0, n_images, batch_size))
    return starts[:-1] if len(starts) > 1 and n_images - starts[-1] == 1 < batch_size else starts


def _rung_steps(rungs: Sequence[float], n_steps: int) -> dict[int, int]:
    """Index of each rung by the steps before it; of several after the same step, the last one."""
    steps = {math.ceil(share * n_steps): rung for rung, share in enumerate(rungs)}
    return {step: rung for step, rung in steps.items() if step < n_steps}


def _decay(step: int, n_steps: int) -> float:
    """1; 0.1 from half of the steps on; 0.01 from three quarters on."""
    return 0.1 ** ((2 * step >= n_steps) + (4 * step >= 3 * n_steps))


def _mean(total: Tensor, count: int) -> float:
    mean = total.item() / count
    if not math.isfinite(mean):
        raise RejectedTrial(Verdict.NON_FINITE, f"The training loss became {mean}.")
    return mean


def _fit_hypothesis(detector: Detector, images: Inputs, batch_size: int, watch: Stopwatch) -> None:
    """Fit the hypothesis to a part of the images, in the detector's present mode."""
    if detector.hypothesis.needs_codes:
        detector.hypothesis.fit(_terms(detector, _part(images), batch_size, watch)[1])


def _fit_last(detector: Detector, images: Inputs, batch_size: int, calibrate: bool, watch: Stopwatch) -> Tensor:
    """Fit the hypothesis to all images, and calibrate the detector; return the images' distances."""
    if not (detector.hypothesis.needs_codes or calibrate):
        return torch.empty(0)
    distances, codes = _terms(detector, images, batch_size, watch)
    detector.hypothesis.fit(codes)
    detector.calibrate(distances, codes)
    return distances


def _part(images: Inputs) -> Inputs:
    """At most `_CODES_WHILE_TRAINING` images, spread evenly over all."""
    return images[:: -(-len(images) // _CODES_WHILE_TRAINING)]


@torch.no_grad()
def _terms(detector: Detector, images: Inputs, batch_size: int, watch: Stopwatch) -> tuple[Tensor, Tensor]:
    """Distances and codes of images, batch by batch; RejectedTrial NON_FINITE if one is not finite.

    Of locations, not all codes are taken, but as many of each image.
    """
    starts = _batch_starts(len(images), batch_size) if detector.training else range(0, len(images), batch_size)
    most = -(-_MOST_CODES_OF_LOCATIONS * batch_size // len(images)) if detector.local_codes else None
    parts = []
    for start in starts:
        distances, codes = _terms_of(detector, images[start : start + batch_size])
        parts.append((distances, chosen_vectors(codes, most)))
        watch.check_limit(f", codes of {start} of {len(images)} training images computed")
    distances, codes = (torch.cat(part) for part in zip(*parts, strict=True))
    if not (torch.isfinite(distances).all() and torch.isfinite(codes).all()):
        raise RejectedTrial(Verdict.NON_FINITE, "A code or a distance of a training image is infinite or undefined.")
    return distances, codes


def _terms_of(detector: Detector, batch: Inputs) -> tuple[Tensor, Tensor]:
    """Distances and codes of a batch; of features, of some images at a time: all of them can be one batch."""
    size = _FEATURES_AT_A_TIME if detector.takes_features and not detector.training else len(batch)
    parts = []
    for start in range(0, len(batch), size):
        terms: Terms = detector(batch[start : start + size].to(detector.device))
        parts.append((terms.distance, terms.code))
    distances, codes = (torch.cat(part) for part in zip(*parts, strict=True))
    return distances, codes
