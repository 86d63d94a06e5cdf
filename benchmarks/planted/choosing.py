"""What planted defects choose: the reading of each model and the model, by a reward that is a weighted mean."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from autoad_nni.runs.winner import members_of
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.verdicts import Verdict
from benchmarks.planted.recorded import NAMES, Floats, Planted, Recorded, beaten

__all__ = [
    "DEFECTS",
    "READINGS",
    "SIZES",
    "SOURCES",
    "STRENGTHS",
    "WAYS",
    "Chosen",
    "Setting",
    "choose",
    "few",
    "planted_reward",
    "settings_of",
    "winner",
]

STRENGTHS: Final = {"any": (0.0, 1.0), "faint": (0.0, 0.5), "clear": (0.5, 1.0)}
SIZES: Final = {"usual": (0.3, 2.0), "small": (0.3, 1.0), "large": (1.0, 2.0)}
SOURCES: Final = {"object": ("object",), "anywhere": ("anywhere",), "whole": ("whole",), "both": ("object", "whole")}
"""Passes whose rewards are averaged; ``both`` is what the product plants."""
READINGS: Final = ("any", "onesided")
DEFECTS: Final = (3, 5, 10, 19)
# How many planted ones count as one real one is worth: weight of the real reward k / (k + worth).
WAYS: Final = {"real": 0.0, "mean of both": None, "k / (k + 5)": 5.0, "k / (k + 20)": 20.0, "planted": np.inf}
_DRAWS: Final = 50


class Chosen(NamedTuple):
    """What a reward chooses.

    Attributes:
        reward: Of each model by its best reading, ``(models,)``.
        test: AUROC of that reading on test, ``(models,)``.
        reading: Its index, ``(models,)``.
    """

    reward: Floats
    test: Floats
    reading: npt.NDArray[np.int64]

    @property
    def pick(self) -> float:
        """Test figure of the model with the best reward; of equals, their mean."""
        return float(self.test[self.reward >= self.reward.max() - 1e-9].mean())


def choose(reward: Floats, test: Floats) -> Chosen:
    """Choose each model's reading.

    Args:
        reward: Of models and readings, nan where there is none, ``(models, readings)``.
        test: Their figures on test, ``(models, readings)``.
    """
    best = np.nanargmax(reward, 1)
    rows = np.arange(len(reward))
    return Chosen(reward[rows, best], test[rows, best], best)


def winner(recorded: Recorded, chosen: Chosen, *, planted: bool = False) -> float:
    """Test figure of the mean of the best models, as a search makes it; with ``planted``, of known methods, too."""
    records = [
        TrialRecord(number=i, sample={}, verdict=Verdict.OK, reward=reward, known=str(model["name"]))
        for i, (reward, model) in enumerate(zip(chosen.reward.tolist(), recorded.models, strict=True))
    ]
    number = TrialRequest.from_options(data="folder").members
    members = [record.number for record in members_of(records, number, with_trusted=planted)]
    mean = recorded.units[members, chosen.reading[members]].mean(0)[None]
    return float(beaten(mean[:, recorded.n_good :], mean[:, : recorded.n_good]).mean())


@dataclass(frozen=True)
class Setting:
    """Which planted images make the reward.

    Attributes:
        source: One of `SOURCES`.
        kinds: Of the generators; empty for all.
        size: One of `SIZES`; of local defects.
        strength: One of `STRENGTHS`; of local defects.
        readings: One of `READINGS`: those that may be chosen.
    """

    source: str
    kinds: tuple[str, ...] = ()
    size: str = "usual"
    strength: str = "any"
    readings: str = "any"

    @property
    def name(self) -> str:
        """As it is recorded."""
        return f"{self.source} {'+'.join(self.kinds) or 'all'} {self.size} {self.strength} {self.readings}"


def settings_of(recorded: Sequence[Recorded]) -> Iterator[Setting]:
    """Give what is tried: all kinds, each half of them, at each size and strength; and each kind alone."""
    kinds_of = {
        source: sorted({str(kind) for each in recorded for kind in each.planted[source].about.kind})
        for source in recorded[0].planted
    }
    for source, passes in SOURCES.items():
        if all(each in kinds_of for each in passes):
            halves = (tuple(kind for each in passes for kind in kinds_of[each][half::2]) for half in (0, 1))
            some = ((), *halves)
            for size, strength, readings, each in product(SIZES, STRENGTHS, READINGS, some):
                if passes != ("whole",) or (size, strength) == ("usual", "any"):
                    yield Setting(source, each, size, strength, readings)
    for source, kinds in kinds_of.items():
        yield from (Setting(source, (kind,)) for kind in kinds)


def planted_reward(planted: Mapping[str, Planted], setting: Setting) -> Floats | None:
    """AUROC of good images against planted ones, each kind of a pass counting the same, and each pass of the setting.

    None if there are none.
    """
    rewards = [_of_pass(planted[source], source, setting) for source in SOURCES[setting.source]]
    there = [each for each in rewards if each is not None]
    if len(there) < len(rewards):
        return None
    reward: Floats = np.mean(there, axis=0)
    if setting.readings == "onesided":
        reward[:, ["two_sided" in name for name in NAMES]] = np.nan
    return reward


def _of_pass(planted: Planted, source: str, setting: Setting) -> Floats | None:
    about = planted.about
    counts = np.full(len(about.kind), True)
    if source != "whole":
        counts = _within(about.size, SIZES[setting.size]) & _within(about.strength, STRENGTHS[setting.strength])
    if setting.kinds:
        counts &= np.isin(about.kind, setting.kinds)
    kinds = np.unique(about.kind[counts])
    if len(kinds) == 0:
        return None
    reward: Floats = np.mean([planted.beaten[:, :, counts & (about.kind == kind)].mean(-1) for kind in kinds], axis=0)
    return reward


def _within(values: npt.NDArray[Any], bounds: tuple[float, float]) -> npt.NDArray[Any]:
    return (values >= bounds[0]) & (values <= bounds[1])


def few(recorded: Recorded, planted: Floats, defects: int) -> dict[str, float]:
    """Test figure of the pick by so many real defects, by planted ones, and by both, mean of draws, by way."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(_DRAWS):
        drawn: npt.NDArray[Any] = rng.choice(recorded.real.shape[-1], defects, replace=False)
        real = recorded.real[:, :, drawn].mean(-1)
        for way, worth in WAYS.items():
            share = 0.5 if worth is None else 1 / (1 + worth / defects)
            both = real if share == 1 else share * real + (1 - share) * planted
            found[way].append(choose(both, recorded.test).pick)
    return {way: float(np.mean(values)) for way, values in found.items()}
