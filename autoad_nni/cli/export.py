"""``autoad-nni export``: the best model of a search as a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autoad_nni.cli.sources import run_folder
from autoad_nni.cli.stopping import sigterm_as_ctrl_c
from autoad_nni.cli.usage import say

__all__ = ["export"]


def export(
    source: Annotated[str, typer.Argument(help="Folder of a search, or the id of an experiment that 'launch' ended.")],
    output: Annotated[Path, typer.Option(help="New or empty folder for the bundle.")],
    false_alarm_rate: Annotated[
        float | None, typer.Option(metavar="RATE", help="Of the threshold, 0.01 say; default: that of the search.")
    ] = None,
    retrain: Annotated[
        bool, typer.Option("--retrain", help="First train the models again, on test's good images too.")
    ] = False,
    format: Annotated[str | None, typer.Option(metavar="onnx", help="Also write model.onnx, for onnxruntime.")] = None,
    weights: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Weights of the feature extractor; default: as in the search.")
    ] = None,
) -> None:
    """Writes the best model of a search as a bundle: weights, threshold, and a card that says what it is.

    Where it is used, autoad_nni.load(BUNDLE) loads it.
    """
    from autoad_nni.runs.bundle.export import export as write

    with sigterm_as_ctrl_c():
        model = write(
            run_folder(source),
            output,
            false_alarm_rate=false_alarm_rate,
            retraining=retrain,
            format=format,
            weights=weights,
            report=lambda line: say(line, err=True),
        )
    assert model.calibration is not None
    threshold, n = model.calibration.default(), len(model.scorers)
    say(
        f"written to {output}: {n} model{'' if n == 1 else 's'}, threshold "
        f"{threshold.value:.6g} for a false-alarm rate of at most {threshold.rate:.3g}"
    )
    say(f"what it is and what it cannot do: {output}/card.md")
