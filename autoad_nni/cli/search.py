"""``autoad-nni search``: a folder or an experiment file in this process, with a progress bar."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
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
        int | None, typer.Option(min=1, help="How many models to train; default: the file's maxTrialNumber, or 30.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Of the strategy; default: the file's, or 0.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --output.")] = False,
) -> None:
    """Searches the best model in this process: no server, no web UI.

    A folder has good/ with good images and a folder for each kind of defect, or the layout of MVTec-AD. Stop it with
    Ctrl-C, or kill it: the same command with --resume goes on.
    """
    if source.is_file():
        from autoad_nni.searches.experiment_file import read_experiment

        os.environ.update(read_experiment(source).trial_environment)  # before torch is imported: OMP_NUM_THREADS
    from autoad_nni.engines.isolation import quiet_nni
    from autoad_nni.engines.search import open_experiment, open_search

    with quiet_nni(), sigterm_as_ctrl_c():
        run = open_search(open_experiment(source), output=output, trials=trials, seed=seed, resume=resume)
        if source.is_dir():
            typer.echo(f"searching {source} with: {' '.join(run.request.to_words())}")
        if resume:
            typer.echo(_how_it_goes_on(run, output))
        best = _run_with_progress(run)
    _print_result(best, run, output)


def _how_it_goes_on(run: InProcessSearch, output: Path) -> str:
    if not run.n_recorded:
        return f"no trial has ended in {output} yet: the search begins"
    ended = f"{run.n_recorded} trial{'' if run.n_recorded == 1 else 's'} ended before"
    if run.max_trials is not None and run.n_recorded >= run.max_trials:
        return f"{ended}, --trials is {run.max_trials}: none is run"
    return f"{ended}, going on" + ("" if run.max_trials is None else f" to {run.max_trials}")


def _run_with_progress(run: InProcessSearch) -> BestRecord | None:
    from autoad_nni.cli.progress import SearchProgress

    try:
        with SearchProgress(run.request.settings.reward, run.max_trials) as progress:

            def listener(ended: int, best: float | None, replayed: bool) -> None:
                # A smaller --trials than there are on resume: none is forgotten.
                total = None if run.max_trials is None else max(run.max_trials, ended)
                progress.show(ended, best, total=total, recorded=replayed)

            run.say = progress.print
            return run.run(listener, end_hung=True)
    except KeyboardInterrupt:
        typer.echo("stopped. The same command with --resume goes on.", err=True)
        raise typer.Exit(130) from None


def _print_result(best: BestRecord | None, run: InProcessSearch, output: Path) -> None:
    typer.echo("\n".join(run.folder.summary.lines()))
    if best is None:
        message = run.folder.summary.no_good_trial("Add --resume with a larger --trials")
        fault = AutoADError(f"{message} {output}/history.jsonl says why for each.")
        typer.echo(f"autoad-nni: {fault.on_command_line()}", err=True)
        raise typer.Exit(1)
    print_best(best, output, when="read once, for this model" if run.read_test else "read before, not again")


def print_best(best: BestRecord, folder: Path, *, when: str = "read once, for this model") -> None:
    """Print the winner: reward, test metrics and when they were read, members, sample, and its files in the folder."""
    reward = best.request.settings.reward
    members = ", ".join(f"{each.number} ({each.known})" if each.known else str(each.number) for each in best.members)
    winner = f"mean of trials {members}" if len(best.members) > 1 else f"trial {members}"
    typer.echo(f"best: {winner}, {reward} {best.reward:.4f} on validation{_interval(best)}")
    if best.test is not None:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in best.test.items())
        typer.echo(f"on test ({when}): {figures}")
    else:
        typer.echo(f"on test ({when}): no figures, {best.test_detail}")
    if best.known is not None:
        test = "" if best.known.test is None else f", {best.known.test[reward]:.4f} on test"
        known = best.known.trial
        typer.echo(f"best known method: {known.known}, {reward} {known.reward:.4f} on validation{test}")
    typer.echo(f"trial {best.trial.number}:")
    for label, value in best.sample.items():
        typer.echo(f"  {label}: {value}")
    if best.trial.reading:
        typer.echo(f"  read as: {best.trial.reading}")
    typer.echo(f"written to {folder}/best.json")
    if (folder / "pictures.png").exists():
        typer.echo(f"how it works on test images: {folder}/pictures.png")
    typer.echo(f"report: {folder}/report.html")


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
    kind = "anomalous" if best.request.task.abnormal else "defect" if n == 1 else "defects"
    return f" ({interval}{n} {kind} of {total} images)"
