"""``card.md``: what a model was made from, what it can and cannot do, and how to make it again."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from autoad_nni.data.plan import HeldOut, plan_task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration, Threshold
from autoad_nni.runs.bundle.record import ModelRecord
from autoad_nni.runs.records import BestRecord
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.version import __version__

__all__ = ["Retraining", "write_card"]

_FIGURES_ONLY = "Test scores are not kept by the search, so that the test figures have no interval."


@dataclass(frozen=True, kw_only=True)
class Retraining:
    """How many normal images a model was trained on again, and how many were kept out for its threshold."""

    n_train: int
    n_calibration: int


def write_card(
    best: BestRecord, record: ModelRecord, history: Sequence[TrialRecord], *, retraining: Retraining | None, command: str
) -> str:
    """Return the card, in Markdown.

    Args:
        best: The record of the search.
        record: What the model is made of.
        history: The trials of the search.
        retraining: If the model was trained again.
        command: The one that writes the bundle.
    """
    assert record.calibration is not None
    parts = [
        [f"# Anomaly detector for {_name_of(best.request)}", "", _what_it_is(best, record)],
        ["## Images", "", *_images(best, retraining)],
        ["## Search", "", *_search(best, history)],
        ["## Models", "", *_models(best)],
        ["## Figures", "", *_figures(best, retraining)],
        ["## Threshold", "", *_thresholds(record.calibration, retraining)],
        ["## Limits", "", *_limits(best, record, retraining)],
        ["## Make it again", "", *_commands(best, history, command)],
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _name_of(request: TrialRequest) -> str:
    task = request.task
    name = str(task.root) if task.data == "folder" and task.root else task.data
    return f"{name}/{task.category}" if task.category else name


def _what_it_is(best: BestRecord, record: ModelRecord) -> str:
    n, (channels, height, width) = len(record.members), record.image_shape
    made_of = "One model" if n == 1 else f"The mean of {n} models"
    what = "images of other sets" if best.request.task.abnormal else "defects"
    return (
        f"{made_of}, found by autoad-nni {__version__}. It gives each image a score, higher for {what}, and a map of "
        f"where they are. Images are seen in {width} x {height} pixels, {'grey' if channels == 1 else 'RGB'}."
    )


def _images(best: BestRecord, retraining: Retraining | None) -> Iterator[str]:
    task = best.request.task
    if task.abnormal:
        yield f"- Normal: {_name_of(best.request)}. Anomalous: {', '.join(task.abnormal)}."
    else:
        yield f"- {_name_of(best.request)}, good images and its own defects."
    yield f"- {_counts(best)}"
    yield "- Trials were trained on good training images, chosen on validation; test was read once, at the end."
    if retraining is not None:
        yield (
            f"- Trained again on {retraining.n_train} of all good images, test's among them; "
            f"{retraining.n_calibration} others were kept out, for the threshold."
        )


def _counts(best: BestRecord) -> str:
    """How many images are in each part; from the folder as it is now, if it still is what the search saw."""
    try:
        plan = plan_task(best.request.task)
    except AutoADError:
        plan = None
    if plan is None or best.n_validation != (_n_defects(plan.validation), len(plan.validation.normal) + _n_defects(
        plan.validation
    )):
        defects, n = best.n_validation or (0, 0)
        return (
            f"Validation: {n - defects} good, {defects} anomalous. The numbers of training and test images are not "
            "known: the images are not there any more, or have changed."
        )
    held = [
        f"{name}: {len(part.normal)} good, {_n_defects(part)} anomalous"
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
    return best.request.settings.reward


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


def _figures(best: BestRecord, retraining: Retraining | None) -> Iterator[str]:
    known = best.known
    if retraining is not None:
        yield "These are the figures of the models as the search trained them, not of those in this bundle: no image is"
        yield "left that the new ones could be tested on."
        yield ""
    yield "| | validation | test |" + ("" if known is None else f" {known.trial.known}, validation | test |")
    yield "|---|---|---|" + ("" if known is None else "---|---|")
    for name, value in (best.validation or {}).items():
        row = f"| {name} | {value:.4f}{_interval(best, name)} | {_figure(best.test, name)} |"
        if known is not None:
            row += f" {_figure(known.trial.validation, name)} | {_figure(known.test, name)} |"
        yield row
    yield ""
    if best.n_validation is not None:
        defects, n = best.n_validation
        yield f"Validation rests on {defects} anomalous of {n} images. The model was chosen by its {_reward(best)} there,"
        yield "so that figure and its 95 % interval (bootstrap over images) are rather too high. What to expect of new"
        yield f"images is the test figure. {_FIGURES_ONLY}"
    if best.test is None:
        yield f"There are no test figures: {best.test_detail}."
    if known is not None:
        yield f"{known.trial.known} is the best known method that the search tried."


def _figure(figures: object, name: str) -> str:
    return f"{figures[name]:.4f}" if isinstance(figures, dict) and name in figures else "-"


def _interval(best: BestRecord, name: str) -> str:
    if name != _reward(best) or best.interval is None:
        return ""
    return " ({:.3f} to {:.3f})".format(*best.interval)


def _thresholds(calibration: Calibration, retraining: Retraining | None) -> Iterator[str]:
    """What the thresholds are, where they come from and what they guarantee."""
    of_rate, *f1 = calibration.thresholds()
    yield "An image is called defective if its score is greater than the threshold."
    yield ""
    yield f"- **{of_rate.value:.6g}**, for a false-alarm rate of at most {of_rate.rate:.3g}. {_on_these(of_rate)}"
    yield from (f"- {each.value:.6g}, with the highest F1, {each.confusion.f1:.3f}. {_on_these(each)}" for each in f1)
    yield ""
    origin = "validation" if retraining is None else "those kept out when it was trained again"
    yield f"Both come from scores of {len(calibration.normal)} good images, {origin}, which the model was not trained on."
    yield "The rate holds on average over draws of these images, if the next good image is drawn as they were; it holds"
    yield "for no image of another camera, light or product. With a few images the rate of this one model scatters around"
    yield f"it; {calibration.least_rate:.3g} is the least that they can guarantee."
    if retraining is None:
        yield "The models were also chosen by these images, so that the rate can be a little higher."
    else:
        yield "Some of them were validation images in the search, by which samples and readings were chosen."


def _on_these(threshold: Threshold) -> str:
    counts = threshold.confusion
    defects = counts.found_defects + counts.missed_defects
    good = counts.false_alarms + counts.passed
    found = f"{counts.found_defects} of {defects} anomalous images found, " if defects else ""
    return f"On the images that it comes from: {found}{counts.false_alarms} of {good} good ones called defective."


def _limits(best: BestRecord, record: ModelRecord, retraining: Retraining | None) -> Iterator[str]:
    channels, height, width = record.image_shape
    yield f"- It knows only good images of {_name_of(best.request)}. An image of anything else can get any score."
    yield f"- What cannot be seen in {width} x {height} pixels it cannot find, nor colour if it sees grey." if (
        channels == 1
    ) else f"- What cannot be seen in {width} x {height} pixels it cannot find."
    defects = (best.n_validation or (0, 0))[0]
    yield f"- It was chosen with {defects} anomalous images. Kinds of defects that are not among them may be missed."
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
    yield "Options of the trials, which the experiment file has in its trialCommand:"
    yield ""
    yield "```"
    yield " ".join(["autoad-nni trial", *best.request.to_words()])
    yield "```"
