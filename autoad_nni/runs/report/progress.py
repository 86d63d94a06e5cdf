"""How the search went: best so far, the ten best trials, how trials ended, and the strategy's own figures."""

from __future__ import annotations

import math
from collections import Counter
from itertools import accumulate

from autoad_nni.runs.report.figure import figure
from autoad_nni.runs.report.markup import NONE, Markup, element, joined, paragraph, table
from autoad_nni.runs.report.results import sample_text
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.report.scale import Scale, short
from autoad_nni.runs.report.statistics import best_of_shuffled
from autoad_nni.runs.report.svg import Chart
from autoad_nni.trial.record import FAILED_REWARD, TrialRecord

__all__ = ["best_so_far", "strategy_curves", "ten_best", "verdicts"]

_N_BEST = 10
# Of more, every order has its best long before the end, and n x n figures are computed.
_MOST_SHUFFLED = 3000
_FIGURES = {
    "reward": "mean reward of the batch",
    "entropy": "entropy of the policy, in nats: 0 if it always draws one sample",
    "baseline": "baseline: what rewards are compared with",
    "best": "best reward so far",
    "failed": "failed trials in the batch",
    "intrinsic": "information gain of the batch, in nats",
    "curiosity": "share of curiosity: eta times the deviation of the gains, by that of the rewards",
    "mutual_information": "mutual information of the controller's weights and a candidate, in nats",
    "kl_prior": "divergence from the prior",
    "kl_sharpening": "cost of sharpening",
    "sharpening_share": "step of sharpening, by the deviation of the weights",
    "picks_drawn": "trials as the policy drew them",
    "picks_cover": "trials drawn from the policy to cover values that lacked trials",
    "picks_filtered": "trials drawn from the policy and kept by the filter",
    "picks_varied": "trials varied from one of the best, without the policy",
    "imitated": "samples that are imitated",
    "buffer_min": "lowest reward among the imitated samples",
    "buffer_mean": "mean reward among the imitated samples",
    "buffer_max": "highest reward among the imitated samples",
}


def best_so_far(data: ReportData) -> Markup:
    """Return the best reward after each trial, beside that of the same trials in random order."""
    strategy = str(data.about.get("strategy", ""))
    is_random = strategy == "random"
    records = list(data.records)
    # Known methods are no random samples.
    shuffled = [_counted(record) for record in records if not (is_random and record.known)][:_MOST_SHUFFLED]
    if not shuffled:
        return Markup()
    expected = best_of_shuffled(shuffled)
    reached = list(accumulate(map(_counted, records), max))
    name = data.reward_name
    first = next(i for i, reward in enumerate(reached, 1) if reward == reached[-1])
    half = expected.mean[min(first, len(expected.mean)) - 1]
    title = "Best so far"
    other = "random search, expected" if is_random else "the same trials in random order"
    sentence = (
        f"The best {name}, {reached[-1]:.3f}, was reached after {first} of {len(records)} trials; {other}: {half:.3f} "
        "after as many."
    )
    numbers = range(1, len(expected.mean) + 1)
    y = Scale.around([*_usual(data), reached[-1]], name)
    chart = Chart(Scale(0, len(records) + 0.5, "trials ended"), y, title=title, summary=sentence)
    lows, means, highs = (list(zip(numbers, values, strict=True)) for values in
                          (expected.low, expected.mean, expected.high))  # fmt: skip
    chart.band(lows, highs, "other")
    chart.line(means, "other")
    for known, kind in ((False, "trial"), (True, "two")):
        each = [(i, record) for i, record in enumerate(records, 1) if record.ok and bool(record.known) == known]
        chart.dots([(i, record.reward) for i, record in each], kind, [_dot_title(record) for _, record in each])
    chart.steps(list(enumerate(reached, 1)), "one")
    rows = [
        [str(i), str(record.number), f"{record.reward:.3f}", f"{best:.3f}",
         f"{expected.mean[i - 1]:.3f}" if i <= len(expected.mean) else NONE]
        for i, (record, best) in enumerate(zip(records, reached, strict=True), 1)
    ]  # fmt: skip
    heads = ["Trials ended", "trial", "its reward", "best so far", f"{other}, mean"]
    n_below = sum(record.ok and record.reward < y.low for record in records)
    below = f" Dots on the lower edge: {n_below} with less than {y.low:.3f}." if n_below else ""
    return figure(
        title,
        sentence,
        chart.draw(),
        heads,
        rows,
        note=joined(element("b", "Blue:", class_="one"), _about_order(is_random), below),
    )


def _counted(record: TrialRecord) -> float:
    """What a trial counts as a winner: one that was stopped is none, whatever it had reached."""
    return record.reward if record.ok else FAILED_REWARD


def _usual(data: ReportData) -> list[float]:
    """The rewards of the first good trial and of all but the worst quarter: a few low ones would flatten the curve."""
    first = [record.reward for record in data.records if record.ok][:1]
    return [*first, *(record.reward for record in data.ok[: max(1, 3 * len(data.ok) // 4)])]


def _dot_title(record: TrialRecord) -> str:
    return f"trial {record.number}{f' ({record.known})' if record.known else ''}: {record.reward:.3f}"


def _about_order(is_random: bool) -> str:
    if is_random:
        return (
            " this search; grey: the best of so many random samples, mean and the middle 90 % of all orders, "
            "without bias, as this strategy draws all its samples alike. Orange: known methods, left out of it."
        )
    return (
        " this search; grey: these very trials in a random order, mean and the middle 90 % of all orders. That is "
        "not random search: trials that were only found by learning count from the start. Above the grey area the good "
        "ones came early, below it late. Orange: known methods, with which a search begins."
    )


def ten_best(data: ReportData) -> Markup:
    """Return a table of the ten best trials, each with what differs from the best."""
    if not data.ok:
        return Markup()
    best = data.ok[0]
    rows = [
        [
            f"{record.number}",
            f"{record.reward:.4f}",
            record.known,
            NONE if record.macs is None else short(record.macs),
            NONE if record.ms is None else short(record.ms),
            f"{record.seconds:.1f}",
            sample_text(record.sample, None if record is best else best.sample) or "the same",
        ]
        for record in data.ok[:_N_BEST]
    ]
    heads = ["Trial", data.reward_name, "known as", "multiply-adds", "ms", "seconds", "sample"]
    return element(
        "div",
        element("h3", "The ten best trials" if len(rows) == _N_BEST else "The best trials"),
        paragraph("The first with its whole sample, the others with what differs from it.", kind="note"),
        table(heads, rows, caption="The best trials", kind="wide"),
    )


def verdicts(data: ReportData) -> Markup:
    """Return how the trials ended, with an example of each way to fail."""
    if not data.records:
        return Markup()
    counts = Counter(record.verdict for record in data.records)
    rows = []
    for verdict, n in counts.most_common():
        example = next((record for record in data.records if record.verdict is verdict and record.detail), None)
        detail = "" if example is None else f"trial {example.number}: {example.detail[:200]}"
        rows.append([verdict.value, str(n), f"{100 * n / len(data.records):.0f} %", detail])
    seconds = math.fsum(record.seconds for record in data.records)
    return element(
        "div",
        element("h3", "How trials ended"),
        paragraph(f"{len(data.records)} trials took {_duration(seconds)} together.", kind="note"),
        table(["Verdict", "trials", "share", "for example"], rows, caption="Verdicts"),
    )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def strategy_curves(data: ReportData) -> Markup:
    """Return a small chart of each figure that the strategy gives of its iterations."""
    if len(data.iterations) < 2:
        return Markup()
    given = {name for line in data.iterations for name in line} - {"iteration", "trials", "buffer"}
    names = [*(name for name in _FIGURES if name in given), *sorted(given - set(_FIGURES))]
    charts = [chart for name in names if (chart := _curve(data, name))]
    if not charts:
        return Markup()
    strategy = data.about.get("strategy", "the strategy")
    return element(
        "section",
        element("h2", "The strategy's own figures"),
        paragraph(f"Of each of the {len(data.iterations)} iterations of {strategy}.", kind="note"),
        _picks(data),
        element("div", *charts, class_="charts small"),
    )


def _picks(data: ReportData) -> Markup:
    """Return where the trials come from, if the strategy says so."""
    names = [name for name in _FIGURES if name.startswith("picks_")]
    given = {name: [line.get(name) for line in data.iterations] for name in names}
    counts = {name: sum(n for n in numbers if isinstance(n, int | float)) for name, numbers in given.items()}
    total = sum(counts.values())
    if not total:
        return Markup()
    rows = [[_FIGURES[name], f"{n:.0f}", f"{100 * n / total:.0f} %"] for name, n in counts.items() if n]
    return table(["Source", "trials", "share"], rows, caption="Where the trials come from")


def _curve(data: ReportData, name: str) -> Markup:
    points = [
        (float(line["iteration"]), float(line[name]))
        for line in data.iterations
        if isinstance(line.get(name), int | float) and isinstance(line.get("iteration"), int | float)
    ]
    if len({value for _, value in points}) < 2:
        return Markup()  # nothing to be seen
    x, y = Scale.around((at for at, _ in points), "iteration"), Scale.around(value for _, value in points)
    sentence = f"From {short(points[0][1])} to {short(points[-1][1])}."
    chart = Chart(x, y, title=name, summary=sentence, width=270, height=140)
    chart.line(points, "one")
    chart.dots(points[-1:], "one")
    rows = [[f"{at:g}", short(value)] for at, value in points]
    said = f"{_FIGURES[name][:1].upper()}{_FIGURES[name][1:]}. {sentence}" if name in _FIGURES else sentence
    return figure(name, said, chart.draw(), ["Iteration", name], rows)
