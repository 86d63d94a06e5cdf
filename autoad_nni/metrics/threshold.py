"""Thresholds between good and defective images, from scores of images that a model was not trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final

import numpy as np

from autoad_nni.errors import AutoADError

__all__ = ["DEFAULT_RATE", "Calibration", "Confusion", "Threshold", "least_rate", "rank_of"]

DEFAULT_RATE: Final = 0.01

_SMALLEST: Final = 1e-6


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """How many labelled images are on which side of a threshold."""

    found_defects: int
    missed_defects: int
    false_alarms: int
    passed: int

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0 if no defect is found."""
        if self.found_defects == 0:
            return 0.0
        return 2 * self.found_defects / (2 * self.found_defects + self.missed_defects + self.false_alarms)


@dataclass(frozen=True, kw_only=True)
class Threshold:
    """A threshold; an image that scores more is called defective.

    Attributes:
        value: In the unit of the scores.
        rule: ``false_alarm_rate`` or ``f1``.
        rate: The false-alarm rate that it guarantees; None for ``f1``, which guarantees none.
        confusion: Of the images that it comes from. Theirs, not a figure to expect of others.
    """

    value: float
    rule: str
    rate: float | None
    confusion: Confusion


@dataclass(frozen=True, kw_only=True)
class Calibration:
    r"""Scores of images that a model was not trained on, from which thresholds come.

    With ``n`` scores of normal images, the threshold for a false-alarm rate :math:`\alpha` is the
    :math:`\lceil (n + 1)(1 - \alpha) \rceil`-th lowest. If the next normal image is drawn as these were, and nothing
    was chosen by their scores, it exceeds the threshold with a probability of at most :math:`\alpha`, over draws of
    them and of it, for any model and any ``n`` (split conformal prediction). For one model, the rate scatters around
    that: little for large ``n``.

    Args:
        normal: Scores of normal images, in any order.
        defects: Scores of images with a defect; may be empty.
        rate: The rate that the user asked for; None: 1 %, or the least possible if that is more.
        planted: Whether the defects are planted ones.

    Reference:
        Vovk, Gammerman, Shafer: "Algorithmic Learning in a Random World", 2005; Lei et al.: "Distribution-Free
        Predictive Inference for Regression", 2018.

    Example:
        >>> calibration = Calibration(normal=range(1, 20), defects=[18.5, 30.0])
        >>> calibration.at(0.1).value  # the 18th of 19
        18.0
        >>> calibration.least_rate, calibration.default().value  # 1 % takes 99 images
        (0.05, 19.0)
        >>> calibration.at(0.01)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        autoad_nni.errors.AutoADError: false_alarm_rate is 0.01, which takes scores of 99 normal images; ...
        >>> calibration.best_f1().value, calibration.best_f1().confusion.f1
        (18.25, 0.8)
    """

    normal: Sequence[float]
    defects: Sequence[float] = ()
    rate: float | None = None
    planted: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "normal", tuple(sorted(map(float, self.normal))))
        object.__setattr__(self, "defects", tuple(sorted(map(float, self.defects))))
        if not self.normal or not all(map(math.isfinite, (*self.normal, *self.defects))):
            raise AutoADError("the scores are empty or not finite. Expected finite scores of normal images.")
        if self.rate is not None:
            self.at(self.rate)

    @property
    def defect(self) -> str:
        """What an image with a defect has: ``defect`` or ``planted defect``."""
        return "planted defect" if self.planted else "defect"

    @property
    def least_rate(self) -> float:
        """The lowest false-alarm rate that so many normal images can guarantee, rounded up to three digits."""
        return least_rate(len(self.normal))

    def at(self, rate: float) -> Threshold:
        """Return the threshold that guarantees a false-alarm rate.

        Args:
            rate: Between 0 and 1, not below `least_rate`.

        Raises:
            AutoADError: It is below, or out of range.
        """
        value = self.normal[rank_of(len(self.normal), rate) - 1]
        return Threshold(value=value, rule="false_alarm_rate", rate=rate, confusion=self.confusion(value))

    def default(self) -> Threshold:
        """Return the threshold for the rate that was asked for; for 1 %, or the least possible, if none was."""
        return self.at(max(DEFAULT_RATE, self.least_rate) if self.rate is None else self.rate)

    def best_f1(self) -> Threshold | None:
        """Return the threshold with the highest F1 over these images; of equals the highest; None without defects.

        It is half-way between two scores, so that a score's last digit decides nothing.
        """
        if not self.defects:
            return None
        scores = np.unique([*self.normal, *self.defects])
        between = np.concatenate([scores[:1] - 1.0, (scores[1:] + scores[:-1]) / 2])
        found = len(self.defects) - np.searchsorted(self.defects, between, "right")
        alarms = len(self.normal) - np.searchsorted(self.normal, between, "right")
        f1 = 2 * found / (found + alarms + len(self.defects))
        value = float(between[np.flatnonzero(f1 == f1.max())[-1]])
        return Threshold(value=value, rule="f1", rate=None, confusion=self.confusion(value))

    def thresholds(self) -> list[Threshold]:
        """Return the default threshold and, with defects, the one with the highest F1."""
        best = self.best_f1()
        return [self.default()] if best is None else [self.default(), best]

    def confusion(self, value: float) -> Confusion:
        """Return how many of these images are on which side of a threshold."""
        found = len(self.defects) - int(np.searchsorted(self.defects, value, "right"))
        alarms = len(self.normal) - int(np.searchsorted(self.normal, value, "right"))
        return Confusion(
            found_defects=found,
            missed_defects=len(self.defects) - found,
            false_alarms=alarms,
            passed=len(self.normal) - alarms,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain JSON."""
        content = {"normal": list(self.normal), "defects": list(self.defects), "rate": self.rate}
        return {**content, "planted": True} if self.planted else content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Calibration:
        """Read what `to_json` wrote; KeyError, TypeError, ValueError or AutoADError if it is of another form."""
        planted = content.get("planted", False)
        if not isinstance(planted, bool):
            raise ValueError(f"planted is {planted!r}")
        return cls(normal=content["normal"], defects=content["defects"], rate=content["rate"], planted=planted)


def least_rate(n_normal: int) -> float:
    """Return the lowest false-alarm rate that so many normal images can guarantee, rounded up to three digits.

    Example:
        >>> least_rate(19), least_rate(20), least_rate(99)
        (0.05, 0.0477, 0.01)
    """
    unit: int = 10 ** (2 + len(str(n_normal)))
    return math.ceil(Fraction(unit, n_normal + 1)) / unit


def rank_of(n_normal: int, rate: float) -> int:
    r"""Return which score of normal images, counted from the lowest, is the threshold for a false-alarm rate.

    It is :math:`\lceil (n + 1)(1 - \alpha) \rceil`.

    Args:
        n_normal: How many there are.
        rate: The false-alarm rate.

    Raises:
        AutoADError: The rate is out of range, or takes more images.

    Example:
        >>> rank_of(199, 0.01)
        198
    """
    if not _SMALLEST <= rate <= 1 - _SMALLEST:
        raise AutoADError(
            f"[[false_alarm_rate]] is {rate:g}. Expected more than 0 and less than 1. Give [[false_alarm_rate=0.01]]."
        )
    # As it was written, 1/100 or 1/3: with its binary form, (n + 1) * 0.9 is a little above a whole number for some n.
    exact = Fraction(rate).limit_denominator(10**9)
    rank = math.ceil((n_normal + 1) * (1 - exact))
    if rank > n_normal:
        least = least_rate(n_normal)
        raise AutoADError(
            f"[[false_alarm_rate]] is {rate:g}, which takes scores of {math.ceil(1 / exact) - 1} normal images; there "
            f"are {n_normal}. Expected {least:g} or more. Give [[false_alarm_rate={least:g}]], or more good images."
        )
    return rank
