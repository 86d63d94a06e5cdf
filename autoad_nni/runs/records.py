"""The records that a search leaves: one line per trial, and its best model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoad_nni.errors import AutoADError
from autoad_nni.storing import read_lines, reason_of, write_json
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

__all__ = ["BEST", "HISTORY", "WEIGHTS", "BestRecord", "read_history"]

HISTORY: Final = "history.jsonl"
BEST: Final = "best.json"
WEIGHTS: Final = "best.safetensors"

_FORMAT: Final = 1


def read_history(folder: Path) -> list[TrialRecord]:
    """Read the trials of a search that have ended, in the order of their end; none for a folder without a history.

    Raises:
        AutoADError: If the file was changed by hand.
    """
    return [TrialRecord.from_json(line) for line in read_lines(folder / HISTORY, mend=False)]


@dataclass(frozen=True, kw_only=True)
class BestRecord:
    """The best model of a search: all that is needed to load it, or to train it again.

    Attributes:
        trial: The record of its trial.
        request: The options of the trials, data options included.
        image_shape: Channels, height and width of the images that it takes.
        test: Every metric on the test set, by name; None before the search has ended, or if they cannot be computed.
        test_detail: Why they cannot be computed; empty otherwise.
        search: How many trials ended, how, and how each hypothesis, distance and known method did; experiment,
            strategy, seed.
    """

    trial: TrialRecord
    request: TrialRequest
    image_shape: tuple[int, int, int]
    test: Mapping[str, float] | None = None
    test_detail: str = ""
    search: Mapping[str, Any]

    @property
    def sample(self) -> Mapping[str, Any]:
        """Value by label."""
        return self.trial.sample

    @property
    def reward(self) -> float:
        """Its reward on validation."""
        return self.trial.reward

    def write(self, folder: Path) -> None:
        """Write ``best.json``; StorageError if the disk refuses."""
        write_json(folder / BEST, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return {
            "format": _FORMAT,
            "trial": self.trial.to_json(),
            "test": None if self.test is None else dict(self.test),
            "test_detail": self.test_detail,
            "image_shape": list(self.image_shape),
            "request": self.request.options(),
            "search": dict(self.search),
        }

    @classmethod
    def from_json(cls, content: Any) -> BestRecord:
        """Read what `to_json` wrote.

        Raises:
            AutoADError: If it is of another form.
        """
        try:
            if not isinstance(content, dict):
                raise ValueError(f"it holds a {type(content).__name__}")
            if content["format"] != _FORMAT:
                raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
            if len(content["image_shape"]) != 3:
                raise ValueError("image_shape has not three numbers")
            channels, height, width = (int(side) for side in content["image_shape"])
            test = content["test"]
            return cls(
                trial=TrialRecord.from_json(content["trial"]),
                request=TrialRequest.from_options(**content["request"]),
                image_shape=(channels, height, width),
                test=None if test is None else {str(name): float(value) for name, value in test.items()},
                test_detail=str(content["test_detail"]),
                search=dict(content["search"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise AutoADError(reason_of(error)) from None

    @classmethod
    def read(cls, folder: Path) -> BestRecord:
        """Read ``best.json`` of a search.

        Raises:
            AutoADError: If the folder holds none, or one that was changed by hand.
        """
        path = folder / BEST
        if not path.exists():
            raise AutoADError(
                f"{folder} has no {BEST}. Expected the best model of a search: the output folder of 'autoad-nni "
                "search' with a trial that ended well, or the folder of an experiment that 'autoad-nni launch' ended. "
                "Correct the path."
            )
        try:
            return cls.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, AutoADError) as error:
            raise AutoADError(
                f"{path} cannot be read: {reason_of(error)}. Expected what a search wrote. Restore the file; or go on "
                "with the search by [[resume=True]], which writes it anew."
            ) from None
