"""Axes of charts: where a value lies between two ends, and which ticks are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "short"]

_PREFIXES = ((1e12, " T"), (1e9, " G"), (1e6, " M"), (1e3, " k"))


@dataclass(frozen=True)
class Scale:
    """An axis.

    Attributes:
        low: Its lower end.
        high: Its upper end, above the lower one.
        label: What it shows.
        log: Whether it is logarithmic; both ends are positive then.
        is_signless: Whether ticks show no sign: the axis counts in two directions.
    """

    low: float
    high: float
    label: str = ""
    log: bool = False
    is_signless: bool = False

    @classmethod
    def around(cls, values: Iterable[float], label: str = "", *, log: bool = False) -> Scale:
        """Return a scale on which all values lie, a little inside of its ends.

        Example:
            >>> Scale.around([1.0, 3.0]), Scale.around([2.0, 2.0]).low < 2.0
            (Scale(low=0.9, high=3.1, label='', log=False, is_signless=False), True)
        """
        values = list(values)
        low, high = min(values, default=0.0), max(values, default=1.0)
        if log:
            factor = (high / low) ** 0.05 if high > low else 2.0
            return cls(low / factor, high * factor, label, True)
        margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - margin, high + margin, label)

    def place(self, value: float) -> float:
        """Return where a value lies: 0 at the lower end, 1 at the upper one.

        Example:
            >>> Scale(0, 4).place(1), Scale(1, 100, log=True).place(10)
            (0.25, 0.5)
        """
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self, most: int = 5) -> list[tuple[float, str]]:
        """Return up to about ``most`` round values between the ends, with their texts.

        Example:
            >>> Scale(0, 1).ticks()
            [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1')]
            >>> Scale(500, 2e6, log=True).ticks()
            [(1000.0, '1 k'), (10000.0, '10 k'), (100000.0, '100 k'), (1000000.0, '1 M')]
        """
        if self.log and self.high / self.low >= 100:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            step = -(-(last - first + 1) // most)
            return [(10.0**power, short(10.0**power)) for power in range(first, last + 1, step)]
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        values = [round(i * step, 12) for i in range(first, last + 1)]
        return [(value, short(abs(value) if self.is_signless else value)) for value in values]


def _round_step(least: float) -> float:
    """The least of 1, 2 and 5 times a power of ten that is not below."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= least * (1 - 1e-9))


def short(value: float) -> str:
    """Return a number in about three digits.

    Example:
        >>> [short(each) for each in (0, 0.12345, 17, 999.6, 123456, 2.5e6, -0.25)]
        ['0', '0.123', '17', '1 k', '123 k', '2.5 M', '-0.25']
    """
    rounded = float(f"{value:.3g}")
    for size, prefix in _PREFIXES:
        if abs(rounded) >= size:
            return f"{rounded / size:.3g}{prefix}"
    return f"{value:.3g}"
