"""``autoad-nni trial``: one sample, by hand or started by NNI."""

from __future__ import annotations

import inspect
import json
import os
import signal
import tempfile
import typing
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from autoad_nni.cli.usage import say
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.options import Option
    from autoad_nni.runs.one_trial import Recorded
    from autoad_nni.trial.request import TrialRequest

__all__ = ["HELP", "make_trial_command"]

HELP: Final = """Trains and validates one sample and prints its record.

NNI starts this as trialCommand. By hand, --sample names a JSON file with a value for every label, for instance the
best.json of a search, or a known method of the search space, and --data the images; or --run RUN --number N repeats a
trial of a search as it was.
"""


def make_trial_command() -> Callable[..., None]:
    """Make the command, with an option for each of `autoad_nni.trial.request.OPTIONS`; imports torch."""
    from autoad_nni.trial.request import OPTIONS

    # With their annotations evaluated: typer takes those of a signature as they are.
    hints = typing.get_type_hints(_trial, include_extras=True)
    own = [
        each.replace(annotation=hints[each.name])
        for each in inspect.signature(_trial).parameters.values()
        if each.name != "options"
    ]
    parameters = [*(_parameter(option) for option in OPTIONS.values()), *own]

    def trial(**options: Any) -> None:
        _trial(**options)

    trial.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    trial.__annotations__ = {each.name: each.annotation for each in parameters}
    return trial


def _parameter(option: Option) -> inspect.Parameter:
    """An option of a trial as typer wants it; ``data`` may be missing, since ``--run`` knows it."""
    kinds = [kind for kind in (bool, int, float, Path) if kind in option.kinds]
    kind = kinds[0] if kinds else str
    # Without the backslash, rich takes it for a style and drops it.
    has_default = option.name != "data" and option.default not in (None, ()) and option.default is not False
    shown = rf" \[default: {option.default}]" if has_default else ""
    declared = typer.Option(option.flag, help=option.help + shown, show_default=False)
    annotation = Annotated[kind | None, declared]  # type: ignore[valid-type]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _trial(
    *,
    sample: Annotated[
        Path | None, typer.Option(help="Run this sample by hand: a JSON file, or the name of a known method.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="Run a trial of this search again: its folder, with --number N.")
    ] = None,
    number: Annotated[int | None, typer.Option(min=0, help="With --run: number of the trial.")] = None,
    test: Annotated[bool, typer.Option("--test", help="By hand: read the test set too.")] = False,
    **options: Any,
) -> None:
    from autoad_nni.engines.nnictl.trial import under_nni
    from autoad_nni.trial.request import TrialRequest

    given = {name: value for name, value in options.items() if value is not None}
    if run is not None or number is not None:
        recorded, request = _recorded(run, number, sample, given)
        _run_by_hand(recorded, request, test)
        return
    request = TrialRequest.from_options(**given)
    if under_nni():
        _run_under_nni(request)
    elif sample is None:
        raise AutoADError(
            "There is no sample to run. Expected NNI's manager to start this command, or --sample FILE, or --run RUN "
            "with --number N. Write a sample with 'autoad-nni space --random'."
        )
    else:
        _run_by_hand(_given(sample, request.settings.space), request, test)


def _given(sample: Path, space: str) -> Recorded:
    """Read a file, or take the known method of the space whose name stands in its place."""
    from autoad_nni.runs.one_trial import Recorded, read_sample

    if os.path.exists(sample):  # not sample.exists(), which raises for a name that is too long
        return read_sample(sample)
    from autoad_nni.searches.known import known_methods, spaces_with

    name, known = str(sample), known_methods(space)
    if name not in known:
        if others := spaces_with(name):
            raise AutoADError(
                f"{name} is a known method of the search space '{others[0]}', not of '{space}'. Expected a method of "
                f"'{space}', or a file with a sample. Add [[space={others[0]}]]."
            )
        or_name = f", or a known method of the search space '{space}': {', '.join(known)}" if known else ""
        raise AutoADError(
            f"There is no sample file {name}{' and no known method of that name' if known else ''}. Expected JSON: "
            f"label to value{or_name}. Check the path."
        )
    return Recorded(known[name], {}, name)


def _recorded(
    run: Path | None, number: int | None, sample: Path | None, given: dict[str, Any]
) -> tuple[Recorded, TrialRequest]:
    from autoad_nni.runs.one_trial import recorded_trial
    from autoad_nni.trial.request import OPTIONS

    if run is None or number is None:
        raise AutoADError("Expected --run and --number together. Give both, or --sample FILE.")
    if sample is not None or given:
        extra = "--sample" if sample is not None else OPTIONS[next(iter(given))].flag
        raise AutoADError(
            f"--run comes with {extra}. Expected the sample and the options of that search only. Leave {extra} out."
        )
    return recorded_trial(run, number)


def _run_under_nni(request: TrialRequest) -> None:
    from autoad_nni.engines.nnictl.trial import run_under_nni

    try:
        say(json.dumps(run_under_nni(request).to_json()))
    except KeyboardInterrupt:
        # NNI's manager has ended it. A trial that ends with an exit code, not by the signal, counts as FAILED there.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.raise_signal(signal.SIGINT)


def _run_by_hand(recorded: Recorded, request: TrialRequest, test: bool) -> None:
    from autoad_nni.runs.one_trial import run_alone

    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as scalars:
        _, content = run_alone(
            recorded,
            request,
            scalars=Path(scalars),
            test=test,
            report=lambda figures: say(json.dumps(figures), err=True),
        )
    say(json.dumps(content, indent=2))
