"""Opens and reads files that others may have changed: regular files only, of bounded size; JSON that holds no traps."""

from __future__ import annotations

import errno
import json
import math
import os
import stat
from pathlib import Path
from typing import Any, BinaryIO, Final

__all__ = ["check_size", "is_regular", "open_regular", "parse_json", "read_bytes", "read_json"]

_MAX_JSON_BYTES: Final = 2**25
"""Of a JSON file; best.json has some 100 kB, scores.json of 100,000 images 5 MB."""

_MAX_DEPTH: Final = 50
_MAX_VALUES: Final = 1_000_000
_MAX_INT: Final = 2**1023  # a double holds it


def is_regular(path: Path | str) -> bool:
    """Whether a path is a file that can be read to its end, not a pipe, which would wait for its writer.

    Raises:
        OSError: There is nothing there.
    """
    return stat.S_ISREG(os.stat(path).st_mode)


def open_regular(path: Path) -> BinaryIO:
    """Open a regular file for reading.

    Raises:
        OSError: There is none, or something else: a folder, a pipe, a socket, a device.
    """
    if not is_regular(path):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path.open("rb")


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """Read a regular file.

    Raises:
        OSError: As `open_regular`, or it is larger.
    """
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise OSError(errno.EFBIG, f"{size:,} bytes are too many, at most {max_bytes:,} are read", str(path))
        return file.read()


def read_json(path: Path) -> Any:
    """Read a JSON file as `parse_json` does.

    Raises:
        OSError: There is none.
        ValueError: It is no such JSON, or too large.
    """
    return parse_json(read_bytes(path, _MAX_JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """Parse JSON whose numbers are finite as doubles, and which is not nested so deep that code fails on it.

    Raises:
        ValueError: It is something else.

    Example:
        >>> parse_json('{"a": [1, 2.5]}')
        {'a': [1, 2.5]}
        >>> parse_json("[1e999]")
        Traceback (most recent call last):
        ValueError: it holds the number inf
    """
    try:
        content = json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    _check(content, _MAX_DEPTH)
    return content


def check_size(content: Any) -> None:
    """Raise ValueError if content with parts that stand in several places, as YAML has them, is large or endless."""
    left = [(content, _MAX_DEPTH)]
    for _ in range(_MAX_VALUES):
        if not left:
            return
        value, depth = left.pop()
        if isinstance(value, dict | list):
            if not depth:
                raise ValueError("it is nested too deep")
            left += [(each, depth - 1) for each in (value.values() if isinstance(value, dict) else value)]
    raise ValueError("it holds too much, perhaps by its aliases")


def _check(content: Any, depth: int) -> None:
    if isinstance(content, dict | list):
        if not depth:
            raise ValueError("it is nested too deep")
        for each in content.values() if isinstance(content, dict) else content:
            _check(each, depth - 1)
    elif isinstance(content, float) and not math.isfinite(content):
        raise ValueError(f"it holds the number {content}")
    elif isinstance(content, int) and abs(content) > _MAX_INT:
        raise ValueError("it holds a whole number that is too large")
