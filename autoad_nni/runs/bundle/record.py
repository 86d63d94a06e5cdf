"""What a model is made of besides its weights, whether it lies in a run folder or in a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autoad_nni.data import ImageShape
from autoad_nni.metrics.threshold import Calibration
from autoad_nni.runs.records import BestRecord
from autoad_nni.trial.plugins import PluginVersions, check_plugins
from autoad_nni.trial.settings import TrialSettings

__all__ = ["Member", "ModelRecord"]


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the models that predict together.

    Attributes:
        number: Of its trial; its weights are named after it.
        sample: Value by label.
        reading: How map and score come from the model; empty for windows.
        plugins: Which plugins it takes, in which version, and which weights of an extractor.
    """

    number: int
    sample: Mapping[str, Any]
    reading: str
    plugins: PluginVersions


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    """What a model is made of besides its weights.

    Attributes:
        members: The models that predict together, the best first.
        image_shape: Of the images that the model takes.
        settings: Search space, scoring, memory, and where the weights of an extractor come from; nothing else counts.
        calibration: Scores from which thresholds come; None where the search has not ended.
    """

    members: tuple[Member, ...]
    image_shape: ImageShape
    settings: TrialSettings
    calibration: Calibration | None

    @classmethod
    def of(cls, best: BestRecord) -> ModelRecord:
        """Return what the record of a search says of its winner."""
        return cls(
            members=tuple(
                Member(
                    number=trial.number,
                    sample=trial.sample,
                    reading=trial.reading,
                    plugins={key: value for key, value in trial.plugins.items() if not key.startswith("data set ")},
                )
                for trial in best.members
            ),
            image_shape=ImageShape(*best.image_shape),
            settings=best.request.settings,
            calibration=best.calibration,
        )

    def with_weights(self, weights: Path | None) -> ModelRecord:
        """Return the record with another file of an extractor's weights; unchanged for None."""
        if weights is None:
            return self
        return replace(self, settings=replace(self.settings, weights=weights.expanduser()))

    def check_plugins(self) -> None:
        """Raise AutoADError unless every plugin is installed in the version with which the model was trained."""
        check_plugins({key: value for member in self.members for key, value in member.plugins.items()})
