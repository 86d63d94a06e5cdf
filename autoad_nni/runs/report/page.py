"""The report as one page: put together, and written into the run folder."""

from __future__ import annotations

import base64
import hashlib
import os
import time
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from autoad_nni.errors import AutoADError
from autoad_nni.runs.report.choices import choices, costs
from autoad_nni.runs.report.hardest import hardest
from autoad_nni.runs.report.markup import Markup, element, joined, paragraph, table
from autoad_nni.runs.report.progress import best_so_far, strategy_curves, ten_best, verdicts
from autoad_nni.runs.report.results import results
from autoad_nni.runs.report.run_data import ReportData
from autoad_nni.runs.report.separation import separation
from autoad_nni.storing import replace_file, storing
from autoad_nni.trial.record import TrialRecord
from autoad_nni.version import __version__

__all__ = ["REPORT", "report_page", "write_report"]

REPORT: Final = "report.html"


def write_report(folder: Path, output: Path | None = None, *, records: Sequence[TrialRecord] | None = None) -> Path:
    """Write the report of a search, at any time: also of one that goes on, or was stopped.

    Nothing but its folder is read, no images and no models.

    Args:
        folder: Of the search.
        output: The file; default: ``report.html`` in the folder.
        records: The trials, where the folder has no history yet.

    Returns:
        The file.

    Raises:
        AutoADError: The folder holds no search, or a file of it was changed by hand.
        StorageError: The file cannot be written.
    """
    path = folder / REPORT if output is None else output
    if os.path.isdir(path):
        raise AutoADError(f"[[output]] {path} is a folder. Expected a file. Give for instance {path / REPORT}.")
    page = report_page(ReportData.read(folder, records))
    with storing(path, "Make room or give write access, or give another [[output]]."):
        replace_file(path, page.encode(errors="backslashreplace"))
    return path


def report_page(data: ReportData) -> str:
    """Return the page of a search: HTML that runs no script and loads nothing."""
    name = data.folder.resolve().name
    style = resources.files("autoad_nni.runs.report").joinpath("style.css").read_text(encoding="utf-8")
    # Of scripts, files and addresses the browser then takes none, whatever the names in a run contain.
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{policy}">'),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{name}: report of a search"),
        element("link", rel="icon", href="data:,"),
        element("style", Markup(style)),
    )
    body = element("body", _header(data, name), element("main", *_sections(data)), _footer(data))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _header(data: ReportData, name: str) -> Markup:
    about, request = data.about, data.request
    parts = ["Report of a search", *([] if request is None else [", ".join(request.data_sets)])]
    parts += [f"{key} {about[key]}" for key in ("experiment", "strategy", "seed") if about.get(key) not in (None, "")]
    parts.append(f"{len(data.records)} trials")
    written = element("span", time.strftime("%Y-%m-%d %H:%M"), class_="date")
    return element("header", element("h1", name), paragraph(" · ".join(parts), " · ", written, kind="note"))


def _sections(data: ReportData) -> list[Markup]:
    search = [best_so_far(data), ten_best(data), verdicts(data)]
    return [
        results(data),
        separation(data),
        hardest(data),
        element("section", element("h2", "The search"), *search) if data.records else Markup(),
        choices(data),
        costs(data),
        strategy_curves(data),
        _made(data),
    ]


def _made(data: ReportData) -> Markup:
    """Return with which options and plugins the search ran."""
    if data.request is None:
        return Markup()
    rows: list[list[str]] = [[name, _shown(value)] for name, value in data.request.options().items()]
    plugins: list[list[str]] = []
    if data.start is not None:
        rows.append(["digest of the images", data.start.images])
        plugins = [[plugin, str(version)] for plugin, version in data.start.plugins.items()]
    options = table(["Option", "value"], rows, caption="Options of the trials that are not defaults")
    parts = [element("h2", "How it was made"), options]
    if plugins:
        shown = table(["Plugin", "version"], plugins, caption="Plugins")
        parts.append(element("details", element("summary", "Plugins"), shown))
    return element("section", *parts)


def _shown(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _footer(data: ReportData) -> Markup:
    text = f"Written by autoad-nni {__version__} from {data.folder}."
    return element("footer", joined(paragraph(text, kind="note")))
