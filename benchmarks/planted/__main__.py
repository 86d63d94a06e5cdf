"""How far planted defects can be trusted: records models, and reports from what was recorded.

    python -m benchmarks.planted record --folder FOLDER [--sets NAME ...]
    python -m benchmarks.planted summarise --folder FOLDER [--lines FILE]
    python -m benchmarks.planted report [--lines FILE]

`record` trains each model once and scores all images by every reading; what is there is kept, so it can be stopped at
any time. `summarise` makes the lines that `report` makes its tables of; those of the reported run are in
experiments/planted.jsonl.gz.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from autoad_nni.engines.isolation import quiet_nni
from benchmarks.planted.lines import lines_of, read_lines, write_lines
from benchmarks.planted.models import N_MODELS
from benchmarks.planted.plants import PASSES
from benchmarks.planted.recording import record
from benchmarks.planted.report import report
from benchmarks.planted.sets import SETS

LINES = Path(__file__).parents[2] / "experiments/planted.jsonl.gz"


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    recording = commands.add_parser("record")
    recording.add_argument("--folder", type=Path, required=True, help="Of the recordings.")
    recording.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    recording.add_argument("--passes", nargs="*", default=["object", "whole"], choices=list(PASSES))
    recording.add_argument("--models", type=int, nargs="+", default=[N_MODELS])
    summarise = commands.add_parser("summarise")
    summarise.add_argument("--folder", type=Path, required=True, help="Of the recordings.")
    summarise.add_argument("--passes", nargs="+", default=["object", "whole"], choices=list(PASSES))
    tables = commands.add_parser("report")
    for each in (summarise, tables):
        each.add_argument("--lines", type=Path, default=LINES)
    run(parser.parse_args(words))


def run(arguments: argparse.Namespace) -> None:
    if arguments.command == "record":
        torch.set_num_threads(1)
        with quiet_nni():
            record(arguments.sets, arguments.folder, arguments.passes, arguments.models)
    elif arguments.command == "summarise":
        write_lines(lines_of(arguments.folder, arguments.passes), arguments.lines)
    else:
        print("\n".join(report(read_lines(arguments.lines))))


if __name__ == "__main__":
    main()
