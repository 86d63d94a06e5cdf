"""What planted defects choose: the reading of each model and the model, by a reward that is a weighted mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.planted.recorded import Floats, Planted, Recorded

__all__ = ["DEFECTS", "STRENGTHS", "WAYS", "Chosen", "Setting", "choose", "few", "planted_reward", "settings_of"]

STRENGTHS: Final = {"all": (0.0, 1.0), "faint": (0.0, 0.5), "clear": (0.5, 1.0), "middle": (0.25, 0.75)}
DEFECTS: Final = (3, 5, 10, 19)
# How many planted ones count as one real one is worth: weight of the real reward k / (k + worth).
WAYS: Final = {"real": 0.0, "mean of both": None, "k / (k + 5)": 5.0, "k / (k + 20)": 20.0, "planted": np.inf}
_DRAWS: Final = 50


class Chosen(NamedTuple):
    """What a reward chooses.

    Attributes:
        reward: Of each model by its best reading, ``(models,)``.
        test: AUROC of that reading on test, ``(models,)``.
    """

    reward: Floats
    test: Floats

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
    return Chosen(reward[rows, best], test[rows, best])


@dataclass(frozen=True)
class Setting:
    """Which planted defects make the reward.

    Attributes:
        source: Name of the pass.
        families: Generators; empty for all.
        strength: One of `STRENGTHS`.
    """

    source: str
    families: tuple[str, ...] = ()
    strength: str = "all"

    @property
    def name(self) -> str:
        """As it is recorded."""
        return f"{self.source} {'+'.join(self.families) or 'all'} {self.strength}"


def settings_of(recorded: Sequence[Recorded]) -> Iterator[Setting]:
    """Give what is tried: all families, each half of them, at each strength; and each family alone."""
    for source in recorded[0].planted:
        families = sorted({str(family) for each in recorded for family in each.planted[source].family})
        for strength in STRENGTHS:
            yield from (Setting(source, of, strength) for of in ((), tuple(families[::2]), tuple(families[1::2])))
        yield from (Setting(source, (family,)) for family in families)


def planted_reward(planted: Planted, setting: Setting) -> Floats | None:
    """AUROC of good images against planted ones, each family counting the same; None if there are none."""
    low, high = STRENGTHS[setting.strength]
    counts = (planted.strength >= low) & (planted.strength <= high)
    if setting.families:
        counts &= np.isin(planted.family, setting.families)
    families = np.unique(planted.family[counts])
    if len(families) == 0:
        return None
    means = [planted.beaten[:, :, counts & (planted.family == family)].mean(-1) for family in families]
    return np.mean(means, axis=0)  # type: ignore[no-any-return]


def few(recorded: Recorded, planted: Floats, defects: int) -> dict[str, float]:
    """Test figure of the pick by so many real defects, by planted ones, and by both, mean of draws, by way."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {way: [] for way in WAYS}
    for _ in range(_DRAWS):
        drawn: npt.NDArray[Any] = rng.choice(recorded.real.shape[-1], defects, replace=False)
        real = recorded.real[:, :, drawn].mean(-1)
        for way, worth in WAYS.items():
            share = 0.5 if worth is None else 1 / (1 + worth / defects)
            found[way].append(choose(share * real + (1 - share) * planted, recorded.test).pick)
    return {way: float(np.mean(values)) for way, values in found.items()}
