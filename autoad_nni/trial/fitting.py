"""The middle of a trial: trains a model on normal images, takes its statistics, validates it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final, NamedTuple

import torch
from torch import Tensor

from autoad_nni.data import LabelledImages, Task
from autoad_nni.models.detector import Detector, Inputs
from autoad_nni.models.diagnosis import check_alive, copies_input
from autoad_nni.models.feature_model import FeatureModel
from autoad_nni.models.features import FeatureMaps
from autoad_nni.models.memory import bytes_per_image
from autoad_nni.models.readings import Reading
from autoad_nni.models.scoring import Scorer, ScoringSettings, predict, predict_parts, size_of
from autoad_nni.models.training import calibrate, fit, trains_by_steps
from autoad_nni.models.windows import cut_windows
from autoad_nni.trial.evaluate import evaluate, figures_of
from autoad_nni.trial.features import extract
from autoad_nni.trial.reading import choose_reading
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "EpochListener",
    "Validated",
    "fit_and_validate",
    "hold_out",
    "images_within",
    "inputs_of",
    "score_held_out",
    "scorer_of",
]

EpochListener = Callable[[int, float, dict[str, float]], None]
"""Called with (number of the round of training from 1, training loss, validation metrics).

After the last round, the metrics are the trial's; before, those of the whole image's score (Eq. 2)."""

# Batch normalization and the statistics of hypotheses want more than a few images at a time.
_LEAST_BATCH = 8
_SCORING_BATCH = 256
# Of a training step: an image has hundreds of vectors, so that few images are enough.
_MOST_LOCATIONS: Final = 8192
# One of so many training images is not trained on: the statistics of readings are taken from it.
_HELD_OUT_EACH: Final = 5
_MOST_HELD_OUT: Final = 500
# Statistics of all held-out images but one such part are about those of all.
_FOLDS: Final = 20
# Of the codes of a part of the training images; 256 MB.
_MOST_NUMBERS = 64_000_000

SecondsLeft = Callable[[], float | None]


class Validated(NamedTuple):
    """How a model does on validation.

    Attributes:
        figures: Its metrics.
        scores: Of the images, ``(n,)``.
    """

    figures: dict[str, float]
    scores: Tensor


def fit_and_validate(
    detector: Detector,
    task: Task,
    settings: TrialSettings,
    seconds_left: SecondsLeft,
    on_epoch: EpochListener | None,
    reading: Reading | None = None,
) -> Validated:
    """Train a detector in place and return how it does on validation.

    Every fifth training image (at most 500) is not trained on: from these come the statistics of the readings
    (:class:`autoad_nni.models.readings.Reader`), of which the best on validation is chosen, and the unit in which
    several models are compared. In windows there is one reading. ``reading`` is taken in place of the best one.

    Raises:
        RejectedTrial: The model is too costly, or useless.
    """
    train, held_out = hold_out(inputs_of(detector, task.train))
    validation = replace(task.validation, images=inputs_of(detector, task.validation.images))
    if settings.scoring.patch is not None:
        windows = cut_windows(train, settings.scoring.patch, seed=settings.seed)
        fitted = _fit(detector, windows, validation, settings, seconds_left, on_epoch)
        scorer = scorer_of(detector, settings.scoring, fitted.batch)
        _leave_out_copies(detector, windows[: fitted.batch])
        prediction = predict(scorer, validation.images, max_seconds=seconds_left())
        figures = figures_of(prediction, validation)
        detector.compare(*predict(scorer, held_out, max_seconds=seconds_left()))
        return Validated(fitted.report(figures, on_epoch), prediction.score)
    if isinstance(detector.autoencoder, FeatureModel):
        detector.autoencoder.prepare(train)
    fitted = _fit(detector, train, validation, settings, seconds_left, on_epoch)
    scorer = scorer_of(detector, settings.scoring, fitted.batch)
    if detector.local is not None:
        _fit_local(detector, train, fitted.batch)
    if detector.hypothesis.needs_codes and len(held_out) > 1:
        calibrate(detector, held_out, batch_size=fitted.batch, max_seconds=seconds_left())
    is_copy = _leave_out_copies(detector, held_out[: min(fitted.batch, _most_at_a_time(held_out))])
    whole, maps = predict_parts(scorer, held_out, max_seconds=seconds_left())
    detector.reader.fit({part: values for part, values in maps.items() if part != "distance" or not is_copy})
    prediction = choose_reading(scorer, validation, settings.reward, reading=reading, max_seconds=seconds_left())
    figures = figures_of(prediction, validation)
    detector.compare(*scorer.read(whole, maps, scorer.reading, size_of(held_out)))
    return Validated(fitted.report(figures, on_epoch), prediction.score)


def _leave_out_copies(detector: Detector, images: Inputs) -> bool:
    """Have no score of a detector that copies its input contain the distance; return whether it is one.

    Raises:
        RejectedTrial: ``COPIES_INPUT`` if there is nothing else to score by.
    """
    model = detector.autoencoder
    if isinstance(model, FeatureModel) and model.encoder is None:
        return False  # principal components: what they leave is what they are for
    if not copies_input(detector, images):
        return False
    if not detector.hypothesis.needs_codes:
        raise RejectedTrial(
            Verdict.COPIES_INPUT, "The reconstructions leave out less than 1 % of the spread of pixels or features."
        )
    detector.distance_scale.fill_(math.inf)
    return True


def inputs_of(detector: Detector, images: Tensor) -> Inputs:
    """Return what a detector takes of images: the images, or their features, from the cache if they are there."""
    model = detector.autoencoder
    if not isinstance(model, FeatureModel):
        return images
    return extract(model.extractor_on(detector.device), images, model.stages, name=model.extractor_name)


def images_within(megabytes: int, bytes_each: int) -> int:
    """Return how many images fit."""
    return megabytes * 10**6 // max(bytes_each, 1)


def scorer_of(detector: Detector, scoring: ScoringSettings, batch: int) -> Scorer:
    """Return a detector ready for images, at most ``batch`` at a time."""
    return Scorer(detector, scoring, batch_size=min(_SCORING_BATCH, max(batch, 1)))


class _Fitted(NamedTuple):
    """How a training ended: the most images at a time, the number of its last round, and the loss of that."""

    batch: int
    round: int
    loss: float

    def report(self, figures: dict[str, float], on_epoch: EpochListener | None) -> dict[str, float]:
        """Pass on the figures of the last round, which are the trial's, and return them."""
        if on_epoch is not None:
            on_epoch(self.round, self.loss, figures)
        return figures


def _fit(
    detector: Detector,
    inputs: Inputs,
    validation: LabelledImages,
    settings: TrialSettings,
    seconds_left: SecondsLeft,
    on_epoch: EpochListener | None,
) -> _Fitted:
    """Train; the figures of every round but the last are passed on."""
    most = _most_at_a_time(inputs)
    wanted = min(settings.training.schedule(len(inputs)).batch_size, most)
    batch = _batch_that_fits(detector, inputs[:1], settings, wanted)
    training = replace(settings.training, batch_size=min(wanted, batch))
    last = len(training.schedule(len(inputs)).rounds) if trains_by_steps(detector) else 1
    scorer = scorer_of(detector, settings.scoring, batch)
    losses: list[float] = []

    def after_round(number: int, loss: float) -> None:
        losses.append(loss)
        if on_epoch is None or number == last:
            return
        try:
            on_epoch(number, loss, evaluate(scorer, validation, max_seconds=seconds_left()))
        except RejectedTrial as rejection:
            # The last round decides: scores that are all equal now can come apart later.
            if rejection.verdict is Verdict.OVER_TIME:
                raise

    fit(
        detector,
        inputs,
        settings=training,
        seed=settings.seed,
        calibrate=settings.scoring.two_sided,
        max_seconds=seconds_left(),
        on_epoch=after_round,
    )
    check_alive(detector, inputs[: min(batch, most)])
    return _Fitted(batch, last, losses[-1])


def _most_at_a_time(inputs: Inputs) -> int:
    """The most images of which all that the model makes of them is held at once; for images, there is no such limit."""
    if isinstance(inputs, FeatureMaps):
        return max(_LEAST_BATCH, _MOST_LOCATIONS // inputs.maps[0][0, 0].numel())
    return len(inputs)


def _batch_that_fits(detector: Detector, one: Inputs, settings: TrialSettings, wanted: int) -> int:
    """The most images of which training can keep what it needs at a time."""
    needed = bytes_per_image(detector, one)
    batch = images_within(settings.max_memory, needed)
    least = min(_LEAST_BATCH, wanted)
    if batch < least:
        megabytes = math.ceil(least * needed / 10**6)  # the lowest limit that would do
        raise RejectedTrial(
            Verdict.OVER_MEMORY, f"{megabytes:,} MB for {least} images, the limit is {settings.max_memory:,} MB."
        )
    return batch


def hold_out(inputs: Inputs) -> tuple[Inputs, Inputs]:
    """Return those to train on, and those for statistics, spread evenly; a single image is both."""
    n = len(inputs)
    held = torch.arange(n)[_HELD_OUT_EACH - 1 :: _HELD_OUT_EACH]
    if len(held) == 0:
        held = torch.tensor([n - 1])
    held = held[:: -(-len(held) // _MOST_HELD_OUT)]
    kept = torch.ones(n, dtype=torch.bool)
    kept[held] = n == 1
    return inputs[kept.nonzero()[:, 0]], inputs[held]


def score_held_out(scorer: Scorer, images: Tensor) -> Tensor:
    """Return the scores of the training images that a model was not trained on, ``(n,)``, as if they were new to it.

    They are not new to the reader, whose statistics come from them. At one place these rest on one number of each
    image: measured by itself, an image scores too little. Of 9 solar cells, the highest was exceeded by 44 % of new
    ones instead of 10 %. So where places count, a twentieth of them at a time is measured by the others.

    Args:
        scorer: Trained by `fit_and_validate`.
        images: All training images.
    """
    held_out = hold_out(inputs_of(scorer.detector, images))[1]
    if scorer.settings.patch is not None or not scorer.reading.by_place or len(held_out) == 1:
        return predict(scorer, held_out).score
    whole, maps = predict_parts(scorer, held_out)
    reader, scores = scorer.detector.reader, torch.empty(len(held_out))
    fitted = {name: value.clone() for name, value in reader.state_dict().items()}
    for part in torch.arange(len(held_out)).tensor_split(min(len(held_out), _FOLDS)):
        others = torch.ones(len(held_out), dtype=torch.bool)
        others[part] = False
        reader.fit({name: each[others] for name, each in maps.items()})
        of_part = {name: each[part] for name, each in maps.items()}
        scores[part] = scorer.read(whole[part], of_part, scorer.reading, size_of(held_out)).score
    reader.load_state_dict(fitted)
    return scores


@torch.no_grad()
def _fit_local(detector: Detector, inputs: Inputs, batch: int) -> None:
    """Fit the hypothesis at each location to the codes of training images, as many as fit into memory."""
    assert detector.local is not None

    def code_maps(images: Inputs) -> Iterator[Tensor]:
        for start in range(0, len(images), batch):
            yield detector(images[start : start + batch].to(detector.device)).code_map

    first = next(code_maps(inputs[:1]))
    if first.shape[-2:] == (1, 1):
        return  # the whole image's code is all there is
    step = -(-len(inputs) * first.numel() // _MOST_NUMBERS)
    detector.local.fit(torch.cat(list(code_maps(inputs[::step]))))
