"""How much of a recorded reward is the training seed: the ceiling of every rank correlation with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.strategies.stats import rank_correlation
from benchmarks.strategies.tables import Key, Line, Table, key_of, read_again

__all__ = ["FRESH", "Noise", "noise_of", "spread", "top"]

FRESH: Final = (1, 2)
"""The seeds with which the best models are trained again; tables are recorded with seed 0."""

_SHARE: Final = 10
_FEWEST: Final = 5  # of a correlation


class Noise(NamedTuple):
    """What a second training of the same models says.

    Attributes:
        n_models: A tenth of those drawn uniformly, whatever their reward.
        ceiling: Rank correlation of two trainings of these.
        n_top: Models among the best tenth.
        top_ceiling: Rank correlation of two trainings of these, neither of which chose them.
        deviation: Standard deviation of the reward between trainings of one of these.
        drop: How much less than the recorded reward, for which they were chosen, these have on average when they are
            trained again.
    """

    n_models: int
    ceiling: float
    n_top: int
    top_ceiling: float
    deviation: float
    drop: float

    def __str__(self) -> str:
        return (
            f"two trainings of the same models correlate by {self.ceiling:.3f} ({self.n_models} of all) and "
            f"{self.top_ceiling:.3f} ({self.n_top} of the best tenth), whose deviation between seeds is "
            f"{self.deviation:.4f}; trained again, they have {self.drop:.4f} less"
        )


def spread(table: Table) -> Sequence[Line]:
    """Return every tenth of the models that no strategy proposed."""
    return [line for line in table.lines if not line.proposer][::_SHARE]


def top(table: Table) -> Sequence[Line]:
    """Return the tenth with the highest rewards of the models that no strategy proposed."""
    drawn = sorted((line for line in table.lines if not line.proposer), key=lambda line: -line.reward)
    return drawn[: len(drawn) // _SHARE]


def noise_of(table: Table) -> Noise | None:
    """Compare the table with the trainings beside it; None if there are too few of them."""
    again = read_again(table)
    first, second = (again.get(seed, {}) for seed in FRESH)
    anywhere = _pairs(spread(table), {key_of(line.sample): line.reward for line in table.lines}, first)
    best = _pairs(top(table), first, second)
    if min(len(anywhere), len(best)) < _FEWEST:
        return None
    twice = first.keys() & second.keys()
    recorded = [line.reward for line in top(table) if key_of(line.sample) in twice]
    return Noise(
        len(anywhere),
        rank_correlation(anywhere[:, 0], anywhere[:, 1]),
        len(best),
        rank_correlation(best[:, 0], best[:, 1]),
        float(np.sqrt(np.mean((best[:, 0] - best[:, 1]) ** 2) / 2)),
        float(np.mean(recorded) - best.mean()),
    )


def _pairs(lines: Sequence[Line], one: Mapping[Key, float], other: Mapping[Key, float]) -> NDArray[np.float64]:
    keys = [key for line in lines if (key := key_of(line.sample)) in one and key in other]
    return np.array([(one[key], other[key]) for key in keys]).reshape(-1, 2)
