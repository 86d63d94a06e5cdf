"""Does the map tell images apart as well as the whole code's number? For the models of a search's winner.

    python -m benchmarks.maps RUN [RUN ...]

For each member of the winner: the reading of its maps that is best on validation, and the whole image's number, which
comes from no map; the AUROC of images by both, validation -> test. Nothing is trained.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from autoad_nni.data import LabelledImages, load_task
from autoad_nni.engines.isolation import quiet_nni
from autoad_nni.models.readings import WHOLE
from autoad_nni.models.scoring import Prediction, Scorer
from autoad_nni.runs.records import WEIGHTS, BestRecord
from autoad_nni.runs.winner import load_members
from autoad_nni.trial.evaluate import metric_of
from benchmarks.few_defects import readings_of


def auroc(prediction: Prediction, images: LabelledImages) -> float:
    return metric_of("auroc", prediction, images)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    for run in parser.parse_args().runs:
        best = BestRecord.read(run)
        task, settings = load_task(best.request.task), best.request.settings
        detectors = load_members(best.members, run / WEIGHTS, channels=task.channels, settings=settings)
        print(f"{run.name}: {task.name}; AUROC of images, validation -> test")
        for record, detector in zip(best.members, detectors, strict=True):
            with quiet_nni():
                readings = readings_of(Scorer(detector, settings.scoring), task)
            whole = readings.pop(WHOLE)
            on_validation = {each: auroc(read.validation, task.validation) for each, read in readings.items()}
            reading = max(on_validation, key=lambda each: on_validation[each])
            row = {"whole": whole, reading.name: readings[reading]}
            said = (
                f"{name} {auroc(read.validation, task.validation):.3f} -> {auroc(read.test, task.test):.3f}"
                for name, read in row.items()
            )
            print(f"  trial {record.number}, read as {record.reading}: " + ", ".join(said), flush=True)


if __name__ == "__main__":
    main()
