"""What the choices of a search did to its rewards, and what trials cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from autoad_nni.runs.front import pareto_front
from autoad_nni.runs.report.figure import figure
from autoad_nni.runs.report.markup import NONE, Markup, element, paragraph, table
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.report.scale import Scale, short
from autoad_nni.runs.report.statistics import Importance, figures_by_value, importances
from autoad_nni.runs.report.svg import Chart, range_bar
from autoad_nni.trial.record import TrialRecord

__all__ = ["choices", "costs"]

_FEW_TRIALS = 20
_N_OPEN = 4


def choices(data: ReportData) -> Markup:
    """Return how important each choice was, and how the trials with each of its values did."""
    labels = list(dict.fromkeys(label for record in data.records for label in record.sample))
    if not labels or len(data.ok) < 2:
        return Markup()
    values = {label: [str(record.sample.get(label, NONE)) for record in data.records] for label in labels}
    rewards = [record.reward if record.ok else None for record in data.records]
    ok = [i for i, reward in enumerate(rewards) if reward is not None]
    found, by_chance = importances(
        {label: [of_label[i] for i in ok] for label, of_label in values.items()}, [data.records[i].reward for i in ok]
    )
    ranked = [each.label for each in found]
    ordered = [*ranked, *(label for label in labels if label not in ranked and len(set(values[label])) > 1)]
    scale = Scale.around(record.reward for record in data.ok)
    tables = [_by_value(label, values[label], rewards, scale, is_open=i < _N_OPEN) for i, label in enumerate(ordered)]
    return element(
        "section",
        element("h2", "What the choices did"),
        *_importance(data, found, by_chance),
        element("h3", f"{data.reward_name} by choice"),
        paragraph(
            f"Of the trials that ended well: the dot is the mean, the line goes from the lowest to the highest; all "
            f"lines have one scale, {short(scale.low)} to {short(scale.high)}. The strategy tries good values more "
            "often and with other good values: a difference is a hint, no proof.",
            kind="note",
        ),
        element("div", *tables, class_="choices"),
    )


def _importance(data: ReportData, found: Sequence[Importance], by_chance: float) -> list[Markup]:
    if not found:
        return []
    n = len(data.ok)
    above = [each.label for each in found if each.share > by_chance]
    sentence = (
        f"More than chance: {', '.join(above)}." if above else "No choice stands out from what chance alone gives."
    )
    few = f" {n} trials are few: most of this is luck." if n < _FEW_TRIALS else ""
    scale = Scale(0, max(1e-9, by_chance, *(each.share for each in found)) * 1.02)
    rows: list[list[str]] = [
        [
            each.label,
            str(each.n_values),
            f"{100 * each.share:.0f} %",
            range_bar(scale, each.share, 0, each.share, kind="one" if each.share > by_chance else "other"),
        ]
        for each in found
    ]
    rows.append([element("i", "by chance"), "", f"{100 * by_chance:.0f} %",
                 range_bar(scale, by_chance, 0, by_chance, kind="other")])  # fmt: skip
    note = (
        f"Share of the variance of {n} rewards that goes with the value of one choice (epsilon squared, corrected for "
        "the number of values; failed trials left out). By chance: what the highest of them does not exceed in 95 % of "
        "cases when the rewards are dealt out at random."
    )
    return [
        element("h3", "Importance"),
        paragraph(sentence + few),
        table(["Choice", "values tried", "share", ""], rows, caption="Importance of each choice", kind="narrow"),
        paragraph(note, kind="note"),
    ]


def _by_value(
    label: str, values: Sequence[str], rewards: Sequence[float | None], scale: Scale, *, is_open: bool
) -> Markup:
    rows: list[list[str]] = []
    for each in figures_by_value(values, rewards):
        n = f"{each.n_ok}" if each.n_ok == each.n_tried else f"{each.n_ok} of {each.n_tried}"
        if not each.n_ok:
            rows.append([each.value, n, NONE, NONE, ""])
            continue
        deviation = NONE if math.isnan(each.deviation) else f"{each.deviation:.3f}"
        bar = range_bar(scale, each.mean, each.low, each.high, kind="one")
        rows.append([each.value, n, f"{each.mean:.3f}", deviation, bar])
    heads = ["Value", "trials", "mean", "sd", ""]
    content = table(heads, rows, caption=f"Rewards by {label}", kind="narrow")
    return element("details", element("summary", label), content, open="" if is_open else None)


_LEAST_PRICE = 1e-6  # below, nothing was measured, and a logarithmic axis would have no end


def costs(data: ReportData) -> Markup:
    """Return reward against cost, with the trials that no other beats in both."""
    kinds: list[tuple[str, Callable[[TrialRecord], float | None]]] = [
        ("ms", lambda record: record.ms),
        ("multiply-adds", lambda record: record.macs),
        ("seconds", lambda record: record.seconds),
    ]
    charts = [chart for name, cost in kinds if (chart := _cost(data, name, cost))]
    if not charts:
        return Markup()
    note = (
        "Front: no other trial is both cheaper and better. Milliseconds (ms) of processor time for one image, on one "
        "thread, the network of features included; multiply-adds of one image, or of one window, without it; seconds "
        "of the whole trial."
    )
    return element(
        "section",
        element("h2", "What it costs"),
        paragraph(note, kind="note"),
        element("div", *charts, class_="charts"),
    )


def _cost(data: ReportData, name: str, cost: Callable[[TrialRecord], float | None]) -> Markup:
    priced = [(price, record) for record in data.ok if (price := cost(record) or 0.0) >= _LEAST_PRICE]
    if len(priced) < 2:
        return Markup()
    prices = [price for price, _ in priced]
    front = [priced[i] for i in pareto_front(prices, [record.reward for _, record in priced])]
    is_wide = max(prices) > 10 * min(prices)
    x = Scale.around(prices, f"{name}{', logarithmic' if is_wide else ''}", log=is_wide)
    y = Scale.around((record.reward for record in data.ok), data.reward_name)
    best, cheapest = front[-1], front[0]
    title = f"{data.reward_name} against {name}"
    sentence = f"The best on the front, trial {best[1].number} with {best[1].reward:.3f}, takes {short(best[0])} {name}"
    if best is cheapest:
        sentence += "; none is cheaper."
    else:
        sentence += (
            f"; the cheapest, trial {cheapest[1].number}, has {cheapest[1].reward:.3f} with {short(cheapest[0])}."
        )
    chart = Chart(x, y, title=title, summary=sentence)
    chart.steps([(price, record.reward) for price, record in front], "front")
    for is_front, kind in ((False, "trial"), (True, "one")):
        some = [each for each in priced if (each in front) is is_front]
        titles = [f"trial {record.number}: {record.reward:.3f}, {short(price)} {name}" for price, record in some]
        chart.dots([(price, record.reward) for price, record in some], kind, titles)
    # Of a long front only the ends and the middle, or numbers would lie over one another.
    for price, record in {id(each): each for each in (front[0], front[len(front) // 2], front[-1])}.values():
        chart.text(price, record.reward, f"{record.number}", "one", dx=-6, dy=-6, anchor="end")
    rows = [[str(record.number), short(price), f"{record.reward:.4f}"] for price, record in front]
    return figure(title, sentence, chart.draw(), ["Trial on the front", name, data.reward_name], rows)
