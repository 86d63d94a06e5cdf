"""The first part of a report: the winner, its figures, and the known methods beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from autoad_nni.runs.records import BestRecord
from autoad_nni.runs.report.markup import NONE, Markup, element, joined, paragraph, table
from autoad_nni.runs.report.run_data import ReportData, metric_name, reward_name
from autoad_nni.runs.report.scale import Scale, short
from autoad_nni.runs.report.svg import range_bar
from autoad_nni.runs.scores import ImageScores
from autoad_nni.trial.record import TrialRecord

__all__ = ["results", "sample_text", "winner_name"]


_PLANTED: Final = (
    "All figures, those of test too, are of defects that were planted into good images, as there were no real ones. "
    "They compare models. How many real defects are found is not known: try the model on some as soon as there are any."
)


def results(data: ReportData) -> Markup:
    """Return what the search has found."""
    best = data.best
    if best is None:
        ended = f"None of {len(data.records)} trials ended well" if data.records else "No trial has ended yet"
        return element("section", paragraph(f"{ended}: there is no model.", kind="lead"))
    parts = [paragraph(winner_sentence(best), kind="lead")]
    if best.request.task.planted:
        parts.append(paragraph(_PLANTED, kind="warning"))
    if data.has_ended:
        parts.append(element("div", *_tiles(data, best), class_="tiles"))
        parts.append(paragraph(_about_figures(data, best), kind="note"))
    else:
        text = (
            "The search has not ended: the figures are those of the best trial so far, the winner may become the mean "
            "of several, and the test images have not been scored."
        )
        parts.append(paragraph(text, kind="warning"))
    parts.append(_members(best))
    parts += [element("h3", "Known methods beside it"), _models(data, best)]
    if data.competitors:
        parts += [element("h3", "Competitors beside it"), _competitors(data, best)]
    if best.validation is not None:
        parts += [element("h3", "All figures"), _all_figures(best)]
    return element("section", *parts)


def winner_name(best: BestRecord) -> str:
    """Return what the winner is, in a few words."""
    names = [_trial_name(member) for member in best.members]
    if len(names) > 1:
        return f"the mean of {len(names)} models, those of trials {', '.join(names)}"
    [member] = best.members
    if member.known:
        return f"the known method {member.known}, tried as trial {member.number}"
    return f"the model of trial {member.number}"


def winner_sentence(best: BestRecord) -> str:
    """Return the winner and its figures in one sentence."""
    name = reward_name(best.request)
    figures = f"{best.reward:.3f} on validation"
    if best.test is not None:
        figures += f" and {best.test[best.request.settings.reward]:.3f} on test"
    so_far = "" if best.validation is not None else " so far"
    return f"The winner{so_far} is {winner_name(best)}: {name} {figures}."


def _trial_name(record: TrialRecord) -> str:
    return f"{record.number} ({record.known})" if record.known else str(record.number)


def _tiles(data: ReportData, best: BestRecord) -> list[Markup]:
    reward, scores = best.request.settings.reward, data.scores
    name = reward_name(best.request)
    below = "no interval: all draws of these images agree" if best.interval is None else _interval(best.interval)
    tiles = [_tile(f"{name}, validation", f"{best.reward:.3f}", below, _on_validation(data, best))]
    if best.test is None:
        tiles.append(_tile(f"{name}, test", NONE, best.test_detail or "none", ""))
    else:
        rest = "" if scores is None or scores.test is None else _counted(data, scores.test)
        tiles.append(_tile(f"{name}, test", f"{best.test[reward]:.3f}", "scored once, for the winner", rest))
    if best.known is not None:
        on_test = "none on test" if best.known.test is None else f"{best.known.test[reward]:.3f} on test"
        known = best.known.trial
        tiles.append(_tile("Best known method", known.known, f"{known.reward:.3f} on validation", on_test))
    if best.ms is not None:
        tiles.append(_tile("Time of one image", f"{short(best.ms)} ms", "processor time, on one thread"))
    return tiles


def _tile(title: str, figure: str, *lines: str) -> Markup:
    is_long = len(figure) > 8
    below = [element("span", line) for line in lines if line]
    number = element("strong", figure, class_="long" if is_long else None)
    return element("div", element("span", title, class_="title"), number, *below, class_="tile")


def _interval(interval: tuple[float, float]) -> str:
    return f"95 % interval {interval[0]:.3f} to {interval[1]:.3f}"


def _counted(data: ReportData, images: ImageScores) -> str:
    return f"{int(images.labels.sum())} {data.words.defects} of {len(images.labels)} images"


def _on_validation(data: ReportData, best: BestRecord) -> str:
    if best.n_validation is None:
        return ""
    return f"{best.n_validation[0]} {data.words.defects} of {best.n_validation[1]} images"


def _about_figures(data: ReportData, best: BestRecord) -> str:
    """What to believe of the figures."""
    text = (
        f"The models were chosen on the validation images, out of {len(data.records)}: that figure is too high"
        f"{'' if best.interval is None else ', which the interval does not know'}. Quote the test figure"
        f"{', as one of planted defects' if best.request.task.planted else ''}."
    )
    known, reward = best.known, best.request.settings.reward
    if known is None or known.test is None or best.test is None:
        return text
    if best.request.task.planted:  # its members are not those that planted defects like best
        return text
    gain = best.test[reward] - known.test[reward]
    if list(best.members) == [known.trial]:
        return f"{text} No other model was better than the best known method."
    if gain > 0:
        return f"{text} On test the winner is ahead of the best known method by {gain:.3f}."
    return f"{text} On test the winner is not ahead of the best known method: these images show no gain."


def _members(best: BestRecord) -> Markup:
    """The models of the winner, to be opened."""
    rows: list[list[str]] = [
        [
            str(member.number),
            f"{member.reward:.3f}",
            member.known,
            sample_text(member.sample, None if i == 0 else best.members[0].sample) or "the same",
            member.reading,
        ]
        for i, member in enumerate(best.members)
    ]
    heads = ["Trial", "reward", "known as", "sample", "read as"]
    n = len(rows)
    title = "What it is made of" if n == 1 else f"The {n} models it is made of"
    parts = [] if n == 1 else [paragraph("The first with its whole sample, the others with what differs.", kind="note")]
    return element("details", element("summary", title), *parts, table(heads, rows, caption=title, kind="members"))


def _models(data: ReportData, best: BestRecord) -> Markup:
    """The winner and every known method, with their rewards."""
    reward = best.request.settings.reward
    known = [record for record in data.ok if record.known]
    alone = next((record for record in data.ok if not record.known), None)
    others = known if alone is None else [*known, alone]
    values = [best.reward, *(best.interval or ()), *(record.reward for record in others)]
    scale = Scale.around(values)
    low, high = best.interval or (best.reward, best.reward)
    test = {} if best.known is None else {best.known.trial.number: best.known.test}
    heads = ["Model", f"{reward_name(best.request)}, validation", "", "95 % interval", "test", "trial"]
    numbers = ", ".join(str(member.number) for member in best.members)
    rows: list[list[str]] = [
        [
            element("b", "Winner"),
            f"{best.reward:.3f}",
            range_bar(scale, best.reward, low, high, kind="one"),
            NONE if best.interval is None else f"{low:.3f} to {high:.3f}",
            _figure(best.test, reward),
            numbers,
        ]
    ]
    for record in sorted(others, key=lambda each: (-each.reward, each.number)):
        bar = range_bar(scale, record.reward, record.reward, record.reward, kind="two" if record.known else "one")
        name = record.known or "best new sample"
        row = [name, f"{record.reward:.3f}", bar, "", _figure(test.get(record.number), reward), str(record.number)]
        rows.append(row)
    failed = [record for record in data.records if record.known and not record.ok]
    # Or a reader would take it for one that was not tried.
    rows += [[str(record.known), record.verdict.value, "", "", NONE, str(record.number)] for record in failed]
    shown = table(heads, rows, caption="The winner and the known methods of this search")
    if known or failed:
        note = "Of these, test images are scored for the winner and the best known method only."
        return joined(shown, paragraph(note, kind="note"))
    return joined(shown, paragraph("No known method was tried; with known: true a search begins with them.",
                                   kind="note"))  # fmt: skip


def _competitors(data: ReportData, best: BestRecord) -> Markup:
    """The winner and the methods that were trained and tested beside it."""
    reward = best.request.settings.reward
    rows: list[list[str]] = [
        [element("b", "Winner"), _figure(best.validation, reward), _figure(best.test, reward), "", ""]
    ]
    for line in data.competitors:
        figures = [_figure(line.get(part), reward) for part in ("validation", "test")]
        rows.append([line["name"], *figures, f"{line['processor_seconds']:.0f}", line.get("failed", "")])
    name = reward_name(best.request)
    heads = ["Method", f"{name}, validation", f"{name}, test", "processor seconds", "failed, as"]
    if not any(row[-1] for row in rows):
        heads, rows = heads[:-1], [row[:-1] for row in rows]
    note = "Each was trained on the same images, chose its settings on validation, and was tested once."
    return joined(table(heads, rows, caption="Competitors"), paragraph(note, kind="note"))


def _figure(figures: Mapping[str, float] | None, name: str) -> str:
    return NONE if figures is None or name not in figures else f"{figures[name]:.3f}"


def _all_figures(best: BestRecord) -> Markup:
    assert best.validation is not None
    columns: dict[str, Mapping[str, float] | None] = {"winner, validation": best.validation, "winner, test": best.test}
    if best.known is not None:
        columns |= {"best known, validation": best.known.trial.validation, "best known, test": best.known.test}
    rows: list[list[str]] = [
        [metric_name(name), *(_figure(figures, name) for figures in columns.values())] for name in best.validation
    ]
    of_what = ", of planted defects" if best.request.task.planted else ""
    return table(["Metric", *columns], rows, caption=f"Every metric on validation and test{of_what}")


def sample_text(sample: Mapping[str, object], among: Mapping[str, object] | None = None) -> str:
    """Return the values of a sample by label; only those that differ from those of ``among``, if that is given.

    Example:
        >>> sample_text({"distance": "l1", "kernel": 3}), sample_text({"distance": "l1", "kernel": 3}, {"kernel": 3})
        ('distance l1, kernel 3', 'distance l1')
    """
    values = {label: value for label, value in sample.items() if among is None or among.get(label) != value}
    return ", ".join(f"{label} {value}" for label, value in values.items())
