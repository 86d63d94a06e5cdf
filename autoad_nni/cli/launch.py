"""``autoad-nni launch``: nnictl on 127.0.0.1 only, then the best model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.trial.request import TrialRequest

__all__ = ["launch"]

_PORTS = range(8080, 8181)


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
        typer.echo("stopped.", err=True)
        raise typer.Exit(130) from None


def _launch(experiment: Path | None, resume: str, view: str, port: int | None) -> None:
    from autoad_nni.cli.experiment_run import create_experiment, resume_experiment, view_experiment
    from autoad_nni.engines.nnictl.experiments import check_closed, experiment_folder
    from autoad_nni.engines.nnictl.ports import reserved_port

    if experiment is None:
        folder = experiment_folder(resume or view)
        check_closed(resume or view)
    with reserved_port(_PORTS if port is None else [port]) as port:
        if view:
            view_experiment(view, port)
            return
        if experiment is not None:
            resume = create_experiment(experiment, port, _check(experiment))
        else:
            _check_resumed(folder)
            resume_experiment(resume, port)
    _report(resume)


def _check(experiment: Path) -> dict[str, Any]:
    """Finds what is wrong with the file before a server starts; returns what the experiment begins with."""
    from autoad_nni.cli.trial import parse_request
    from autoad_nni.search.experiment_file import read_experiment
    from autoad_nni.search.plugins import plugins_of_search

    file = read_experiment(experiment)
    request = parse_request(file.trial_arguments, file.trial_folder)
    from autoad_nni.search.preflight import preflight

    task = preflight(file, request, file.advisor_arguments)
    return {
        "images": task.digest(),
        "trial_arguments": file.trial_arguments,
        "plugins": plugins_of_search(
            file.search_space,
            strategy=None if file.advisor_arguments is None else file.advisor_arguments["strategy"],
            space=request.settings.space,
            data_sets=request.data_sets,
        ),
    }


def _check_resumed(folder: Path) -> None:
    """Compares an experiment that is to go on with what it began with."""
    from autoad_nni.cli.trial import parse_request
    from autoad_nni.data import load_task
    from autoad_nni.engines.nnictl.database import stored_trial_command
    from autoad_nni.engines.nnictl.experiment_start import check_start
    from autoad_nni.search.trial_command import trial_arguments

    command, started_in = stored_trial_command(folder)
    words = trial_arguments(command, folder)
    check_start(folder, {"images": load_task(parse_request(words, started_in).task).digest(), "trial_arguments": words})


def _report(experiment_id: str) -> None:
    from autoad_nni.cli.search import print_best
    from autoad_nni.cli.trial import parse_request
    from autoad_nni.engines.nnictl.database import finished_trials, stored_trial_command
    from autoad_nni.engines.nnictl.experiments import experiment_folder
    from autoad_nni.runs.summary import TrialSummary
    from autoad_nni.search.trial_command import trial_arguments, trial_environment
    from autoad_nni.trial.plugins import plugins_of_trial

    folder = experiment_folder(experiment_id)
    finished = finished_trials(folder)
    summary = TrialSummary()
    for trial in finished:
        summary.add(trial.sample, trial.metrics)
    typer.echo("\n".join(summary.lines()))
    well = (t for t in finished if t.metrics is not None and t.metrics.get("verdict", "ok") == "ok")
    best = next(well, None)
    if best is None or best.metrics is None:
        message = summary.no_good_trial("Raise maxTrialNumber and launch it anew")
        raise AutoADError(f"experiment {experiment_id}: {message} See the logs in {folder}.")
    command, started_in = stored_trial_command(folder)
    os.environ.update(trial_environment(command))
    request = parse_request(trial_arguments(command, folder), started_in)
    content: dict[str, Any] = {"trial": best.number, "reward": best.metrics["default"], "sample": best.sample}
    content |= {"plugins": plugins_of_trial(best.sample, request), "validation": best.metrics, "test": None}
    alone = _train_alone(content, request, folder)
    if alone["verdict"] == "ok":
        content |= {key: alone[key] for key in ("test", "test_verdict") if key in alone}
    else:
        content["test_verdict"] = f"trained again, it is {alone['verdict']}: {alone.get('detail', '')}"
    content |= {"n_trials": len(finished), "verdicts": dict(summary.verdicts), "summary": summary.to_json()}
    from autoad_nni.storing import write_json

    write_json(folder / "best.json", content)
    print_best(content, folder)
    if request.weight_sharing:
        typer.echo(f"the test figures are of this model trained from fresh weights: reward {alone['default']:.4f}")
    elif alone["default"] != content["reward"]:
        typer.echo(
            f"warning: trained again, this model has the validation reward {alone['default']:.4f}, in the search it "
            f"had {content['reward']:.4f}: images, versions or machine are not those of the search.",
            err=True,
        )
    typer.echo(f"open the web UI again: autoad-nni launch --view {experiment_id}")


def _train_alone(content: dict[str, Any], request: TrialRequest, folder: Path) -> dict[str, Any]:
    """Trains the best sample once more, same seed, reads the test set for it, and keeps weights and pictures."""
    import tempfile

    from autoad_nni.runs.best import WEIGHTS, model_of, save_pictures, save_weights
    from autoad_nni.runs.one_trial import run_alone

    def keep(detector: Any, task: Any) -> None:
        content["model"] = model_of(task, request)
        save_weights(detector, folder / WEIGHTS)
        save_pictures(folder, detector, task, request, content)

    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as scalars:
        return run_alone(
            request,
            content["sample"],
            plugins={},
            scalars=Path(scalars),
            test=True,
            report=lambda figures: None,
            keep=keep,
        )
