"""The winner's scores of the validation and test images, kept so that nothing need read the images again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from autoad_nni.data import LabelledImages
from autoad_nni.models.scoring import Prediction
from autoad_nni.storing import read_made, write_json

__all__ = ["SCORES", "ImageScores", "WinnerScores"]

SCORES: Final = "scores.json"

_FORMAT: Final = 1


@dataclass(frozen=True)
class ImageScores:
    """Scores of images.

    Attributes:
        names: Of the images; those of a set without names are numbered.
        labels: 1 for a defect, or an anomalous image.
        scores: Higher is more anomalous.

    Shape:
        All ``(n,)``.
    """

    names: tuple[str, ...]
    labels: npt.NDArray[np.uint8]
    scores: npt.NDArray[np.float64]

    @classmethod
    def of(cls, images: LabelledImages, prediction: Prediction) -> ImageScores:
        """Take the scores of a prediction of images."""
        labels, scores = images.labels.cpu().numpy(), prediction.score.cpu().numpy().astype(np.float64)
        return cls(images.names or tuple(f"{i:06d}" for i in range(len(scores))), labels, scores)

    def of_class(self, label: int) -> npt.NDArray[np.float64]:
        """Return the scores of one class."""
        of_class: npt.NDArray[np.float64] = self.scores[self.labels == label]
        return of_class

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain JSON."""
        return {"names": list(self.names), "labels": self.labels.tolist(), "scores": self.scores.tolist()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> ImageScores:
        """Read what `to_json` wrote; KeyError, TypeError or ValueError if it is of another form."""
        labels, scores = np.asarray(content["labels"], np.uint8), np.asarray(content["scores"], np.float64)
        names = tuple(map(str, content["names"]))
        if not (labels.shape == scores.shape == (len(names),)):
            raise ValueError(
                f"names, labels and scores have the shapes ({len(names)},), {labels.shape}, {scores.shape}"
            )
        if labels.max(initial=0) > 1 or not np.isfinite(scores).all():
            raise ValueError("labels other than 0 and 1, or scores that are not finite")
        return cls(names, labels, scores)


@dataclass(frozen=True, kw_only=True)
class WinnerScores:
    """What the winner of a search scored.

    Attributes:
        members: Numbers of the trials whose models make it.
        validation: Of the validation images.
        test: Of the test images; None if the winner cannot score them.
    """

    members: tuple[int, ...]
    validation: ImageScores
    test: ImageScores | None

    def write(self, folder: Path) -> None:
        """Write ``scores.json``; StorageError if the disk refuses."""
        content = {
            "format": _FORMAT,
            "members": list(self.members),
            "validation": self.validation.to_json(),
            "test": None if self.test is None else self.test.to_json(),
        }
        write_json(folder / SCORES, content)

    @classmethod
    def read(cls, folder: Path) -> WinnerScores | None:
        """Read what `write` wrote; None for a folder without it.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        try:
            return read_made(
                folder / SCORES, cls._from_json, "the winner's scores, as JSON. Restore the file, or remove it."
            )
        except FileNotFoundError:
            return None

    @classmethod
    def _from_json(cls, content: Any) -> WinnerScores:
        if content["format"] != _FORMAT:
            raise ValueError(f"its format is {content['format']!r}, not {_FORMAT}")
        return cls(
            members=tuple(map(int, content["members"])),
            validation=ImageScores.from_json(content["validation"]),
            test=None if content["test"] is None else ImageScores.from_json(content["test"]),
        )
