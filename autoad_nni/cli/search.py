"""``autoad-nni search``: an experiment file in this process, with a progress bar."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.data import TaskOptions

__all__ = ["search"]


def search(
    experiment: Annotated[Path, typer.Argument(help="Experiment file (YAML), the same that nnictl takes.")],
    output: Annotated[Path, typer.Option(help="Folder for the results.")],
    trials: Annotated[int | None, typer.Option(min=1, help="Instead of the file's maxTrialNumber.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**32 - 1, help="Instead of the file's seed of the strategy.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the search in --output.")] = False,
) -> None:
    """Searches the best model in this process: no server, no web UI.

    Stop it with Ctrl-C, or kill it: the same command with --resume goes on.
    """
    from autoad_nni.cli.trial import parse_request
    from autoad_nni.search.experiment_file import read_experiment

    file = read_experiment(experiment)
    os.environ.update(file.trial_environment)  # before torch is imported: it may set OMP_NUM_THREADS
    request = parse_request(file.trial_arguments, file.trial_folder)
    _check_output(output, request.task)
    from autoad_nni.engines.in_process import InProcessSearch

    with sigterm_as_ctrl_c():
        run = InProcessSearch(file, request, output, max_trials=trials, seed=seed, resume=resume)
        best = _run_with_progress(run, request.settings.reward)
    _print_result(best, run, output)


def _check_output(output: Path, task: TaskOptions) -> None:
    """Refuses a folder whose pictures the next search would read as images."""
    if task.root is None:
        return
    images = task.root / (task.category or "")
    if output.resolve().is_relative_to(images.resolve()):
        raise AutoADError(
            f"--output {output} lies among the images of {images}, where the pictures of this search would be taken "
            "for images. Expected a folder outside. Give another --output."
        )


def _run_with_progress(run: Any, reward: str) -> dict[str, Any] | None:
    from autoad_nni.cli.progress import SearchProgress

    try:
        with SearchProgress(reward, run.max_trials) as progress:

            def listener(ended: int, best: float | None, recorded: bool) -> None:
                # A smaller --trials than there are on resume: none is forgotten.
                total = None if run.max_trials is None else max(run.max_trials, ended)
                progress.show(ended, best, total=total, recorded=recorded)

            best: dict[str, Any] | None = run.run(listener)
    except KeyboardInterrupt:
        typer.echo("stopped. The same command with --resume goes on.", err=True)
        raise typer.Exit(130) from None
    return best


def _print_result(best: dict[str, Any] | None, run: Any, output: Path) -> None:
    typer.echo("\n".join(run.folder.summary.lines()))
    if best is None:
        message = run.folder.summary.no_good_trial("Add --resume with a larger --trials")
        typer.echo(f"{message} {output}/history.jsonl says why for each.", err=True)
        raise typer.Exit(1)
    print_best(best, output)


def print_best(best: dict[str, Any], folder: Path) -> None:
    """Prints the best model: reward, test metrics, sample, and what of it lies in the folder."""
    typer.echo(f"best: trial {best['trial']}, validation reward {best['reward']:.4f}")
    if best.get("test"):
        figures = ", ".join(f"{name} {value:.4f}" for name, value in best["test"].items())
        typer.echo(f"test (read once, for this model): {figures}")
    elif "test_verdict" in best:
        typer.echo(f"test (read once, for this model): no figures, {best['test_verdict']}")
    for label, value in best["sample"].items():
        typer.echo(f"  {label}: {value}")
    typer.echo(f"written to {folder}/best.json")
    if (folder / "pictures.png").exists():
        typer.echo(f"how it works on test images: {folder}/pictures.png")
