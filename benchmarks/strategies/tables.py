"""Reads the recorded tables: one line of JSON per model that was trained."""

from __future__ import annotations

import gzip
import hashlib
import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autoad_nni.errors import AutoADError

__all__ = ["Key", "Line", "Table", "find_table", "key_of", "read_again", "read_table"]

Key = tuple[tuple[str, Any], ...]
_RECORD = "Record it anew with: python -m benchmarks.strategies.record"


@dataclass(frozen=True)
class Line:
    """One model.

    Attributes:
        sample: A value for every label.
        reward: Reward of its trial; 0 if it was rejected.
        verdict: ``ok``, or why it was rejected.
        macs: Multiply-adds for one image.
        seed: Of its weights and of the order of its images.
        proposer: The strategy that proposed the model; empty if it was drawn uniformly.
    """

    sample: Mapping[str, Any]
    reward: float
    verdict: str
    macs: int
    seed: int = 0
    proposer: str = ""


@dataclass(frozen=True)
class Table:
    """The lines of one file.

    Attributes:
        path: The file.
        lines: At least one; all have the same labels, and no sample occurs twice with one seed.
        digest: Of the text of the file, compressed or not.
    """

    path: Path
    lines: tuple[Line, ...]
    digest: str

    @property
    def name(self) -> str:
        """The name of the file without its endings."""
        return self.path.name.partition(".")[0]

    @cached_property
    def search_space(self) -> dict[str, tuple[Any, ...]]:
        """The distinct values of each label; their order does not depend on that of the lines."""
        labels = self.lines[0].sample
        return {label: tuple(sorted({line.sample[label] for line in self.lines}, key=_order)) for label in labels}


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value  # numbers and words do not compare


def key_of(sample: Mapping[str, Any]) -> Key:
    """Return a hashable form of a sample that does not depend on the order of its labels.

    Example:
        >>> key_of({"kernel": 3, "distance": "l1"})
        (('distance', 'l1'), ('kernel', 3))
    """
    return tuple(sorted(sample.items()))


def read_again(table: Table) -> dict[int, dict[Key, float]]:
    """Return the rewards of models that were trained again, by seed and sample; empty if there is no such file.

    They are in ``NAME.again.jsonl`` beside the table, compressed or not, so that answers do not change with them.

    Raises:
        AutoADError: As `read_table`.
    """
    path = find_table(table.path.parent, f"{table.name}.again")
    rewards: dict[int, dict[Key, float]] = {}
    for line in () if path is None else read_table(path).lines:
        rewards.setdefault(line.seed, {})[key_of(line.sample)] = line.reward
    return rewards


def find_table(folder: Path, name: str) -> Path | None:
    """Return the path of a table in a folder, the compressed one if there are two; None if there is none."""
    return next((path for ending in ("jsonl.gz", "jsonl") if (path := folder / f"{name}.{ending}").is_file()), None)


def read_table(path: Path) -> Table:
    """Read a table.

    Args:
        path: A file of JSON lines, compressed if its name ends with ``.gz``.

    Raises:
        AutoADError: If the file cannot be read, is empty, or has a wrong line.
    """
    text = _text(path)
    lines: list[Line] = []
    seen: dict[tuple[Key, int], int] = {}
    for number, row in enumerate(text.splitlines(), start=1):
        line = _parse(row, f"{path}, line {number}")
        if lines and line.sample.keys() != lines[0].sample.keys():
            raise AutoADError(f"{path}, line {number} has other labels than line 1. Expected the same. {_RECORD}")
        first = seen.setdefault((key_of(line.sample), line.seed), number)
        if first != number:
            raise AutoADError(f"{path}, line {number} repeats the sample of line {first}. Expected it once. {_RECORD}")
        lines.append(line)
    if not lines:
        raise AutoADError(f"{path} is empty. Expected a line of JSON per model. {_RECORD}")
    return Table(path, tuple(lines), hashlib.sha256(text.encode()).hexdigest()[:12])


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        return (gzip.decompress(content) if path.suffix == ".gz" else content).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:  # a truncated file gives an EOFError
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())
        raise AutoADError(f"{path} cannot be read: {reason}. Expected a recorded table. {_RECORD}") from None


def _parse(row: str, where: str) -> Line:
    try:
        content = json.loads(row)
        sample, reward = content["sample"], content["default"]
        seed, proposer = int(content.get("seed", 0)), str(content.get("proposer", ""))
        line = Line(sample, float(reward), str(content["verdict"]), int(content["macs"]), seed, proposer)
        right = isinstance(reward, int | float) and math.isfinite(line.reward) and bool(sample)
        right = right and all(type(value) in (str, int) for value in sample.values())
    except (ValueError, KeyError, TypeError, AttributeError):
        right = False
    if not right:
        shown = row if len(row) <= 60 else f"{row[:60]}..."
        raise AutoADError(
            f"{where} is {shown!r}. Expected JSON with sample (words and whole numbers), default, verdict and macs. "
            f"{_RECORD}"
        )
    return line
