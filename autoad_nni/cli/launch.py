"""``autoad-nni launch``: nnictl on 127.0.0.1 only, then the best model."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.trial.request import TrialRequest

__all__ = ["launch"]


def launch(
    experiment: Annotated[Path | None, typer.Argument(help="Experiment file (YAML).")] = None,
    resume: Annotated[str, typer.Option(metavar="ID", help="Go on with a stopped experiment instead.")] = "",
    view: Annotated[str, typer.Option(metavar="ID", help="Open the web UI of an ended experiment instead.")] = "",
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port of the web UI; default: the first free one from 8080.")
    ] = None,
) -> None:
    """Runs an experiment file with nnictl, its web UI reachable from this machine only, and prints the best model.

    NNI's server asks for no password and would listen on all interfaces; this command binds it to 127.0.0.1.
    """
    if sum(map(bool, (experiment, resume, view))) != 1:
        raise AutoADError("Give one of: an experiment file, --resume ID, --view ID. See 'autoad-nni launch --help'.")
    with sigterm_as_ctrl_c():
        _launch(experiment, resume, view, port)


def _launch(experiment: Path | None, resume: str, view: str, port: int | None) -> None:
    from autoad_nni.engines.nnictl.launch import check_closed, experiment_folder, free_port, run_nnictl

    start: dict[str, Any] = {}
    if experiment is not None:
        start = _check(experiment)
    else:
        folder = experiment_folder(resume or view)
        check_closed(resume or view)
        if resume:
            _check_resumed(folder)
    port = port or free_port()
    typer.echo(f"web UI: http://127.0.0.1:{port}")
    if view:
        run_nnictl(["view", view, "--port", str(port)], echo=lambda line: None)
        typer.echo(f"close it with: nnictl stop {view}")
        return
    if experiment is not None:
        resume = _create(experiment, port, start)
    else:
        _resume(resume, port)
    _report(resume)


def _create(experiment: Path | None, port: int, start: dict[str, Any]) -> str:
    from autoad_nni.engines.nnictl.experiment_start import keep_start
    from autoad_nni.engines.nnictl.launch import find_experiment_folder, run_nnictl

    experiment_id = ""
    kept = False

    def echo(line: str) -> None:
        nonlocal experiment_id, kept
        experiment_id = line.partition("Experiment ID: ")[2] or experiment_id
        if experiment_id and not kept and (folder := find_experiment_folder(experiment_id)) is not None:
            keep_start(folder, start)  # at once: a kill must not lose it
            kept = True
        _echo(line)

    try:
        run_nnictl(["create", "--config", str(experiment), "--port", str(port), "--foreground"], echo=echo)
    except KeyboardInterrupt:
        _stopped(experiment_id)
    if not experiment_id:
        raise AutoADError("nnictl printed no experiment id. Expected one. See what it printed above.")
    return experiment_id


def _resume(experiment_id: str, port: int) -> None:
    from autoad_nni.engines.nnictl.launch import run_nnictl, server_gone, stop_server, wait_for_end

    try:
        run_nnictl(["resume", experiment_id, "--port", str(port)], echo=_echo)
        status = wait_for_end(port)
    except KeyboardInterrupt:
        _stopped(experiment_id)
    finally:
        stop_server(experiment_id)
    if status == "ERROR":
        raise AutoADError(f"experiment {experiment_id} ended in ERROR. See its log/dispatcher.log for the reason.")
    if status == "STOPPED":
        raise server_gone(experiment_id)


def _stopped(experiment_id: str) -> NoReturn:
    from autoad_nni.engines.nnictl.launch import find_experiment_folder, stop_server

    # That of a resumed experiment, which nnictl leaves running; a new one has ended with nnictl.
    stop_server(experiment_id)
    begun = find_experiment_folder(experiment_id) is not None
    hint = f" Go on with: autoad-nni launch --resume {experiment_id}" if begun else ""
    typer.echo(f"stopped.{hint}", err=True)
    raise typer.Exit(130)


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
    from autoad_nni.engines.nnictl.experiment_start import check_start
    from autoad_nni.engines.nnictl.launch import stored_trial_command
    from autoad_nni.search.trial_command import trial_arguments

    command, started_in = stored_trial_command(folder)
    words = trial_arguments(command, folder)
    check_start(folder, {"images": load_task(parse_request(words, started_in).task).digest(), "trial_arguments": words})


def _echo(line: str) -> None:
    """Prints the few lines of NNI's log that tell how far the experiment is; the rest is in its folder."""
    wanted = ("Experiment ID", "status changed", "Change NNIManager status", "WARNING", "ERROR", "Error")
    # Other lines than NNI's own begin without the time: tracebacks, of which the last line is the message at the end.
    if line.startswith("[") and any(word in line for word in wanted):
        typer.echo(f"  {line}")


def _report(experiment_id: str) -> None:
    from autoad_nni.cli.search import print_best
    from autoad_nni.cli.trial import parse_request
    from autoad_nni.engines.nnictl.launch import experiment_folder, finished_trials, stored_trial_command
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
