"""The records that a search leaves: one line per trial, and its best model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, TypeVar

from autoad_nni.data import ImageShape
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.storing import read_lines, read_made, reason_of, storing, write_json
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

__all__ = ["BEST", "HISTORY", "WEIGHTS", "BestRecord", "KnownResult", "Result", "read_history", "remove_best"]

HISTORY: Final = "history.jsonl"
BEST: Final = "best.json"
WEIGHTS: Final = "best.safetensors"

_FORMAT: Final = 3
_Number = TypeVar("_Number", int, float)


def read_history(folder: Path) -> list[TrialRecord]:
    """Read the trials of a search that have ended, in the order of their end; none for a folder without a history.

    Raises:
        AutoADError: If the file was changed by hand.
    """
    return [TrialRecord.from_json(line) for line in read_lines(folder / HISTORY, mend=False)]


def remove_best(folder: Path) -> None:
    """Remove ``best.json`` before its weights are replaced, so that a kill leaves none without the weights it names.

    Raises:
        StorageError: If the disk refuses.
    """
    with storing(folder / BEST):
        (folder / BEST).unlink(missing_ok=True)


@dataclass(frozen=True)
class KnownResult:
    """How the best known method of a search did.

    Attributes:
        trial: The record of its trial.
        test: Every metric on the test set, by name; None if they cannot be computed.
    """

    trial: TrialRecord
    test: Mapping[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """Return the result as plain JSON."""
        return {"trial": self.trial.to_json(), "test": None if self.test is None else dict(self.test)}

    @classmethod
    def from_json(cls, content: Any) -> KnownResult:
        """Read what `to_json` wrote; KeyError, TypeError or AttributeError if it is of another form."""
        return cls(TrialRecord.from_json(content["trial"]), _figures(content["test"]))


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a search ends with; before the end, the defaults.

    Attributes:
        validation: Every metric of the winner on validation, by name.
        interval: Lowest and highest value of its reward there (95 %), had other images been drawn
            (:func:`autoad_nni.metrics.interval.bootstrap_interval`); None also if all of them would have had the same.
        n_validation: How many anomalous images, and how many images, the figures on validation rest on.
        test: Every metric on the test set, by name; None also if they cannot be computed.
        test_detail: Why they cannot be computed; empty otherwise.
        known: The best known method that was tried: its trial's record and its test figures; None also if none was.
        calibration: Scores of images that the winner was not trained on, from which its thresholds come.
        ms: Milliseconds of processor time that the winner takes for one image; None if they were not measured.
    """

    validation: Mapping[str, float] | None = None
    interval: tuple[float, float] | None = None
    n_validation: tuple[int, int] | None = None
    test: Mapping[str, float] | None = None
    test_detail: str = ""
    known: KnownResult | None = None
    calibration: Calibration | None = None
    ms: float | None = None

    @classmethod
    def of(cls, best: BestRecord) -> Result:
        """Return the result that a record holds."""
        return Result(**{each.name: getattr(best, each.name) for each in fields(Result)})


@dataclass(frozen=True, kw_only=True)
class BestRecord(Result):
    """The best model of a search: all that is needed to load it, or to train it again; and the search's result.

    Attributes:
        trial: The record of the best trial.
        members: The records of the trials whose models make the winner, the best first; the best trial alone, or more.
        request: The options of the trials, data options included.
        image_shape: Channels, height and width of the images that it takes.
        search: How many trials ended, how, and how each hypothesis, distance and known method did; experiment,
            strategy, seed.
    """

    trial: TrialRecord
    members: tuple[TrialRecord, ...]
    request: TrialRequest
    image_shape: tuple[int, int, int]
    search: Mapping[str, Any]

    @property
    def sample(self) -> Mapping[str, Any]:
        """Value by label."""
        return self.trial.sample

    @property
    def reward(self) -> float:
        """The winner's reward on validation; that of the best trial before the search has ended."""
        if self.validation is None:
            return self.trial.reward
        return self.validation[self.request.settings.reward]

    def write(self, folder: Path) -> None:
        """Write ``best.json``; StorageError if the disk refuses."""
        write_json(folder / BEST, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON."""
        return {
            "format": _FORMAT,
            "trial": self.trial.to_json(),
            "members": [member.to_json() for member in self.members],
            "validation": None if self.validation is None else dict(self.validation),
            "interval": None if self.interval is None else list(self.interval),
            "n_validation": None if self.n_validation is None else list(self.n_validation),
            # For readers of the file: what all figures are of. It is in the request, too.
            "anomalies": "planted defects" if self.request.task.planted else "real",
            "known": None if self.known is None else self.known.to_json(),
            "calibration": None if self.calibration is None else self.calibration.to_json(),
            # For readers of the file: they follow from the scores, and are not read.
            "thresholds": None if self.calibration is None else list(map(asdict, self.calibration.thresholds())),
            "test": None if self.test is None else dict(self.test),
            "test_detail": self.test_detail,
            "ms": self.ms,
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
            if not content["members"]:
                raise ValueError("members is empty")
            request = TrialRequest.from_options(**content["request"])
            validation = _figures(content["validation"])
            if validation is not None and request.settings.reward not in validation:
                raise ValueError(f"validation has no {request.settings.reward}")
            channels, height, width = ImageShape.from_json(content["image_shape"])
            return cls(
                trial=TrialRecord.from_json(content["trial"]),
                members=tuple(TrialRecord.from_json(member) for member in content["members"]),
                validation=validation,
                interval=_pair(content["interval"], float),
                n_validation=_pair(content["n_validation"], int),
                known=None if content["known"] is None else KnownResult.from_json(content["known"]),
                calibration=None if content["calibration"] is None else Calibration.from_json(content["calibration"]),
                request=request,
                image_shape=(channels, height, width),
                test=_figures(content["test"]),
                test_detail=str(content["test_detail"]),
                ms=None if content.get("ms") is None else float(content["ms"]),  # missing in older ones
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
        if not os.path.exists(path):
            raise AutoADError(
                f"{folder} has no {BEST}. Expected the best model of a search: the output folder of 'autoad-nni "
                "search' with a trial that ended well, or the folder of an experiment that 'autoad-nni launch' ended. "
                "Correct the path."
            )
        return read_made(
            path,
            cls.from_json,
            "what a search wrote. Restore the file; or go on with the search by [[resume=True]], which writes it anew.",
        )


def _figures(content: Any) -> dict[str, float] | None:
    return None if content is None else {str(name): float(value) for name, value in content.items()}


def _pair(content: Any, kind: type[_Number]) -> tuple[_Number, _Number] | None:
    if content is None:
        return None
    first, second = content
    return kind(first), kind(second)
