"""``card.md``: what a model was made from, what it can and cannot do, and how to make it again."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from autoad_nni.data import LabelledImages
from autoad_nni.data.plan import HeldOut, plan_task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, Threshold
from autoad_nni.models.scoring import Prediction
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.bundle.retraining import Retrained
from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.scores import ImageScores, WinnerScores
from autoad_nni.trial.evaluate import IMAGE_METRICS
from autoad_nni.trial.interval import interval_of
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.version import __version__

__all__ = ["write_card"]


def write_card(
    best: BestRecord,
    record: ModelRecord,
    history: Sequence[TrialRecord],
    scores: WinnerScores | None,
    *,
    retrained: Retrained | None,
    command: str,
) -> str:
    """Return the card, in Markdown.

    Args:
        best: The record of the search.
        record: What the model is made of.
        history: The trials of the search.
        scores: What the winner scored; None if the search did not keep it.
        retrained: If the model was trained again.
        command: The one that writes the bundle.
    """
    assert record.calibration is not None
    parts = [
        [f"# Anomaly detector for {_name_of(best.request)}", "", _what_it_is(best, record)],
        ["## Images", "", *_images(best, retrained)],
        ["## Search", "", *_search(best, history)],
        ["## Models", "", *_models(best)],
        ["## Figures", "", *_figures(best, scores, retrained)],
        ["## Threshold", "", *_thresholds(record.calibration, retrained)],
        ["## Limits", "", *_limits(best, record)],
        ["## Make it again", "", *_commands(best, history, command)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _name_of(request: TrialRequest) -> str:
    task = request.task
    root = task.root_of(task.data)
    name = root.name if task.data == "folder" and root else task.data
    return f"{name}/{task.category}" if task.category else name


def _what_it_is(best: BestRecord, record: ModelRecord) -> str:
    n, (channels, height, width) = len(record.members), record.image_shape
    made_of = "One model" if n == 1 else f"The mean of {n} models"
    what = "images of other sets" if best.request.task.abnormal else "defects"
    return (
        f"{made_of}, found by autoad-nni {__version__}. It gives each image a score, higher for {what}, and a map of "
        f"where they are. Images are seen in {width} x {height} pixels, {'grey' if channels == 1 else 'RGB'}."
    )


def _images(best: BestRecord, retrained: Retrained | None) -> Iterator[str]:
    task = best.request.task
    if task.abnormal:
        yield f"- Normal: {_name_of(best.request)}. Anomalous: {', '.join(task.abnormal)}."
    else:
        root = task.root_of(task.data)
        where = "" if root is None else f", from {root}"
        defects = "defects planted into some of them" if task.planted else "defects of its own"
        yield f"- {_name_of(best.request)}: good images and {defects}{where}."
    yield f"- {_counts(best)}"
    yield "- Trials were trained on good training images, chosen on validation; test was read once, at the end."
    if retrained is not None:
        good = "good images" if task.planted else "of all good images, test's among them"
        yield (
            f"- Trained again on {retrained.n_train} {good}; {retrained.n_calibration} others were kept out, for the "
            "threshold."
        )
        if task.planted:
            yield "  Test's are among them; those that defects were planted into are not."


def _counts(best: BestRecord) -> str:
    """How many images are in each part; from the folder as it is now, if it still is what the search saw."""
    try:
        plan = plan_task(best.request.task)
    except AutoADError:
        plan = None
    defects, n = best.n_validation or (0, 0)
    if plan is None or (_n_defects(plan.validation), len(plan.validation.normal)) != (defects, n - defects):
        return (
            f"Validation: {n - defects} good, {defects} anomalous. The numbers of training and test images are not "
            "known: the images are not there any more, or have changed."
        )
    held = [
        f"{name}: {len(part.normal)} good, {_n_defects(part)} {_anomalous(best.request)}"
        for name, part in (("validation", plan.validation), ("test", plan.test))
    ]
    return f"Training: {len(plan.train)} good; {'; '.join(held)}."


def _n_defects(part: HeldOut) -> int:
    return sum(map(len, part.abnormal))


def _search(best: BestRecord, history: Sequence[TrialRecord]) -> Iterator[str]:
    ok = sum(record.ok for record in history)
    yield f"- {len(history)} trials, {ok} of them ended well, {sum(each.seconds for each in history):.0f} s in all."
    strategy, seed = best.search.get("strategy", "not known"), best.search.get("seed", "not known")
    yield f"- Strategy {strategy}, seed {seed}; search space {best.request.space}; reward {_reward(best)}."
    yield (
        f"- Exported with autoad-nni {__version__}, torch {torch.__version__}, numpy {np.__version__}, Python "
        f"{platform.python_version()}."
    )
    plugins = {key: value for member in best.members for key, value in member.plugins.items()}
    yield from (f"- {key}: {value}" for key, value in plugins.items())


def _reward(best: BestRecord) -> str:
    return best.request.reward_name


def _models(best: BestRecord) -> Iterator[str]:
    windows = best.request.settings.scoring.patch
    if windows is not None:
        yield f"Images are scored in windows of {windows} x {windows} pixels."
        yield ""
    yield f"| trial | known method | hypothesis | distance | read as | parameters | {_reward(best)} on validation |"
    yield "|---|---|---|---|---|---|---|"
    for member in best.members:
        sample = member.sample
        yield (
            f"| {member.number} | {member.known or '-'} | {sample['hypothesis']} | {sample['distance']} | "
            f"{member.reading or 'windows'} | {member.parameters} | {member.reward:.4f} |"
        )
    yield ""
    yield "All choices of each are in detector.json."


def _figures(best: BestRecord, scores: WinnerScores | None, retrained: Retrained | None) -> Iterator[str]:
    if retrained is not None:
        yield "These are the figures of the models as the search trained them, not of those in this bundle: no image is"
        yield "left that the new ones could be tested on."
        yield ""
    if best.request.task.planted:
        yield "**All figures, those of test too, are of defects that were planted into good images.** They compare"
        yield "models; how many real defects the model finds is not known. Try it on some as soon as there are any."
        yield ""
    yield from _table(best, scores)
    yield ""
    if best.n_validation is not None:
        defects, n = best.n_validation
        kind = _anomalous(best.request)
        yield f"Validation rests on {defects} {kind} of {n} images. The model was chosen by {_reward(best)} on them:"
        expected = "new planted defects" if best.request.task.planted else "new images"
        yield f"these figures are rather too high; what to expect of {expected} are those of test."
    yield "In brackets: 95 %, had other images been drawn (bootstrap over images). A figure without has none: all draws"
    yield "agree, its images' scores were not kept, or it is a figure of maps on test."
    if best.test is None:
        yield f"There are no test figures: {best.test_detail}."
    if best.known is not None:
        yield f"{best.known.trial.known} is the best known method that the search tried."


def _table(best: BestRecord, scores: WinnerScores | None) -> Iterator[str]:
    """Every metric of the winner, with intervals, and of the best known method."""
    known = best.known
    if scores is not None and scores.members != tuple(member.number for member in best.members):
        scores = None  # of another winner
    on_validation = {} if scores is None else _intervals(scores.validation)
    if best.interval is not None:
        on_validation[best.request.settings.reward] = best.interval
    on_test = {} if scores is None or scores.test is None else _intervals(scores.test)
    of = ", planted defects" if best.request.task.planted else ""
    head = f"| | validation{of} | test{of} |"
    yield head + ("" if known is None else f" {known.trial.known}, validation{of} | test{of} |")
    yield "|---|---|---|" + ("" if known is None else "---|---|")
    for name in best.validation or {}:
        row = f"| {name} | {_figure(best.validation, name, on_validation)} | {_figure(best.test, name, on_test)} |"
        if known is not None:
            row += f" {_figure(known.trial.validation, name)} | {_figure(known.test, name)} |"
        yield row


def _figure(
    figures: Mapping[str, float] | None, name: str, intervals: Mapping[str, tuple[float, float]] | None = None
) -> str:
    if figures is None or name not in figures:
        return "-"
    found = (intervals or {}).get(name)
    return f"{figures[name]:.4f}" + ("" if found is None else " ({:.3f} to {:.3f})".format(*found))


def _intervals(scores: ImageScores) -> dict[str, tuple[float, float]]:
    """The intervals of metrics of images; maps are not kept."""
    values = torch.from_numpy(scores.scores)
    images = LabelledImages(torch.empty(0), torch.from_numpy(scores.labels))
    found = {name: interval_of(name, Prediction(values, values), images) for name in IMAGE_METRICS}
    return {name: interval for name, interval in found.items() if interval is not None}


def _anomalous(request: TrialRequest) -> str:
    return "planted defects" if request.task.planted else "anomalous"


def _thresholds(calibration: Calibration, retrained: Retrained | None) -> Iterator[str]:
    """What the thresholds are, where they come from and what they guarantee."""
    of_rate, *f1 = calibration.thresholds()
    yield "An image is called defective if its score is greater than the threshold."
    yield ""
    yield (
        f"- **{of_rate.value:.6g}**, for a false-alarm rate of at most {of_rate.rate:.3g}. "
        f"{_on_these(of_rate, calibration)}"
    )
    highest = "with the highest F1 on planted defects" if calibration.planted else "with the highest F1"
    for each in f1:
        yield f"- {each.value:.6g}, {highest}, {each.confusion.f1:.3f}. {_on_these(each, calibration)}"
    yield ""
    origin = "training images that were held out" if retrained is None else "those kept out when it was trained again"
    yield f"The good images, {len(calibration.normal)}, are {origin}; the model was not trained on them."
    yield "The rate holds on average over draws of these images, if the next good image is drawn as they were, not for"
    yield "one of another camera, light or product. With a few images the rate of this one model scatters around it;"
    yield f"{calibration.least_rate:.3g} is the least that they can guarantee."
    if retrained is not None:
        yield "Some of them were validation images in the search, by which samples and readings were chosen."


def _on_these(threshold: Threshold, calibration: Calibration) -> str:
    counts = threshold.confusion
    defects = counts.found_defects + counts.missed_defects
    good = counts.false_alarms + counts.passed
    kind = "images with a planted defect" if calibration.planted else "anomalous images"
    found = f"{counts.found_defects} of {defects} {kind} found, " if defects else ""
    return f"On the images that it comes from: {found}{counts.false_alarms} of {good} good ones called defective."


def _limits(best: BestRecord, record: ModelRecord) -> Iterator[str]:
    channels, height, width = record.image_shape
    yield f"- It knows only good images of {_name_of(best.request)}. An image of anything else can get any score."
    colour = ", nor a defect of colour alone" if channels == 1 else ""
    yield f"- It cannot find what cannot be seen in {width} x {height} pixels{colour}."
    defects = (best.n_validation or (0, 0))[0]
    if best.request.task.planted:
        yield f"- It was chosen with {defects} planted defects, no real one among them. Real ones may look otherwise."
    else:
        yield f"- It was chosen with {defects} anomalous images. Kinds of defects that are not among them may be"
        yield "  missed."
    yield "- A score says that an image is unusual, not why, nor whether that matters."
    yield "- It does not notice when camera, light or product change: score good images again from time to time, and"
    yield "  search anew when more of them than the rate are called defective."


def _commands(best: BestRecord, history: Sequence[TrialRecord], command: str) -> Iterator[str]:
    seed = best.search.get("seed")
    words = ["autoad-nni search", str(best.search.get("experiment", "EXPERIMENT")), f"--trials {len(history)}"]
    words += [] if seed is None else [f"--seed {seed}"]
    yield "```"
    yield " ".join([*words, "--output RUN"])
    yield command
    yield "```"
    yield ""
    yield "Options of the trials, which an experiment file has in its trialCommand. For a folder they also depend on"
    yield "--minutes: to get these, write them into the file that 'autoad-nni init FOLDER' prints, and search that."
    yield ""
    yield "```"
    yield " ".join(["autoad-nni trial", *best.request.to_words()])
    yield "```"
