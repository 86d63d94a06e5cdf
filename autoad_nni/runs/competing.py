"""Competitors beside a search: trained on its images, tested once, a line each in its folder."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from autoad_nni.competitors import Competitor, load_competitor
from autoad_nni.competitors.classifier import check_classes
from autoad_nni.data import LabelledImages, Task
from autoad_nni.errors import AutoADError
from autoad_nni.models.surroundings import keeping_surroundings, torch_threads
from autoad_nni.registry import COMPETITORS
from autoad_nni.storing import append_line, file_changed, read_lines, replace_lines
from autoad_nni.trial.evaluate import figures_of
from autoad_nni.trial.request import TrialRequest

__all__ = ["COMPETED", "check_competitors", "check_images", "compete", "competitor_lines", "read_competitors"]

COMPETED: Final = "competitors.jsonl"


def check_competitors(request: TrialRequest) -> None:
    """Raise AutoADError, before anything is trained, if there is no competitor of a name."""
    for name in request.competitors:
        if name not in COMPETITORS.names():
            raise AutoADError(
                f"[[competitors]] names {name!r}. Expected some of {', '.join(COMPETITORS.names())}. Correct it."
            )


def check_images(request: TrialRequest, task: Task) -> None:
    """Raise AutoADError, before anything is trained, if competitors cannot learn from these images.

    Not a line at the end, as for one that fails: what was named can never work here, and the search may take hours.
    """
    # A plugin may register a function, too.
    names = [name for name in request.competitors if getattr(COMPETITORS.load(name), "needs_classes", False)]
    if names:
        check_classes(task, f"[[competitors={','.join(names)}]]")


def compete(folder: Path, task: Task, request: TrialRequest, say: Callable[[str], None] = lambda line: None) -> None:
    """Train and test the competitors of a search that the folder has no line of; what fails is a line with its reason.

    Those that failed before are tried again.

    Args:
        folder: Of the search.
        task: Its images.
        request: The options of its trials.
        say: Called with a line for the user before each, as one may take long.

    Raises:
        AutoADError: A line was changed by hand.
        StorageError: The disk refuses.
    """
    before = read_competitors(folder, mend=True)
    kept = [line for line in before if "failed" not in line or line["name"] not in request.competitors]
    if len(kept) < len(before):
        replace_lines(folder / COMPETED, kept)
    there = {line["name"] for line in kept}
    for name in dict.fromkeys(request.competitors):
        if name not in there:
            say(f"training the competitor {name}, and testing it")
            append_line(folder / COMPETED, _line(name, task, request))


def _line(name: str, task: Task, request: TrialRequest) -> dict[str, Any]:
    began, shared = time.process_time(), 0.0
    try:
        with keeping_surroundings(), torch_threads(request.settings.threads):
            method = load_competitor(name, seed=request.task.seed).fit(task)
            found, shared = _figures(method, task), method.shared_seconds
    except (Exception, SystemExit) as error:  # of a plugin, too: the search has its winner
        reason = str(error) if isinstance(error, AutoADError) else f"{type(error).__name__}: {error}"
        found = {"failed": " ".join(reason.split())}
    return {"name": name, "processor_seconds": round(time.process_time() - began + shared, 1), **found}


def _figures(method: Competitor, task: Task) -> dict[str, Any]:
    """Every metric on validation and test; maps of validation set the threshold of RPRO, as for the winner."""
    validation, test = method.predict(task.validation.images), method.predict(task.test.images)
    normal = validation.anomaly_map[task.validation.labels == 0]
    return {
        "validation": figures_of(validation, _scored(method, task.validation)),
        "test": figures_of(test, _scored(method, task.test), normal),
    }


def _scored(method: Competitor, held: LabelledImages) -> LabelledImages:
    """The images, without masks for a method that has no map."""
    return held if method.has_map else LabelledImages(held.images, held.labels)


def read_competitors(folder: Path, *, mend: bool = False) -> list[dict[str, Any]]:
    """Return the lines of a folder's competitors, in the order in which they were trained; none if it has none.

    Each has ``name``, ``processor_seconds``, and either ``validation`` and ``test``, the metrics by name, or
    ``failed``, a reason.

    Args:
        folder: Of the search.
        mend: Also cut off what a kill left of a line; not while another process writes.

    Raises:
        AutoADError: A line was changed by hand.
    """
    lines = read_lines(folder / COMPETED, mend=mend)
    for number, line in enumerate(lines, 1):
        if not _is_competitor(line):
            raise file_changed(folder / COMPETED, number, "no competitor with its figures", "what a search wrote")
    return lines


def _is_competitor(line: Mapping[str, Any]) -> bool:
    if not (isinstance(line.get("name"), str) and isinstance(line.get("processor_seconds"), int | float)):
        return False
    if "failed" in line:
        return isinstance(line["failed"], str)
    parts = [line.get("validation"), line.get("test")]
    return all(isinstance(part, dict) and all(isinstance(x, int | float) for x in part.values()) for part in parts)


def competitor_lines(folder: Path, reward: str, shown_as: str) -> list[str]:
    """Return a line for each competitor to print.

    Args:
        folder: Of the search.
        reward: The metric to show.
        shown_as: What it is called.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     figures = {"validation": {"auroc": 0.75}, "test": {"auroc": 0.5}}
        ...     append_line(Path(folder) / COMPETED, {"name": "anogan", "processor_seconds": 12.3, **figures})
        ...     competitor_lines(Path(folder), "auroc", "auroc")
        ['competitor anogan: auroc 0.7500 on validation, 0.5000 on test (12 s of processor time)']
    """
    lines = []
    for line in read_competitors(folder):
        if "failed" in line:
            shown = f"failed: {line['failed']}"
        elif reward not in line["test"]:
            shown = f"no {shown_as}, as it has no map"
        else:
            shown = f"{shown_as} {line['validation'][reward]:.4f} on validation, {line['test'][reward]:.4f} on test"
            shown += f" ({line['processor_seconds']:.0f} s of processor time)"
        lines.append(f"competitor {line['name']}: {shown}")
    return lines
