"""What a report is made of: all that a run folder holds, also that of a search that goes on or was stopped."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from autoad_nni.metrics.threshold import Calibration
from autoad_nni.runs.competing import read_competitors
from autoad_nni.runs.records import BEST, BestRecord
from autoad_nni.runs.run import Run
from autoad_nni.runs.scores import WinnerScores
from autoad_nni.runs.start import RunStart
from autoad_nni.storing import read_lines
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest

__all__ = ["ReportData", "Words", "metric_name", "reward_name"]

_METRICS = {
    "auroc": "AUROC",
    "aupr_in": "AUPR-In",
    "aupr_out": "AUPR-Out",
    "pixel_auroc": "pixel AUROC",
    "aupro": "AUPRO",
    "rpro": "RPRO",
    "image_auroc": "image AUROC",
}
# Where a search in one process and nnictl's dispatcher keep the figures of a strategy.
_ITERATIONS = (Path("state", "iterations.jsonl"), Path("checkpoint", "iterations.jsonl"))


@dataclass(frozen=True)
class Words:
    """What the two kinds of images are called."""

    defect: str
    defects: str
    good: str


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """What is known of a search.

    Attributes:
        folder: Of the search.
        records: Its trials, in the order in which they ended.
        best: Its winner; None while no trial ended well.
        scores: What the winner scored; None before the end of the search.
        start: What it began with; None for an experiment of plain nnictl.
        iterations: Figures of the strategy, by name, for each of its iterations.
        competitors: What was trained and tested beside it (`autoad_nni.runs.competing.read_competitors`).
    """

    folder: Path
    records: Sequence[TrialRecord]
    best: BestRecord | None
    scores: WinnerScores | None
    start: RunStart | None
    iterations: Sequence[Mapping[str, Any]]
    competitors: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, folder: Path, records: Sequence[TrialRecord] | None = None) -> ReportData:
        """Read a run folder; nothing in it is changed.

        Args:
            folder: Of a search, or of an NNI experiment.
            records: The trials, if they are known from elsewhere.

        Raises:
            AutoADError: If it holds no search, or a file was changed by hand.
        """
        if records is None:
            records = Run(folder).records
        best = BestRecord.read(folder) if os.path.exists(folder / BEST) else None
        scores = WinnerScores.read(folder)
        is_of_winner = (
            best is not None
            and best.validation is not None
            and scores is not None
            and scores.members == tuple(member.number for member in best.members)
        )
        return cls(
            folder=folder,
            records=records,
            best=best,
            scores=scores if is_of_winner else None,
            start=RunStart.read(folder),
            iterations=[line for path in _ITERATIONS for line in read_lines(folder / path, mend=False)],
            competitors=read_competitors(folder),
        )

    @property
    def has_ended(self) -> bool:
        """Whether the winner was evaluated."""
        return self.best is not None and self.best.validation is not None

    @property
    def request(self) -> TrialRequest | None:
        """The options of the trials."""
        if self.best is not None:
            return self.best.request
        return None if self.start is None else self.start.request

    @property
    def reward(self) -> str:
        """Name of the metric that is the reward."""
        return "reward" if self.request is None else self.request.settings.reward

    @property
    def reward_name(self) -> str:
        """What the reward is called in texts."""
        return metric_name("reward") if self.request is None else reward_name(self.request)

    @property
    def about(self) -> Mapping[str, Any]:
        """Experiment, strategy and seed, as far as they are known."""
        if self.best is not None:
            return self.best.search
        return {} if self.start is None else self.start.metadata

    @property
    def words(self) -> Words:
        """What the two kinds of images are called."""
        if self.request is not None and self.request.task.abnormal:
            return Words("anomalous image", "anomalous images", "normal images")
        planted = "planted " if self.request is not None and self.request.task.planted else ""
        return Words(f"{planted}defect", f"{planted}defects", "good images")

    @cached_property
    def ok(self) -> list[TrialRecord]:
        """The trials that ended well, the best first."""
        return sorted((each for each in self.records if each.ok), key=lambda each: (-each.reward, each.number))

    @property
    def calibration(self) -> Calibration | None:
        """What thresholds come from; None before the end of the search."""
        return None if self.best is None else self.best.calibration


def reward_name(request: TrialRequest) -> str:
    """Return what the reward of trials is called in texts."""
    return ("planted " if request.task.planted else "") + metric_name(request.settings.reward)


def metric_name(name: str) -> str:
    """Return how a metric is written in text.

    Example:
        >>> metric_name("aupr_in"), metric_name("reward")
        ('AUPR-In', 'reward')
    """
    return _METRICS.get(name, name)
