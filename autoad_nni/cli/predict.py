"""``autoad-nni predict``: a decision for each image, and where in it the anomaly is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autoad_nni.cli.sources import run_folder
from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.cli.usage import printable, say

if TYPE_CHECKING:
    from autoad_nni.runs.model import Model
    from autoad_nni.runs.prediction import ChosenThreshold
    from autoad_nni.runs.prediction_folder import PredictionFolder

__all__ = ["predict"]


def predict(
    source: Annotated[str, typer.Argument(help="Folder of a search, id of an NNI experiment that ended, or bundle.")],
    images: Annotated[list[str], typer.Argument(help="Image files, folders, patterns such as 'new/*.png'.")],
    output: Annotated[Path, typer.Option(help="New or empty folder for the results.")],
    maps: Annotated[bool, typer.Option("--maps", help="Draw a picture of each image with its map.")] = False,
    false_alarm_rate: Annotated[
        float | None, typer.Option(help="Threshold that so many good images exceed at most, such as 0.05.")
    ] = None,
    threshold: Annotated[float | None, typer.Option(help="The threshold itself: a score.")] = None,
    f1: Annotated[
        bool, typer.Option("--f1", help="Threshold with the highest F1 on the images it was chosen on.")
    ] = False,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of the feature extractor; default: as in the search.")
    ] = None,
) -> None:
    """Says of each image whether it is good or defective.

    --output gets predictions.csv and predictions.json. The threshold is that of the search unless an option asks for
    another one. Ends with 1 if an image cannot be read; all others are scored.
    """
    from autoad_nni.data.given import find_images
    from autoad_nni.runs.model import load
    from autoad_nni.runs.prediction import choose_threshold
    from autoad_nni.runs.prediction_folder import check_output

    output = output.expanduser()
    check_output(output, images)
    files = find_images(images)
    folder = run_folder(source)
    model = load(folder, weights=weights)
    chosen = choose_threshold(model.calibration, false_alarm_rate=false_alarm_rate, threshold=threshold, f1=f1)
    try:
        with sigterm_as_ctrl_c():
            written = _predict(model, files, chosen, output, source=folder, maps=maps)
    except KeyboardInterrupt:
        say("stopped. Nothing is kept.", err=True)
        raise typer.Exit(130) from None
    say(printable(f"{_summary(written, chosen)}, written to {written.table}"))
    if written.counts["unreadable"]:
        raise typer.Exit(1)


def _predict(
    model: Model, files: list[Path], threshold: ChosenThreshold, output: Path, *, source: Path, maps: bool
) -> PredictionFolder:
    from autoad_nni.cli.progress import CountProgress
    from autoad_nni.runs.prediction import predict_files
    from autoad_nni.runs.prediction_folder import PredictionFolder
    from autoad_nni.runs.prediction_pictures import PredictionPictures

    pictures = PredictionPictures(model.scorer, threshold) if maps else None
    about = {"model": str(source), "image_shape": list(model.image_shape)}
    folder = PredictionFolder(output, files, threshold, about=about, pictures=pictures)
    with CountProgress("image", len(files)) as progress, folder:

        def on_unreadable(path: Path, problem: str) -> None:
            folder.add_unreadable(path, problem)
            progress.print(printable(problem))
            progress.show(folder.counts.total())

        for prediction in predict_files(model, files, threshold=threshold.value, on_unreadable=on_unreadable):
            folder.add(prediction)
            progress.show(folder.counts.total())
    return folder


def _summary(written: PredictionFolder, threshold: ChosenThreshold) -> str:
    counts = written.counts
    total = f"{counts.total()} image{'' if counts.total() == 1 else 's'}"
    found = ", ".join(f"{counts[each]} {each}" for each in ("defective", "good", "unreadable") if counts[each])
    return f"{total}: {found}; threshold {threshold.value:.6g} ({threshold.origin})"
