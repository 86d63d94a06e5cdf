"""The middle of a trial: trains a model on normal images, takes its statistics, validates it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
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
from autoad_nni.models.scoring import Prediction, Scorer, ScoringSettings, predict, predict_parts, size_of
from autoad_nni.models.surroundings import keeping_random_states
from autoad_nni.models.training import calibrate, fit, fit_statistics, trains_by_steps
from autoad_nni.models.windows import cut_windows
from autoad_nni.trial.evaluate import check_differ, evaluate, figures_of, metric_of
from autoad_nni.trial.features import extract
from autoad_nni.trial.reading import choose_reading
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import RejectedTrial, Verdict

__all__ = [
    "EpochListener",
    "RungListener",
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


class RungListener(NamedTuple):
    """Is shown how a model does before its training has ended.

    Attributes:
        shares: Of the training's steps after which it is shown, ascending, each in (0, 1).
        call: Called with the index of the share, how the model does, evaluated as if its training ended there, and,
            if it would be rejected, why. What it raises ends the training.
    """

    shares: Sequence[float]
    call: Callable[[int, Validated | None, str], None]


def fit_and_validate(
    detector: Detector,
    task: Task,
    settings: TrialSettings,
    seconds_left: SecondsLeft,
    on_epoch: EpochListener | None,
    reading: Reading | None = None,
    on_rung: RungListener | None = None,
) -> Validated:
    """Train a detector in place and return how it does on validation.

    Every fifth training image (at most 500) is not trained on: from these come the statistics of the readings
    (:class:`autoad_nni.models.readings.Reader`), of which the best on validation is chosen, and the unit in which
    several models are compared. In windows there is one reading. ``reading`` is taken in place of the best one.

    What ``on_rung`` is shown comes from a copy of the model: the training goes on as if nobody had looked.

    Raises:
        RejectedTrial: The model is too costly, or useless.
    """
    train, held_out = hold_out(inputs_of(detector, task.train))
    validation = replace(task.validation, images=inputs_of(detector, task.validation.images))
    if settings.scoring.patch is not None:
        train = cut_windows(train, settings.scoring.patch, seed=settings.seed)
    elif isinstance(detector.autoencoder, FeatureModel):
        detector.autoencoder.prepare(train)

    check = _Validation(train, held_out, validation, settings, seconds_left, reading)
    fitted = _fit(detector, check, on_epoch, on_rung)
    validated = check.last(detector, fitted.batch)
    fitted.report(validated.figures, on_epoch)
    return validated


class _Validation(NamedTuple):
    """What a model is trained on and how it is validated; validation images are inputs of the model."""

    train: Inputs
    held_out: Inputs
    images: LabelledImages
    settings: TrialSettings
    seconds_left: SecondsLeft
    reading: Reading | None

    def last(self, detector: Detector, batch: int) -> Validated:
        """Validate the model that the training ends with."""
        prediction, of_held_out = self._predict(detector, batch)
        figures = figures_of(prediction, self.images)
        detector.compare(*of_held_out())
        return Validated(figures, prediction.score)

    def early(self, detector: Detector, batch: int) -> Validated:
        """Validate a copy on the way; the reward alone, as the other metrics of maps take long."""
        prediction, _ = self._predict(detector, batch)
        score = prediction.score
        check_differ(score)
        reward = self.settings.reward
        return Validated({reward: metric_of(reward, prediction, self.images)}, score)

    def _predict(self, detector: Detector, batch: int) -> tuple[Prediction, Callable[[], Prediction]]:
        """Predict validation in the best reading; and what predicts held-out images."""
        settings, seconds_left, held_out = self.settings, self.seconds_left, self.held_out
        check_alive(detector, self.train[: min(batch, _most_at_a_time(self.train))])
        scorer = scorer_of(detector, settings.scoring, batch)
        if settings.scoring.patch is not None:
            _leave_out_copies(detector, self.train[:batch])
            prediction = predict(scorer, self.images.images, max_seconds=seconds_left())
            return prediction, lambda: predict(scorer, held_out, max_seconds=seconds_left())
        if detector.local is not None:
            _fit_local(detector, self.train, batch)
        if detector.hypothesis.needs_codes and len(held_out) > 1:
            calibrate(detector, held_out, batch_size=batch, max_seconds=seconds_left())
        is_copy = _leave_out_copies(detector, held_out[: min(batch, _most_at_a_time(held_out))])
        whole, maps = predict_parts(scorer, held_out, max_seconds=seconds_left())
        detector.reader.fit({part: values for part, values in maps.items() if part != "distance" or not is_copy})
        prediction = choose_reading(
            scorer, self.images, settings.reward, reading=self.reading, max_seconds=seconds_left()
        )
        return prediction, lambda: scorer.read(whole, maps, scorer.reading, size_of(held_out))


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

    def report(self, figures: dict[str, float], on_epoch: EpochListener | None) -> None:
        """Pass on the figures of the last round, which are the trial's."""
        if on_epoch is not None:
            on_epoch(self.round, self.loss, figures)


def _fit(
    detector: Detector, check: _Validation, on_epoch: EpochListener | None, on_rung: RungListener | None
) -> _Fitted:
    """Train; the figures of every round but the last are passed on."""
    inputs, settings, seconds_left = check.train, check.settings, check.seconds_left
    wanted = min(settings.training.schedule(len(inputs)).batch_size, _most_at_a_time(inputs))
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
            on_epoch(number, loss, evaluate(scorer, check.images, max_seconds=seconds_left()))
        except RejectedTrial as rejection:
            # The last round decides: scores that are all equal now can come apart later.
            if rejection.verdict is Verdict.OVER_TIME:
                raise

    shares: Sequence[float] = ()
    if on_rung is not None:
        shares, call = on_rung
    fit(
        detector,
        inputs,
        settings=training,
        seed=settings.seed,
        calibrate=settings.scoring.two_sided,
        max_seconds=seconds_left(),
        on_epoch=after_round,
        rungs=shares,
        on_rung=lambda rung: call(rung, *_look_early(detector, check, batch)),
    )
    return _Fitted(batch, last, losses[-1])


def _look_early(detector: Detector, check: _Validation, batch: int) -> tuple[Validated | None, str]:
    """Evaluate a copy of a model as if its training ended now; or say why it would be rejected."""
    settings, seconds_left = check.settings, check.seconds_left
    try:
        # Drawing, a plugin would change what comes later in the training.
        with keeping_random_states([detector.device]):
            early = deepcopy(detector).eval()
            fit_statistics(
                early,
                check.train,
                batch_size=min(_SCORING_BATCH, batch),
                calibrate=settings.scoring.two_sided,
                max_seconds=seconds_left(),
            )
            return check.early(early, batch), ""
    except RejectedTrial as rejection:
        if rejection.verdict is Verdict.OVER_TIME:
            raise
        return None, str(rejection)


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
