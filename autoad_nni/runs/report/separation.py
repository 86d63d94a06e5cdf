"""How well the winner's scores separate the two kinds of images: curves, histograms, thresholds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from autoad_nni.metrics.image import aupr_out, auroc
from autoad_nni.metrics.threshold import DEFAULT_RATE, Calibration, Threshold
from autoad_nni.runs.report.figure import figure
from autoad_nni.runs.report.markup import Markup, element, paragraph, table
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.report.scale import Scale, short
from autoad_nni.runs.report.statistics import pr_points, roc_points
from autoad_nni.runs.report.svg import Chart
from autoad_nni.runs.scores import ImageScores

__all__ = ["separation"]

Points = list[tuple[float, float]]

_N_BINS = 24
# Above the highest bar: for the names of the kinds.
_ROOM = 1.4
# Times the way from the lowest score to the threshold: around it the two kinds are told apart.
_BEYOND = 4


def separation(data: ReportData) -> Markup:
    """Return how well the winner separates the images of validation and test; nothing before the search has ended."""
    if data.scores is None or data.calibration is None:
        return Markup()
    sets = _sets(data.scores.validation, data.scores.test)
    threshold = data.calibration.default()
    scale = _score_scale([images.scores for images in sets.values()], threshold.value)
    charts = [_roc(data, sets), _pr(data, sets)]
    charts += [_histogram(data, name, images, scale, threshold) for name, images in sets.items()]
    return element(
        "section",
        element("h2", "How well it separates"),
        element("div", *charts, class_="charts"),
        element("h3", "Thresholds"),
        _thresholds(data, sets, data.calibration, threshold),
    )


def _sets(validation: ImageScores, test: ImageScores | None) -> dict[str, ImageScores]:
    """The sets that can be drawn: all scores finite, and of both kinds."""
    sets = {"validation": validation} | ({} if test is None else {"test": test})
    return {
        name: images
        for name, images in sets.items()
        if np.isfinite(images.scores).all() and 0 < images.labels.sum() < len(images.labels)
    }


def _roc(data: ReportData, sets: dict[str, ImageScores]) -> Markup:
    words = data.words
    return _curves(
        sets,
        roc_points,
        auroc,
        title="ROC curve",
        axes=(f"share of {words.good} called defective", f"share of {words.defects} found"),
        area="AUROC",
        chance=[(0.0, 0.0), (1.0, 1.0)],
        corner="The closer to the upper left corner, the better; the dotted line is chance.",
    )


def _pr(data: ReportData, sets: dict[str, ImageScores]) -> Markup:
    words = data.words
    return _curves(
        sets,
        lambda labels, scores: [(0.0, (points := pr_points(labels, scores))[0][1]), *points],
        aupr_out,
        title="Precision and recall",
        axes=("recall", "precision"),
        area="AUPR-Out",
        chance=[],
        corner=f"Recall: share of {words.defects} found. Precision: share of {words.defects} among the images called "
        "defective; it depends on how many there are.",
    )


def _curves(
    sets: dict[str, ImageScores],
    curve: Callable[[npt.ArrayLike, npt.ArrayLike], Points],
    area_of: Callable[[npt.ArrayLike, npt.ArrayLike], float],
    *,
    title: str,
    axes: tuple[str, str],
    area: str,
    chance: Points,
    corner: str,
) -> Markup:
    areas = {name: area_of(images.labels, images.scores) for name, images in sets.items()}
    sentence = ", ".join(f"{area} {value:.3f} on {name}" for name, value in areas.items()) + "."
    chart = Chart(Scale(0, 1, axes[0]), Scale(0, 1, axes[1]), title=title, summary=sentence)
    chart.line(chance, "chance")
    rows = []
    for i, (name, images) in enumerate(sets.items()):
        points, kind = curve(images.labels, images.scores), ("two", "one")[i]
        (chart.line if chance else chart.steps)(points if chance else _steps_down(points), kind)
        chart.text(0.06 if not chance else 0.55, 0.2 - 0.09 * i, f"{name} {areas[name]:.3f}", kind)
        rows += [[name, f"{x:.3f}", f"{y:.3f}"] for x, y in points]
    heads = ["Images", axes[0].partition(":")[0], axes[1].partition(":")[0]]
    return figure(title, sentence, chart.draw(), heads, rows, note=corner)


def _steps_down(points: Points) -> Points:
    """The corners of the steps whose area is AUPR-Out: each precision holds for the recall that it adds."""
    corners = [points[0]]
    for right, precision in points[1:]:
        left = corners[-1][0]
        if right > left:  # with a lower threshold that finds none more, precision only falls
            corners += [(left, precision), (right, precision)]
    return corners


def _score_scale(scores: list[npt.NDArray[np.float64]], threshold: float) -> Scale:
    """One axis for all sets; a few scores far above the threshold would leave one bar for all others."""
    held = np.concatenate([*scores, [threshold]])
    low, high = float(held.min()), float(held.max())
    if threshold > low:
        high = min(high, threshold + _BEYOND * (threshold - low))
    return Scale.around([low, high], "score")


def _histogram(data: ReportData, name: str, images: ImageScores, scale: Scale, threshold: Threshold) -> Markup:
    """Two kinds of images in one chart, good ones upwards and defects downwards, each as shares of its kind."""
    words, edges = data.words, np.linspace(scale.low, scale.high, _N_BINS + 1)
    counts = [np.histogram(np.minimum(images.of_class(label), scale.high), edges)[0] for label in (0, 1)]
    good, defects = (of_class / of_class.sum() for of_class in counts)
    most = max(good.max(), defects.max()) * _ROOM
    alarms, missed = _mistakes(images, threshold.value)
    title = f"Scores of the {name} images"
    sentence = (
        f"At the threshold {short(threshold.value)}, {missed} of {counts[1].sum()} {words.defects} are missed, and "
        f"{alarms} of {counts[0].sum()} {words.good} are false alarms."
    )
    chart = Chart(scale, Scale(-most, most, "share of the kind", is_signless=True), title=title, summary=sentence)
    chart.bars(edges.tolist(), good.tolist(), "good")
    chart.bars(edges.tolist(), (-defects).tolist(), "defect")
    chart.line([(scale.low, 0.0), (scale.high, 0.0)], "zero")
    chart.vertical(threshold.value, "threshold", "threshold")
    chart.text(scale.high, most * 0.82, f"{counts[0].sum()} {words.good}", "good", anchor="end")
    chart.text(scale.high, -most * 0.92, f"{counts[1].sum()} {words.defects}", "defect", anchor="end")
    rows = [
        [f"{short(low)} to {short(high)}", str(of_good), str(of_defects)]
        for low, high, of_good, of_defects in zip(edges, edges[1:], *counts, strict=False)
        if of_good or of_defects
    ]
    n_beyond = int((images.scores > scale.high).sum())
    note = f"The last bar holds {n_beyond} higher score{'' if n_beyond == 1 else 's'}, too." if n_beyond else ""
    return figure(title, sentence, chart.draw(), ["Score", words.good, words.defects], rows, note=note)


def _mistakes(images: ImageScores, threshold: float) -> tuple[int, int]:
    """How many good images are above a threshold, and how many defects are not."""
    return int((images.of_class(0) > threshold).sum()), int((images.of_class(1) <= threshold).sum())


def _thresholds(data: ReportData, sets: dict[str, ImageScores], calibration: Calibration, default: Threshold) -> Markup:
    words, best_f1 = data.words, calibration.best_f1()
    rows = []
    for rule, threshold in (("false alarms", default), ("highest F1", best_f1)):
        if threshold is None:
            continue
        name = f"{rule}, at most {100 * threshold.rate:.3g} %" if threshold.rate else rule
        row = [name, short(threshold.value)]
        for images in sets.values():
            alarms, missed = _mistakes(images, threshold.value)
            n_defects = int(images.labels.sum())
            row += [f"{alarms} of {len(images.labels) - n_defects}", f"{missed} of {n_defects}"]
        rows.append(row)
    heads = ["Rule", "Threshold"]
    heads += [f"{what}, {name}" for name in sets for what in ("false alarms", "missed")]
    n = len(calibration.normal)
    note = (
        f"An image is called defective if its score is above the threshold. The first one is set on {n} "
        f"{words.good} that were held out of training, for a rate of false alarms among such images"
        f"{_of_few(calibration, default)}. The second one is chosen on these and the {words.defects} of validation."
    )
    return element("div", table(heads, rows, caption="Thresholds"), paragraph(note, kind="note"))


def _of_few(calibration: Calibration, threshold: Threshold) -> str:
    if calibration.rate is not None or threshold.rate is None or threshold.rate <= DEFAULT_RATE:
        return ""
    n = len(calibration.normal)
    return f"; {100 * threshold.rate:.3g} % is the least that {n} images can promise, 1 % takes 99"
