"""``autoad-nni search``: a folder or an experiment file in this process, with a progress bar."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.cli.usage import say
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.engines.in_process import InProcessSearch
    from autoad_nni.runs.records import BestRecord

__all__ = ["print_best", "search"]


def search(
    source: Annotated[
        Path, typer.Argument(help="Folder of images, or experiment file (YAML), the same that nnictl takes.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the results.")],
    trials: Annotated[
        int | None,
        typer.Option(
            min=1, help="How many models to train; default: the file's maxTrialNumber; 30, or all within --minutes."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(help="Time for all trials, reading images included; default: the file's maxExperimentDuration."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Of the strategy; default: the file's, or 0.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --output.")] = False,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Of the winner's threshold; default: the file's, or 0.01.")
    ] = None,
    max_ms: Annotated[
        float | None,
        typer.Option(help="Refuse models that take more milliseconds for one image; default: the file's, or no limit."),
    ] = None,
    competitors: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...", help="Methods to train and test beside the winner; default: the file's, or none."
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="How many trials run at a time, each in its own process; default: one, in this."),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(help="slurm: each worker is a job of a cluster; local: the same on this machine.")
    ] = None,
    cluster_option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Of a worker's job, as submitit calls it; may be given repeatedly."),
    ] = None,
) -> None:
    """Searches the best model: no server, no web UI.

    A folder has good/ with good images and a folder for each kind of defect, or the layout of MVTec-AD; if there are
    good images only, defects are planted. Everything else is chosen, and said; 'autoad-nni init' writes it into a
    file. Stop it with Ctrl-C, or kill it: the same command with --resume goes on.
    """
    if os.path.isfile(source):
        from autoad_nni.searches.experiment_file import read_environment

        os.environ.update(read_environment(source))  # before torch is imported: OMP_NUM_THREADS
    from autoad_nni.engines.isolation import quiet_nni
    from autoad_nni.engines.search import open_experiment, open_search

    with quiet_nni(), sigterm_as_ctrl_c():
        experiment = open_experiment(
            source, trials=trials, minutes=minutes, seed=seed, began=output if resume else None
        )
        run = open_search(
            experiment,
            output=output,
            trials=trials,
            minutes=minutes,
            seed=seed,
            resume=resume,
            false_alarm_rate=false_alarm_rate,
            max_ms=max_ms,
            competitors=None if competitors is None else competitors.split(","),
            workers=workers,
            cluster=cluster,
            cluster_options=_cluster_options(cluster_option or []),
        )
        if experiment.reasons and not run.n_recorded:
            say("\n".join([f"searching {source}", *experiment.reasons]))
        if resume:
            say(_how_it_goes_on(run, output))
        best = _run_with_progress(run)
    _print_result(best, run, output)


def _cluster_options(words: list[str]) -> dict[str, Any]:
    import yaml

    options: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise AutoADError(
                f"--cluster-option is {word}. Expected NAME=VALUE. Give for instance --cluster-option timeout_min=60."
            )
        try:
            options[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            options[name] = value
    return options


def _how_it_goes_on(run: InProcessSearch, output: Path) -> str:
    if not run.n_recorded:
        return f"no trial has ended in {output} yet: the search begins"
    ended = f"{run.n_recorded} trial{'' if run.n_recorded == 1 else 's'} ended before"
    if run.max_seconds is not None:
        ended += f", in {run.seconds_before / 60:.1f} minutes"
    if run.max_trials is not None and run.n_recorded >= run.max_trials:
        return f"{ended}, --trials is {run.max_trials}: none is run"
    if run.seconds_left() <= 0:
        return f"{ended}, of {run.max_seconds / 60:.3g}: none is run" if run.max_seconds else ended
    limits = [] if run.max_trials is None else [f"{run.max_trials}"]
    limits += [] if run.max_seconds is None else [f"{run.max_seconds / 60:.3g} minutes"]
    return f"{ended}, going on to {' or '.join(limits)}"


def _run_with_progress(run: InProcessSearch) -> BestRecord | None:
    from autoad_nni.cli.progress import SearchProgress

    left = None if run.max_seconds is None else run.seconds_left()
    try:
        with SearchProgress(run.request.reward_name, run.max_trials, left) as progress:

            def listener(ended: int, best: float | None, replayed: bool) -> None:
                # A smaller --trials than there are on resume: none is forgotten.
                total = None if run.max_trials is None else max(run.max_trials, ended)
                progress.show(ended, best, total=total, recorded=replayed)

            run.on_finish = lambda: progress.print("putting the winner together, testing it, drawing pictures")
            run.say = progress.print
            return run.run(listener, end_hung=True)
    except KeyboardInterrupt:
        say("stopped. The same command with --resume goes on.", err=True)
        raise typer.Exit(130) from None


def _print_result(best: BestRecord | None, run: InProcessSearch, output: Path) -> None:
    say("\n".join(run.folder.summary.lines()))
    if best is None:
        larger = "--trials" if run.max_seconds is None else "--minutes"
        message = run.folder.summary.no_good_trial(f"Add --resume with a larger {larger}")
        fault = AutoADError(f"{message} {output}/history.jsonl says why for each.")
        say(f"autoad-nni: {fault.on_command_line()}", err=True)
        raise typer.Exit(1)
    print_best(best, output, when="read once, for this model" if run.read_test else "read before, not again")


def print_best(best: BestRecord, folder: Path, *, when: str = "read once, for this model") -> None:
    """Print the winner: reward, test metrics and when they were read, thresholds, members, sample, and its files."""
    from autoad_nni.runs.caveats import caveats
    from autoad_nni.runs.competing import competitor_lines
    from autoad_nni.runs.front import front_lines
    from autoad_nni.runs.records import read_history
    from autoad_nni.runs.summary import threshold_lines

    reward, name = best.request.settings.reward, best.request.reward_name
    members = ", ".join(f"{each.number} ({each.known})" if each.known else str(each.number) for each in best.members)
    winner = f"mean of trials {members}" if len(best.members) > 1 else f"trial {members}"
    say(f"best: {winner}, {name} {best.reward:.4f} on validation{_interval(best)}")
    planted = ", planted defects" if best.request.task.planted else ""
    if best.test is not None:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in best.test.items())
        say(f"on test{planted} ({when}): {figures}")
    else:
        say(f"on test ({when}): no figures, {best.test_detail}")
    if best.known is not None:
        test = "" if best.known.test is None else f", {best.known.test[reward]:.4f} on test"
        known = best.known.trial
        say(f"best known method: {known.known}, {name} {known.reward:.4f} on validation{test}")
    for line in competitor_lines(folder, reward, name):
        say(line)
    if planted:
        say("these figures are of planted defects: they compare models, and real defects may score otherwise")
    if best.calibration is not None:
        say("\n".join(threshold_lines(best.calibration)))
    if best.ms is not None:
        say(f"time of one image: {best.ms:.3g} ms (processor time, on one thread)")
    for line in front_lines(read_history(folder), name):
        say(line)
    say(f"trial {best.trial.number}:")
    for label, value in best.sample.items():
        say(f"  {label}: {value}")
    if best.trial.reading:
        say(f"  read as: {best.trial.reading}")
    say(f"written to {folder}/best.json")
    if os.path.exists(folder / "pictures.png"):
        say(f"how it works on test images: {folder}/pictures.png")
    say(f"report: {folder}/report.html")
    for line in caveats(best):
        say(line)


def _interval(best: BestRecord) -> str:
    """How far the figure on validation could lie elsewhere, and what it rests on."""
    if best.n_validation is None:
        return ""
    n, total = best.n_validation
    interval = (
        "no interval: all draws of these images agree, "  # which looks certain and is not
        if best.interval is None
        else "95 % interval {:.3f} to {:.3f}, ".format(*best.interval)
    )
    kind = f"{'planted ' if best.request.task.planted else ''}defect{'' if n == 1 else 's'}"
    kind = "anomalous" if best.request.task.abnormal else kind
    return f" ({interval}{n} {kind} of {total} images)"
