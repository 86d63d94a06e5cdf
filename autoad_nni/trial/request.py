"""What the words of a ``trialCommand`` say."""

from __future__ import annotations

from dataclasses import dataclass, field

from autoad_nni.data import TaskOptions
from autoad_nni.trial.run import TrialSettings

__all__ = ["TrialRequest"]


@dataclass(frozen=True, kw_only=True)
class TrialRequest:
    """What the words of a ``trialCommand`` say: which images, how to train, which space a sample is from.

    ``weight_sharing``: the trials of a search start from one another's weights. A sample run by hand has no others.
    """

    task: TaskOptions
    settings: TrialSettings = field(default_factory=TrialSettings)
    weight_sharing: bool = False

    @property
    def data_sets(self) -> tuple[str, ...]:
        """Names of the normal and the abnormal data sets."""
        return tuple(dict.fromkeys((self.task.data, *self.task.abnormal)))
