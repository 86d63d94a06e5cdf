"""A chart with its heading, a sentence, and its figures as a table that can be opened."""

from __future__ import annotations

from autoad_nni.runs.report.markup import Markup, element, paragraph, table

__all__ = ["figure"]

_MOST_ROWS = 60


def figure(
    title: str, sentence: str, chart: Markup, heads: list[str], rows: list[list[str]], *, note: str = ""
) -> Markup:
    """Return a chart and its text equivalents.

    Args:
        title: Heading.
        sentence: What is to be seen.
        chart: The chart.
        heads: Of the table's columns.
        rows: Of the table; of very many every so manieth is shown, and the last.
        note: How to read the chart; stands below it.
    """
    step = -(-len(rows) // _MOST_ROWS)
    shown = rows if step <= 1 else [*rows[:-1:step], rows[-1]]
    left_out = [] if step <= 1 else [paragraph(f"One of {step} rows is shown.", kind="note")]
    return element(
        "figure",
        element("figcaption", element("h3", title), paragraph(sentence)),
        chart,
        element(
            "div",
            *([paragraph(note, kind="note")] if note else []),
            element("details", element("summary", "Figures"), table(heads, shown, caption=title), *left_out),
        ),
    )
