"""Writes files so that a reader sees the old or the new one, and names what the disk refused."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from autoad_nni.errors import AutoADError
from autoad_nni.opening import parse_json, read_bytes, read_json

__all__ = [
    "StorageError",
    "append_bytes",
    "append_line",
    "check_new_folder",
    "file_changed",
    "new_folder",
    "read_lines",
    "read_made",
    "reason_of",
    "remove_unfinished",
    "replace_file",
    "replace_lines",
    "storing",
    "write_json",
]

_T = TypeVar("_T")

_UNFINISHED = ".unfinished"
_MAX_LINES_BYTES = 2**30  # of some 2 kB for each trial


class StorageError(AutoADError):
    """A result cannot be written: no fault of the model that was to be recorded, so it must not count as its end."""


@contextlib.contextmanager
def storing(
    path: Path, advice: str = "Make room or give write access; --resume goes on with a search."
) -> Iterator[None]:
    """Turn what goes wrong on the disk within the block into a `StorageError`.

    Args:
        path: What is written; named in the message.
        advice: What to do.

    Example:
        >>> with storing(Path("/best.json")):
        ...     raise OSError(28, "No space left on device")
        Traceback (most recent call last):
        autoad_nni.storing.StorageError: /best.json cannot be written: No space left on device. Expected to keep \
results there. Make room or give write access; --resume goes on with a search.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise StorageError(f"{path} cannot be written: {reason}. Expected to keep results there. {advice}") from None


def replace_file(path: Path, content: bytes) -> None:
    """Write a file so that a reader, also after a kill or a power cut, sees the old one or the new one.

    Raises:
        OSError: If the disk refuses; the old file stays, and no other one is left.
    """
    # Of a name as long as the disk allows only the beginning, or what is added would be too much.
    temporary = path.with_name(f".{path.name[:40]}.{os.getpid()}{_UNFINISHED}")
    try:
        # A new file, never what a link of that name leads to.
        temporary.unlink(missing_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def check_new_folder(path: Path, argument: str = "output") -> None:
    """Raise AutoADError if a folder cannot be made there because something is there already; an empty one may be.

    Args:
        path: Of the folder.
        argument: What it was given as; for the message.

    Raises:
        StorageError: It may not be read.
    """
    if os.path.lexists(path) and not os.path.isdir(path):
        raise AutoADError(f"[[{argument}]] {path} is a file. Expected a folder. Give another [[{argument}]].")
    with storing(path, f"Give another [[{argument}]]."):
        is_in_use = os.path.isdir(path) and any(path.iterdir())
    if is_in_use:
        raise AutoADError(
            f"[[{argument}]] {path} holds files. Expected a new or empty folder. Give another [[{argument}]]."
        )


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Make a folder that appears as a whole: after a kill or a power cut it is there with all of its files, or not.

    Files are written into the folder that is yielded, which lies beside it. It becomes ``path`` when the block ends
    well, and vanishes otherwise; a kill leaves it there, hidden.

    Args:
        path: Missing, or an empty folder.

    Raises:
        StorageError: If the disk refuses, or another process made the folder in the meantime.
    """
    final = Path(os.path.abspath(path))
    temporary = final.with_name(f".{final.name[:40]}.{os.getpid()}{_UNFINISHED}")
    with storing(path, "Make room, or give another folder."):
        shutil.rmtree(temporary, ignore_errors=True)  # of a process that was killed and had this number
        try:
            temporary.mkdir(parents=True)
            yield temporary
            for written in (*temporary.rglob("*"), temporary):
                _to_disk(written)
            os.replace(temporary, final)
            _to_disk(final.parent)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Wait until a file, or the list of a folder's files, is on disk."""
    if os.name == "nt" and path.is_dir():
        return  # Windows opens no folders
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(folder: Path) -> None:
    """Remove what a killed `replace_file` left in a folder and below; nobody else may be writing there.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Path(folder, ".best.json.4711.unfinished").touch()
        ...     remove_unfinished(Path(folder))
        ...     list(Path(folder).iterdir())
        []
    """
    for path in folder.rglob(f".*{_UNFINISHED}"):
        with contextlib.suppress(OSError):
            path.unlink()


def append_bytes(path: Path, content: bytes) -> None:
    """Append to a file and wait until it is on disk.

    Raises:
        OSError: If the disk refuses; the file then ends as before.
    """
    end = path.stat().st_size if path.exists() else 0
    try:
        with path.open("ab") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        with contextlib.suppress(OSError):
            os.truncate(path, end)
        raise


def read_lines(path: Path, *, mend: bool = True) -> list[dict[str, Any]]:
    """Read a JSONL file and drop a torn last line, the trace of a kill in mid-write.

    Args:
        path: The file; missing means empty.
        mend: Also cut a torn tail off the file, so that appending goes on cleanly; not while another process writes.

    Raises:
        AutoADError: If a line other than the last is no JSON object.
    """
    try:
        raw = read_bytes(path, _MAX_LINES_BYTES)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise AutoADError(
            f"{path} cannot be read: {reason_of(error)}. Expected a file of lines. Give read access to it."
        ) from None
    whole, torn = raw.rpartition(b"\n")[0], raw.rpartition(b"\n")[2]
    if torn and mend:
        with storing(path):
            os.truncate(path, len(raw) - len(torn))
    events: list[dict[str, Any]] = []
    for number, line in enumerate(whole.splitlines(), 1):
        try:
            event = parse_json(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise file_changed(path, number, "no JSON object", "one JSON object a line")
        events.append(event)
    return events


def append_line(path: Path, event: Mapping[str, Any]) -> None:
    """Append one JSON line and wait until it is on disk; StorageError if the disk refuses."""
    with storing(path):
        append_bytes(path, json.dumps(event).encode() + b"\n")


def replace_lines(path: Path, events: Iterable[Mapping[str, Any]]) -> None:
    """Write a JSONL file whole, as `write_json` does.

    Raises:
        StorageError: If the disk refuses.
    """
    with storing(path):
        replace_file(path, b"".join(json.dumps(event).encode() + b"\n" for event in events))


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader, also after a kill, sees the old file or the new one.

    Raises:
        StorageError: If the disk refuses.
    """
    with storing(path):
        replace_file(path, (json.dumps(content, indent=2) + "\n").encode())


def reason_of(error: Exception) -> str:
    """Return why a file cannot be read, in one line and without a full stop.

    Example:
        >>> reason_of(KeyError("request")), reason_of(OSError(13, "Permission denied"))
        ("'request' is missing", 'Permission denied')
    """
    if isinstance(error, KeyError):
        return f"{error.args[0]!r} is missing"
    if isinstance(error, TypeError | AttributeError):
        return "a value has another type"
    return getattr(error, "strerror", None) or " ".join(str(error).split()).rstrip(".")


def file_changed(path: Path, number: int, got: str, expected: str) -> AutoADError:
    """Return the error for line ``number`` of a file that is not as it was written."""
    return AutoADError(
        f"{path}, line {number} is {got}. Expected {expected}. "
        "The file was changed by hand: restore it, or start anew with another output folder."
    )


def read_made(path: Path, make: Callable[[Any], _T], expected: str) -> _T:
    """Read a JSON file of which something is made.

    Args:
        path: Of the file.
        make: What makes it of the content; raises what wrong content causes.
        expected: What the file should hold, and what to do; for the message.

    Raises:
        FileNotFoundError: There is no such file.
        AutoADError: It cannot be read, or was changed by hand.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "one.json")
        ...     _ = path.write_text("[1]")
        ...     read_made(path, len, "a list. Restore the file.")
        1
    """
    try:
        return make(read_json(path))
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, AutoADError) as error:
        raise AutoADError(f"{path} cannot be read: {reason_of(error)}. Expected {expected}") from None
