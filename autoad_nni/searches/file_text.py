"""Writes an experiment as the text of a file, with what was chosen and why as comments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from autoad_nni.searches.experiment_file import Experiment

__all__ = ["experiment_text"]

_HEAD = """\
# An experiment of NNI for the images in {name}, for
#   autoad-nni search FILE --output RUN    in one process
#   autoad-nni launch FILE                 with NNI's server and web UI, or: nnictl create --config FILE
#
# What was chosen, and why:
"""
# What to know before one of them is changed.
_COMMENTS = {
    "trialCommand": "Options of every trial; 'autoad-nni trial --help' says what there is.",
    "maxTrialNumber": "The search ends after so many models.",
    "maxExperimentDuration": "The search ends after this time, for instance 90s, 10m, 2h.",
    "trialConcurrency": "Trials at a time, under nnictl; times --threads no more than your cores.",
    "tuner": "What proposes the models. known: the known methods of the space come first.",
    "searchSpace": "Drop values to narrow it; for search and launch it may be as short as {{space: {space}}}.",
}


def experiment_text(experiment: Experiment) -> str:
    """Return the text, which is YAML; its search space is in the long form, which NNI itself wants.

    Args:
        experiment: With its reasons; those are the comments at the beginning.
    """
    return _HEAD.format(name=experiment.name) + "".join(f"{line}\n" for line in _lines(experiment))


def _lines(experiment: Experiment) -> Iterator[str]:
    yield from (f"#   {reason}" for reason in experiment.reasons)
    space = (experiment.advisor_arguments or {}).get("space", "")
    for key, value in experiment.content.items():
        comment = _COMMENTS.get(key)
        if comment:
            yield f"# {comment.format(space=space)}"
        if isinstance(value, dict):
            yield f"{key}:"
            yield from (f"  {name}: {_flow(each)}" for name, each in value.items())
        else:
            yield f"{key}: {_flow(value)}"


def _flow(value: Any) -> str:
    """A value in one line; JSON is YAML."""
    return json.dumps(value, ensure_ascii=False)
