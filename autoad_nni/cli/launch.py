"""``autoad-nni launch``: nnictl on 127.0.0.1 only, then the best model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.cli.usage import say
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.runs.start import RunStart

__all__ = ["launch"]


def launch(
    experiment: Annotated[Path | None, typer.Argument(help="Experiment file (YAML).")] = None,
    resume: Annotated[str, typer.Option(metavar="ID", help="Go on with a stopped experiment instead.")] = "",
    view: Annotated[str, typer.Option(metavar="ID", help="Open the web UI of an ended experiment instead.")] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the web UI; default: the first free one from 8080.")
    ] = None,
) -> None:
    """Run an experiment file with nnictl, its web UI reachable from this machine only, and print the best model.

    NNI's server asks for no password and would listen on all interfaces; this command binds it to 127.0.0.1.
    """
    if sum(map(bool, (experiment, resume, view))) != 1:
        raise AutoADError("Give one of: an experiment file, --resume ID, --view ID. See 'autoad-nni launch --help'.")
    try:
        with sigterm_as_ctrl_c():
            _launch(experiment, resume, view, port)
    except KeyboardInterrupt:
        say("stopped.", err=True)
        raise typer.Exit(130) from None


def _launch(experiment: Path | None, resume: str, view: str, port: int | None) -> None:
    from autoad_nni.cli.experiment_run import create_experiment, resume_experiment, view_experiment
    from autoad_nni.engines.nnictl.experiments import check_closed, experiment_folder
    from autoad_nni.engines.nnictl.ports import PORTS, reserved_port

    if experiment is None:
        folder = experiment_folder(resume or view)
        check_closed(resume or view)
    with reserved_port(PORTS if port is None else [port]) as port:
        if view:
            view_experiment(view, port)
            return
        if experiment is not None:
            resume = create_experiment(experiment, port, _check(experiment))
        else:
            _check_resumed(folder)
            resume_experiment(resume, port)
    _report(resume)


def _check(experiment: Path) -> RunStart:
    """Find what is wrong with the file before a server starts; return what the experiment begins with."""
    from autoad_nni.engines.beginning import check_and_load
    from autoad_nni.searches.experiment_file import read_experiment
    from autoad_nni.searches.trial_options import parse_request

    file = read_experiment(experiment)
    request = parse_request(file.trial_arguments, file.trial_folder)
    return check_and_load(file, request, file.advisor_arguments)[1]


def _check_resumed(folder: Path) -> None:
    """Compare an experiment that is to go on with what it began with."""
    from autoad_nni.data import load_task
    from autoad_nni.engines.nnictl.finish import request_of
    from autoad_nni.runs.start import RunStart

    before = RunStart.read(folder)
    if before is not None:
        request = request_of(folder)
        before.check_same(RunStart.of(request, load_task(request.task), before.plugins), folder)


def _report(experiment_id: str) -> None:
    from autoad_nni.cli.search import print_best
    from autoad_nni.engines.nnictl.database import stored_trial_command
    from autoad_nni.engines.nnictl.experiments import experiment_folder
    from autoad_nni.engines.nnictl.finish import finish_experiment
    from autoad_nni.searches.trial_command import trial_environment

    folder = experiment_folder(experiment_id)
    os.environ.update(trial_environment(stored_trial_command(folder)[0]))
    say("training the best models once more, then reading the test set")
    summary, best, again = finish_experiment(folder)
    say("\n".join(summary.lines()))
    if best is None:
        message = summary.no_good_trial("Raise maxTrialNumber and launch it anew")
        raise AutoADError(f"experiment {experiment_id}: {message} See the logs in {folder}.")
    print_best(best, folder)
    rewards = {record.number: record.reward for record in again}
    if best.request.weight_sharing:
        say(
            f"the test figures are of models trained from fresh weights: trial {best.trial.number} has "
            f"{summary.reward} {rewards[best.trial.number]:.4f}"
        )
    elif differing := [member for member in best.members if rewards[member.number] != member.reward]:
        member = differing[0]
        say(
            f"warning: trained again, trial {member.number} has {summary.reward} {rewards[member.number]:.4f} on "
            f"validation, in the search it had {member.reward:.4f}: images, versions or machine are not those of the "
            "search.",
            err=True,
        )
    say(f"open the web UI again: autoad-nni launch --view {experiment_id}")
