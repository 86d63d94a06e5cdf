"""``autoad-nni trial``: one sample, by hand or started by NNI."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from autoad_nni.cli.usage import UsageFault, one_line
from autoad_nni.errors import AutoADError

if TYPE_CHECKING:
    from autoad_nni.trial.request import TrialRequest

__all__ = ["parse_request", "trial"]


def trial(
    data: Annotated[str, typer.Option(help="Normal images: a registered data set, or 'folder'.")],
    abnormal: Annotated[str, typer.Option(help="Abnormal data sets, NAME[,NAME...].")] = "",
    root: Annotated[Path | None, typer.Option(help="Folder with the files of --data.")] = None,
    category: Annotated[str | None, typer.Option(help="Sub-folder of --root.")] = None,
    image_size: Annotated[int | None, typer.Option(help="Resize to N x N pixels; default: as they are.")] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most N normal images, drawn by --seed.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Download missing files of --data.")] = False,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = 5,
    preset: Annotated[str, typer.Option(help="Training settings: default, or paper (the article's).")] = "default",
    patch: Annotated[
        int | None, typer.Option(help="Train and score on windows of N x N pixels: textures, small defects.")
    ] = None,
    two_sided: Annotated[
        bool, typer.Option("--two-sided", help="With --patch: windows that are unusually easy are anomalous too.")
    ] = False,
    smoothing: Annotated[
        float | None, typer.Option(help="Gaussian that maps are smoothed with, in pixels; default: side / 56.")
    ] = None,
    reward: Annotated[
        str,
        typer.Option(
            help="On the validation images: auroc, aupr_in, aupr_out; with masks pixel_auroc, aupro, rpro, image_auroc."
        ),
    ] = "auroc",
    max_macs: Annotated[
        int | None,
        typer.Option(help="Refuse models with more multiply-adds for one image, or for one window; reward 0."),
    ] = None,
    max_seconds: Annotated[
        float | None, typer.Option(help="Stop a trial that takes longer to train and score; reward 0.")
    ] = None,
    max_memory: Annotated[
        int, typer.Option(help="Megabytes for what training keeps of a batch, which is made smaller to fit.")
    ] = 4000,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all cores.")] = None,
    weight_sharing: Annotated[
        bool, typer.Option("--weight-sharing", help="In a search: start from the weights of earlier trials.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the split, the weights and the shuffling.")] = 0,
    space: Annotated[str, typer.Option(help="Registered search space that the sample is from.")] = "autoencoder",
    sample: Annotated[Path | None, typer.Option(help="Run this sample (JSON) by hand.")] = None,
    test: Annotated[bool, typer.Option("--test", help="With --sample: read the test set too.")] = False,
) -> None:
    """Trains and validates one sample and reports its metrics.

    NNI starts this as trialCommand; by hand, --sample names a JSON file with a value for every label, for instance
    the best.json of a search.
    """
    request = _request(**{key: value for key, value in locals().items() if key not in _OTHER_PARAMETERS})
    from autoad_nni.engines.nnictl.trial import under_nni

    if under_nni():
        _run_under_nni(request)
    elif sample is None:
        raise AutoADError(
            "There is no sample to run. Expected NNI's manager to start this command, or --sample FILE. "
            "Write a sample with 'autoad-nni space --random'."
        )
    else:
        _run_by_hand(request, sample, test)


_OTHER_PARAMETERS = {"sample", "test"}


def _request(
    *,
    data: str,
    abnormal: str,
    root: Path | None,
    category: str | None,
    image_size: int | None,
    limit: int | None,
    download: bool,
    epochs: int,
    preset: str,
    patch: int | None,
    two_sided: bool,
    smoothing: float | None,
    reward: str,
    max_macs: int | None,
    max_seconds: float | None,
    max_memory: int,
    device: Any,
    threads: int | None,
    weight_sharing: bool,
    seed: int,
    space: str,
) -> TrialRequest:
    from autoad_nni.data import TaskOptions
    from autoad_nni.models.scoring import ScoringSettings
    from autoad_nni.models.training import TrainingSettings
    from autoad_nni.trial.request import TrialRequest
    from autoad_nni.trial.run import TrialSettings

    if preset not in ("default", "paper"):
        raise AutoADError(f"--preset is {preset!r}. Expected default or paper. Give one of these.")
    if epochs < 1:
        raise AutoADError(f"--epochs is {epochs}. Expected 1 or more. Give for instance --epochs 5.")
    training = TrainingSettings.paper(epochs) if preset == "paper" else TrainingSettings(epochs=epochs)
    task = TaskOptions(
        data=data,
        abnormal=tuple(name.strip() for name in abnormal.split(",") if name.strip()),
        root=root,
        category=category,
        image_size=image_size,
        limit=limit,
        download=download,
        seed=seed,
    )
    settings = TrialSettings(
        training=training,
        scoring=ScoringSettings(patch=patch, two_sided=two_sided, smoothing=smoothing),
        reward=reward,
        max_macs=max_macs,
        max_seconds=max_seconds,
        max_memory=max_memory,
        device=device,
        threads=threads,
        seed=seed,
        space=space,
    )
    return TrialRequest(task=task, settings=settings, weight_sharing=weight_sharing)


def parse_request(arguments: list[str], folder: Path = Path()) -> TrialRequest:
    """Parses the words behind ``autoad-nni trial`` as that command does.

    Args:
        arguments: The words.
        folder: Where NNI starts the command: a relative ``--root`` is looked for there.

    Raises:
        AutoADError: If an option is unknown or has a value of another type.
    """
    single = typer.Typer(add_completion=False)
    single.command("trial")(trial)
    try:
        context = typer.main.get_command(single).make_context("autoad-nni trial", list(arguments))
    except UsageFault as error:
        raise AutoADError(f"trialCommand: {one_line(error)} See 'autoad-nni trial --help'.") from None
    except typer.Exit:
        raise AutoADError("trialCommand has --help. Expected a command that runs a trial. Remove it.") from None
    by_hand = [f"--{name}" for name in sorted(_OTHER_PARAMETERS) if context.params[name]]
    if by_hand:
        raise AutoADError(
            f"trialCommand has {by_hand[0]}, which is for a trial by hand. Expected options that hold for every trial. "
            "Remove it."
        )
    given = {key: value for key, value in context.params.items() if key not in _OTHER_PARAMETERS}
    root = given["root"]
    return _request(**{**given, "root": None if root is None else folder / root})


def _run_under_nni(request: TrialRequest) -> None:
    from autoad_nni.engines.nnictl.trial import run_under_nni

    result = run_under_nni(request)
    typer.echo(json.dumps(result.metrics))
    if result.detail:
        typer.echo(result.detail)


def _run_by_hand(request: TrialRequest, sample: Path, test: bool) -> None:
    from autoad_nni.runs.one_trial import read_sample, run_alone

    content, plugins = read_sample(sample)
    with tempfile.TemporaryDirectory(prefix="autoad-nni-") as scalars:
        metrics = run_alone(
            request,
            content,
            plugins=plugins,
            scalars=Path(scalars),
            test=test,
            report=lambda figures: typer.echo(json.dumps(figures), err=True),
        )
    typer.echo(json.dumps(metrics, indent=2))
