"""Settings of the AutoAD strategy: the two presets, and the check of what a user changes in them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["PRESETS", "Settings", "settings_from"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the strategy can be told; the defaults are the preset ``default``.

    Attributes:
        seed: Seed of the strategy's own generator.
        batch_size: Candidates per iteration (n of Eq. 5). Not given by the paper.
        learning_rate: Adam's step size. The paper's 3.5e-4, meant for 500 epochs, hardly moves the policy within 100
            trials. Chosen among 3.5e-3, 1e-2, 2e-2 and 3e-2 on a synthetic objective over 20 choices (20 seeds, 100
            trials): 2e-2 was ahead of random search by 0.049 +- 0.017 (95 %), 3.5e-3 by 0.008 +- 0.021.
        baseline_decay: gamma of `MovingBaseline`. Not given by the paper; ENAS has 0.99.
        normalize_advantage: Whether advantages are divided by their running deviation. Not in the paper.
    """

    seed: int = 0
    batch_size: int = 5
    learning_rate: float = 2e-2
    baseline_decay: float = 0.9
    normalize_advantage: bool = True

    def __post_init__(self) -> None:
        for name, (expected, fits) in _RULES.items():
            value = getattr(self, name)
            _require(name, value, fits(value), expected)


def _require(name: str, value: object, fits: bool, expected: str) -> None:
    if fits:
        return
    hint = ""
    if isinstance(value, str) and name != "preset":
        # YAML 1.1 reads 1e-3, without a point, as text.
        hint = " (It is text; in YAML write numbers without quotes and as 1.0e-3, not 1e-3.)"
    raise ValueError(f"{name} is {value!r}. Expected {expected}: correct it in the strategy's arguments.{hint}")


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "seed": ("a whole number from 0 to 2^63 - 1", lambda seed: type(seed) is int and 0 <= seed < 2**63),
    "batch_size": ("a whole number from 1", lambda n: _is_real(n) and n >= 1 and n % 1 == 0),
    "learning_rate": ("a number above 0", lambda rate: _is_real(rate) and rate > 0),
    "baseline_decay": ("a number from 0 to below 1", lambda decay: _is_real(decay) and 0 <= decay < 1),
    "normalize_advantage": ("true or false", lambda normalize: isinstance(normalize, bool)),
}

PRESETS = {
    "default": Settings(),
    "paper": Settings(learning_rate=3.5e-4, baseline_decay=0.99, normalize_advantage=False),
}
"""``default``: for some 100 trials. ``paper``: the article's constants, and ENAS's where it gives none."""


def settings_from(preset: str, **changes: Any) -> Settings:
    """Returns a preset with every change that is not None.

    Raises:
        ValueError: If the preset is unknown, or a value is out of its range.

    Example:
        >>> settings_from("paper", batch_size=8, learning_rate=None)
        Settings(seed=0, batch_size=8, learning_rate=0.00035, baseline_decay=0.99, normalize_advantage=False)
    """
    _require("preset", preset, preset in PRESETS, "one of " + ", ".join(sorted(PRESETS)))
    return replace(PRESETS[preset], **{name: value for name, value in changes.items() if value is not None})
