"""What a prediction for files leaves: a table, the same as JSON, and pictures of the maps."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TextIO

import numpy as np
from filelock import FileLock

from autoad_nni.errors import AutoADError
from autoad_nni.runs.lock import take
from autoad_nni.runs.pictures import picture_files, save_picture
from autoad_nni.runs.prediction import ChosenThreshold, FilePrediction
from autoad_nni.runs.prediction_pictures import PredictionPictures
from autoad_nni.storing import check_new_folder, storing

__all__ = ["PredictionFolder", "check_output"]

_COLUMNS: Final = ("path", "score", "decision", "threshold", "rule", "map", "problem")
_FORMAT: Final = 1
_MAPS: Final = "maps"
_LOCK: Final = ".predictions.lock"
_UNFINISHED_NAME: Final = re.compile(r"\.predictions\.(csv|json)\.\d+\.unfinished")
_ADVICE: Final = "Make room or give write access, and predict again."
# Of a name's bytes: what is added to a picture's must fit into the 255 that a disk allows.
_LONGEST_NAME: Final = 230


def check_output(output: Path, given: Sequence[str]) -> None:
    """Refuse a folder that holds something, or whose pictures would be taken for images the next time.

    What a killed prediction left there is no reason to refuse it: `PredictionFolder` begins anew.

    Args:
        output: For the results.
        given: The images, as the user gave them.

    Raises:
        AutoADError: It is not new and empty, or lies in a folder that is given.
    """
    if not _is_left_behind(output):
        check_new_folder(output)
    for each in given:
        if os.path.isdir(each) and output.resolve().is_relative_to(Path(each).resolve()):
            raise AutoADError(
                f"[[output]] {output} lies among the images of {each}, where its pictures would be taken for images. "
                "Expected a folder outside. Give another [[output]]."
            )


class PredictionFolder:
    """``predictions.csv``, ``predictions.json`` and ``maps/``, within a block.

    Both files grow under other names and get theirs when the block ends, so that what is there is whole. When it ends
    with an error, all is removed; nothing but the files of one batch is in memory.

    Args:
        output: New or empty, but for what a killed prediction left, which is removed; made if it is missing.
        files: All the images.
        threshold: Of the decisions.
        about: What the JSON says besides.
        pictures: Draws the maps; None: no maps are drawn.

    Raises:
        AutoADError: Another process is writing there.
        StorageError: The disk refuses.
    """

    def __init__(
        self,
        output: Path,
        files: Sequence[Path],
        threshold: ChosenThreshold,
        *,
        about: Mapping[str, Any],
        pictures: PredictionPictures | None = None,
    ) -> None:
        self.counts = Counter[str]()
        self.table = output / "predictions.csv"
        self._json, self._maps = output / "predictions.json", output / _MAPS
        self._lock = FileLock(output / _LOCK)
        self._threshold, self._about, self._pictures = threshold, about, pictures
        names = _names_of(files)
        self._names = dict(zip(files, names, strict=True))
        self._drawn = dict(zip(files, picture_files(names), strict=True))
        self._unreadable: list[dict[str, str]] = []

    def __enter__(self) -> PredictionFolder:
        self._made = not os.path.lexists(self.table.parent)
        left = _is_left_behind(self.table.parent)
        with storing(self.table, _ADVICE):
            self.table.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            if left:
                _remove_left_behind(self.table.parent)
            # A name may hold bytes that are no text: its escapes are readable, the file stays UTF-8.
            self._csv_file = _unfinished(self.table).open("w", encoding="utf-8", errors="backslashreplace", newline="")
            self._json_file = _unfinished(self._json).open("w", encoding="utf-8")
            self._rows = csv.DictWriter(self._csv_file, _COLUMNS)
            self._rows.writeheader()
            head = {"format": _FORMAT, **self._about, "threshold": self._threshold._asdict()}
            self._json_file.write(json.dumps(head, indent=2)[:-2] + ',\n  "images": [')
        return self

    def _take_lock(self) -> None:
        take(
            self._lock,
            f"another process writes predictions to {self.table.parent}. Expected a folder of this one alone. Wait for "
            "its end, or give another [[output]].",
        )

    def _end_lock(self) -> None:
        with contextlib.suppress(OSError):
            self._lock.release()
            Path(self._lock.lock_file).unlink(missing_ok=True)

    def add(self, prediction: FilePrediction) -> None:
        """Write an image's row, and its map."""
        row = {"path": str(prediction.path), "score": prediction.score, "decision": prediction.decision}
        if self._pictures is not None:
            drawn = self._drawn[prediction.path]
            save_picture(self._pictures.picture(prediction, self._names[prediction.path]), self._maps / drawn)
            row["map"] = f"{self._maps.name}/{drawn}"
        comma = "," if self.counts["good"] + self.counts["defective"] else ""
        self.counts[prediction.decision] += 1
        self._write_row(row)
        with storing(self._json, _ADVICE):
            self._json_file.write(f"{comma}\n    {json.dumps(row)}")

    def add_unreadable(self, path: Path, problem: str) -> None:
        """Write the row of a file that is no image."""
        self.counts["unreadable"] += 1
        self._unreadable.append({"path": str(path), "problem": problem})
        self._write_row({"path": str(path), "decision": "unreadable", "problem": problem})

    def _write_row(self, row: Mapping[str, Any]) -> None:
        shown = {"threshold": self._threshold.value, "rule": self._threshold.rule, **row}
        with storing(self.table, _ADVICE):
            self._rows.writerow({name: _short(value) for name, value in shown.items()})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        except BaseException:
            self._remove()
            raise
        if error is not None:
            self._remove()

    def _finish(self) -> None:
        tail = {"unreadable": self._unreadable, "counts": {each: self.counts[each] for each in _DECISIONS}}
        with storing(self.table.parent, _ADVICE):
            self._json_file.write("\n  ]," + json.dumps(tail, indent=2)[1:] + "\n")
            for file in (self._csv_file, self._json_file):
                _close_on_disk(file)
            for path in (self._json, self.table):
                os.replace(_unfinished(path), path)
        self._end_lock()

    def _remove(self) -> None:
        """Leave the folder as it was."""
        for file, path in ((self._csv_file, self.table), (self._json_file, self._json)):
            with contextlib.suppress(OSError):
                file.close()
            with contextlib.suppress(OSError):
                _unfinished(path).unlink(missing_ok=True)
        shutil.rmtree(self._maps, ignore_errors=True)
        self._end_lock()
        if self._made:
            with contextlib.suppress(OSError):
                self.table.parent.rmdir()


_DECISIONS: Final = ("good", "defective", "unreadable")


def _short(value: Any) -> Any:
    """A number in as few digits as tell it from all others of float32, as scores are: at most 9."""
    fits = isinstance(value, float) and abs(value) <= np.finfo(np.float32).max
    return str(np.float32(value)) if fits else value


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.unfinished")


def _is_left_behind(folder: Path) -> bool:
    """Whether a folder holds what a killed prediction leaves, and nothing else; or what one is writing now."""
    names = {path.name for path in folder.iterdir()} if os.path.isdir(folder) else set()
    hidden = {name for name in names if name == _LOCK or _UNFINISHED_NAME.fullmatch(name)}
    return bool(hidden) and names - hidden <= {_MAPS, "predictions.json"}


def _remove_left_behind(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name == _MAPS:
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink(missing_ok=True)


def _close_on_disk(file: TextIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()


def _names_of(files: Sequence[Path]) -> list[str]:
    """The files' paths below the folder that they share."""
    paths = [os.path.abspath(file) for file in files]
    shared = os.path.commonpath([os.path.dirname(path) for path in paths])
    return ["/".join(map(_fitting, os.path.relpath(path, shared).split(os.sep))) for path in paths]


def _fitting(name: str) -> str:
    return os.fsdecode(os.fsencode(name)[-_LONGEST_NAME:])
