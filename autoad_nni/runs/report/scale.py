"""Axes of charts: where a value lies between two ends, and which ticks are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Scale", "short"]

_FEWEST = 3
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
            [(0.0, '0'), (0.2, '0.2'), (0.4, '0.4'), (0.6, '0.6'), (0.8, '0.8'), (1.0, '1.0')]
            >>> Scale(0.9984, 1.0001).ticks(4)
            [(0.9985, '0.9985'), (0.999, '0.9990'), (0.9995, '0.9995'), (1.0, '1.0000')]
            >>> Scale(0.7, 60, log=True).ticks()
            [(1.0, '1'), (2.0, '2'), (5.0, '5'), (10.0, '10'), (20.0, '20'), (50.0, '50')]
            >>> Scale(500, 2e6, log=True).ticks()
            [(1000.0, '1 k'), (10000.0, '10 k'), (100000.0, '100 k'), (1000000.0, '1 M')]
        """
        if self.log and self.high / self.low >= 10:
            return self._log_ticks(most)
        step = _round_step((self.high - self.low) / most)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        if last - first < _FEWEST - 1:
            return self.ticks(2 * most)
        values = [round(i * step, 12) for i in range(first, last + 1)]
        return [(value, self._text(value, step)) for value in values]

    def _text(self, value: float, step: float) -> str:
        """A value with as many digits as the step has, so that no two ticks read the same."""
        shown = abs(value) if self.is_signless else value
        size, prefix = next((each for each in _PREFIXES if abs(shown) >= each[0]), (1.0, ""))
        n_digits = max(0, -math.floor(math.log10(step / size) + 1e-9))
        return f"{shown / size:.{n_digits}f}{prefix}" if shown else "0"

    def _log_ticks(self, most: int) -> list[tuple[float, str]]:
        """Powers of ten; where there are few of them, also 2 and 5 times them."""
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for factors in ((1, 2, 5), (1, 3), (1,)):
            values = [value for power in powers for factor in factors if self.low <= (value := factor * 10.0**power)]
            values = [value for value in values if value <= self.high]
            if len(values) <= most + 1:
                break
        return [(value, short(value)) for value in values[:: -(-len(values) // (most + 1))]]


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
