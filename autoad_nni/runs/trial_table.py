"""All trials of a search as one flat table: as CSV, or as lines that fit a terminal."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

__all__ = ["as_csv", "as_lines"]

Row = Mapping[str, Any]

_FIRST: Final = ("number", "reward", "verdict", "known", "ms", "front", "seconds")
_GAP: Final = "  "
_MOST: Final = 24


def as_csv(rows: Sequence[Row]) -> str:
    """Return rows as CSV, with a line of names; lists as JSON.

    Args:
        rows: All with the same names (:attr:`autoad_nni.runs.run.Run.rows`).
    """
    content = io.StringIO()
    writer = csv.DictWriter(content, list(rows[0]) if rows else _FIRST, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _plain(value) for name, value in row.items()} for row in rows)
    return content.getvalue()


def _plain(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value


def as_lines(rows: Sequence[Row], width: int, *, metrics: Collection[str] = ()) -> list[str]:
    r"""Return rows as lines of at most ``width`` characters, the best first, and a line on the columns left out.

    Number, reward, verdict, known method, times and the front come first, then what differs between trials; metrics
    come last, as the reward is one of them.

    Args:
        rows: At least one, all with the same names.
        width: Of the terminal.
        metrics: Names of metrics.

    Example:
        >>> rows = [{"number": 0, "reward": 0.5, "verdict": "ok", "distance": "l1", "layers": 2},
        ...     {"number": 1, "reward": 0.75, "verdict": "ok", "distance": "l2", "layers": 2}]
        >>> print(*as_lines(rows, 36), sep="\n")
        number  reward  verdict  distance
             1  0.7500  ok       l2
             0  0.5000  ok       l1
        Left out, as they do not fit: layers
    """
    ranked = sorted(rows, key=lambda row: (row["verdict"] != "ok", -row["reward"], row["number"]))
    columns = {name: [name, *(_cell(row[name]) for row in ranked)] for name in _by_interest(rows, metrics)}
    columns = {name: cells for name, cells in columns.items() if any(cells[1:])}
    shown: dict[str, list[str]] = {}
    left = width
    for name, cells in columns.items():
        needed = max(map(len, cells)) + (len(_GAP) if shown else 0)
        if needed <= left:
            shown[name] = _aligned(cells, right=all(_is_number(row[name]) for row in rows))
            left -= needed
    lines = [_GAP.join(cells).rstrip() for cells in zip(*shown.values(), strict=True)]
    left_out = [name for name in columns if name not in shown]
    return [*lines, f"Left out, as they do not fit: {', '.join(left_out)}"] if left_out else lines


def _by_interest(rows: Sequence[Row], metrics: Collection[str]) -> list[str]:
    def rank(name: str) -> tuple[bool, bool]:
        return name in metrics, len({_cell(row[name]) for row in rows}) == 1

    first = [name for name in _FIRST if name in rows[0]]
    others = [name for name in rows[0] if name not in (*_FIRST, "detail")]  # a sentence
    return [*first, *sorted(others, key=rank)]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
    text = f"{value:,}" if _is_number(value) else str(_plain(value))
    return text if len(text) <= _MOST else f"{text[: _MOST - 3]}..."


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _aligned(cells: Sequence[str], *, right: bool) -> list[str]:
    width = max(map(len, cells))
    return [cell.rjust(width) if right else cell.ljust(width) for cell in cells]
