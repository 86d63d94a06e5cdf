"""Searches on recorded tables, for what the article says of strategies: Table V and Figure 3."""

from __future__ import annotations

import gzip
import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from autoad_nni.errors import AutoADError
from benchmarks.strategies.report import Curves, curves_of
from benchmarks.strategies.runs import Run, parse_run
from benchmarks.strategies.specs import Spec

__all__ = ["NOT_THE_ARTICLES", "OF_THE_CLONE", "Searches", "read_searches", "too_few"]

_FOLDER: Final = Path(__file__).parents[2] / "experiments" / "strategies"
OF_THE_CLONE: Final = (_FOLDER / "results.jsonl.gz", _FOLDER / "peers.jsonl.gz")
"""By name, as the folder has recordings of other kinds, too."""

NOT_THE_ARTICLES: Final = (
    "These are searches on a recorded table: each proposed model was answered with the figure of a model that had been "
    "trained before, or of a regression over such models (experiments/RESULTS.md, Search strategies). They are not on "
    "the article's data: `small` and `random` are Fashion-MNIST, 1,200 training images, two epochs, against digits and "
    "patches of photographs; the article has CIFAR-10 in their place, and trained every model. Figures are of "
    "validation. The six digits after a table's name tell apart versions of its rewards."
)


class Searches:
    """All that is known of one version of a table.

    Args:
        runs: Its searches.
    """

    def __init__(self, runs: Iterable[Run]) -> None:
        self._runs = list(runs)

    def curves(self, spec: Spec, seeds: int, trials: int) -> Curves | None:
        """Return rewards, a row for each seed from 0, a column for each trial; None if a seed is missing or shorter."""
        found = {
            run.seed: run
            for run in self._runs
            if (run.strategy, run.arguments) == spec and run.trials >= trials and run.seed < seeds
        }
        return curves_of(list(found.values()))[:, :trials] if len(found) == seeds else None


def read_searches(paths: Sequence[Path], tables: Sequence[str]) -> Mapping[str, Searches]:
    """Read results of `benchmarks.strategies`.

    Args:
        paths: Files of JSON lines, compressed if their names end with ``.gz``.
        tables: Names, in the order of the result.

    Returns:
        Searches by name and version of their table, such as ``small 8a0af8``.

    Raises:
        AutoADError: A file cannot be read, or a table is in none.
    """
    runs: dict[str, dict[str, list[Run]]] = {name: defaultdict(list) for name in tables}
    for path in paths:
        for number, row in enumerate(_text(path).splitlines(), start=1):
            run = parse_run(row, f"{path}, line {number}")
            if run.table in runs:
                runs[run.table][f"{run.table} {run.digest[:6]}"].append(run)
    for name, versions in runs.items():
        if not versions:
            raise AutoADError(
                f"no search on {name!r} is recorded. Expected some in {', '.join(map(str, paths))}. Give another of "
                "[[tables]], or other [[searches]]."
            )
    return {label: Searches(group) for versions in runs.values() for label, group in versions.items()}


def too_few(seeds: int, trials: int) -> AutoADError:
    """Return the error of a table or figure of which nothing is left."""
    return AutoADError(
        f"too few searches are recorded for [[seeds={seeds}]] and [[trials={trials}]]. Expected a search of as many "
        "trials with each seed from 0. Give lower numbers, or other [[searches]]."
    )


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AutoADError(
            f"{path} cannot be read: {reason}. Expected searches of python -m benchmarks.strategies. Give others as "
            "[[searches]]."
        ) from None
