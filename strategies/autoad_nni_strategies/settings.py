"""Settings of the AutoAD strategy: the presets, and the check of what a user changes in them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

__all__ = ["PRESETS", "Settings", "settings_from"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    r"""All settings of the strategy; the defaults are the preset ``default``.

    Attributes:
        seed: Seed of the strategy's own generator.
        batch_size: Samples that are trained per iteration (n of Eq. 5; K of Fig. 1). Not given by the paper.
        candidates: Candidates that are drawn per iteration (M of Fig. 1); the filter keeps ``batch_size`` of them.
            Equal to ``batch_size``: no filter. Not given by the paper.
        varied: How many of the best samples in the replay buffer join the filter's candidates, each in every variant
            that differs in one choice; 0: none. Not in the paper.
        cover: How many trials every value of the decisions with up to five values is to have before the filter alone
            decides (`Looks`); 0: no such start. Not in the paper.
        imagined_updates: Updates per iteration from candidates that are only imagined (`imagine`); 0: none. Not in the
            paper.
        rank_rewards: Whether the controller learns from the normal scores of the rewards' ranks among all results,
            instead of from advantages over a moving baseline. Not in the paper.
        learning_rate: Adam's step size. The paper's 3.5e-4, meant for 500 epochs, moves the policy slowly within 100
            trials; under the ``kl_weight`` of ``paper`` not at all.
        weight_decay: By what share the mean weights shrink at each update. Without it the logits saturate within some
            30 trials, and the policy cannot be moved any more. It does what the prior of Eq. 16 would, without its
            noise. Not in the paper.
        baseline_decay: gamma of `MovingBaseline`. Not given by the paper; ENAS has 0.99.
        normalize_advantage: Whether advantages are divided by their running standard deviation. Not in the paper.
        eta: Weight of the intrinsic reward (Eq. 7); 0: no curiosity.
        buffer_size: Samples in the replay buffer of self-imitation; 0: no self-imitation.
        replay_updates: Updates from the buffer per iteration (line 18 of Algorithm 1). Not given by the paper.
        bayesian: Whether the controller's weights have a distribution (Eq. 8 to 12).
        sharpening: Whether that distribution is sharpened (Eq. 13 to 17).
        sharpening_divergence: The divergence of Eq. 16, in nats, that one sharpening costs: it sets :math:`\eta` of
            Eq. 14 at each update, whatever the scale of the rewards. Not given by the paper, where each weight has a
            rate of its own and learns it through this divergence.
        initial_sigma: Standard deviation of the weights at the start. Not given by the paper; Fortunato et al. 2017
            have 0.046 to 0.092.
        kl_weight: Weight of the divergence from the prior, 1 / C of Eq. 16. Not given by the paper; the 1e-2 of
            ``paper`` is ours. The divergence is some 10^5 nats, so that its gradient is thousands of times that of the
            rewards, and they hardly move the posterior, nor with it curiosity (benchmarks/strategies/tune_paper.py).
            The default's 0 leaves the prior out altogether: nothing holds the weights back, and ``kl_prior`` is
            reported as 0.
    """

    seed: int = 0
    batch_size: int = 5
    candidates: int = 100
    varied: int = 0
    cover: int = 2
    imagined_updates: int = 10
    rank_rewards: bool = True
    learning_rate: float = 2e-2
    weight_decay: float = 0.01
    baseline_decay: float = 0.9
    normalize_advantage: bool = True
    eta: float = 0.0
    buffer_size: int = 10
    replay_updates: int = 5
    bayesian: bool = True
    sharpening: bool = True
    sharpening_divergence: float = 1.0
    initial_sigma: float = 0.05
    kl_weight: float = 0.0

    def __post_init__(self) -> None:
        for name, (expected, fits) in _RULES.items():
            value = getattr(self, name)
            _require(name, value, fits(value), expected)
            if (expected, fits) in (_COUNT, _COUNT_OR_NONE):
                object.__setattr__(self, name, int(value))  # YAML's 5.0 is a whole number, and no index
        _require(
            "candidates", self.candidates, self.candidates >= self.batch_size, f"at least batch_size, {self.batch_size}"
        )


def _require(name: str, value: object, fits: bool, expected: str) -> None:
    if fits:
        return
    hint = ""
    if isinstance(value, str) and "number" in expected:
        # YAML 1.1 reads 1e-3, without a point, as text.
        hint = " (It is text; in YAML write numbers without quotes and as 1.0e-3, not 1e-3.)"
    raise ValueError(f"{name} is {value!r}. Expected {expected}: correct it in the strategy's arguments.{hint}")


def _is_real(value: object) -> bool:
    # Beyond _LARGEST, 32-bit arithmetic overflows in the middle of a search.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= _LARGEST


def _is_whole(value: object, least: int) -> bool:
    return isinstance(value, int | float) and _is_real(value) and value >= least and value % 1 == 0


_LARGEST = 1e6
_Rule = tuple[str, Callable[[Any], bool]]
_COUNT: _Rule = ("a whole number from 1 to 10^6", lambda n: _is_whole(n, 1))
_COUNT_OR_NONE: _Rule = ("a whole number from 0 to 10^6", lambda n: _is_whole(n, 0))
_POSITIVE: _Rule = ("a number above 0, up to 10^6", lambda value: _is_real(value) and value > 0)
_NOT_NEGATIVE: _Rule = ("a number from 0 to 10^6", lambda value: _is_real(value) and value >= 0)
_SWITCH: _Rule = ("true or false", lambda value: isinstance(value, bool))
_RULES: dict[str, _Rule] = {
    "seed": ("a whole number from 0 to 2^63 - 1", lambda seed: type(seed) is int and 0 <= seed < 2**63),
    "batch_size": _COUNT,
    "candidates": _COUNT,
    "varied": _COUNT_OR_NONE,
    "cover": _COUNT_OR_NONE,
    "imagined_updates": _COUNT_OR_NONE,
    "rank_rewards": _SWITCH,
    "learning_rate": _POSITIVE,
    "weight_decay": ("a number from 0 to below 1", lambda decay: _is_real(decay) and 0 <= decay < 1),
    "baseline_decay": ("a number from 0 to below 1", lambda decay: _is_real(decay) and 0 <= decay < 1),
    "normalize_advantage": _SWITCH,
    "eta": _NOT_NEGATIVE,
    "buffer_size": _COUNT_OR_NONE,
    "replay_updates": _COUNT,
    "bayesian": _SWITCH,
    "sharpening": _SWITCH,
    "sharpening_divergence": _POSITIVE,
    "initial_sigma": ("a number above 0, up to 10", lambda value: _is_real(value) and 0 < value <= 10),
    "kl_weight": _NOT_NEGATIVE,
}

PRESETS = {
    "default": Settings(),
    "process": Settings(varied=10, cover=0, imagined_updates=0, rank_rewards=False, weight_decay=0.0),
    "paper": Settings(
        candidates=5,
        varied=0,
        cover=0,
        imagined_updates=0,
        rank_rewards=False,
        learning_rate=3.5e-4,
        weight_decay=0.0,
        baseline_decay=0.99,
        normalize_advantage=False,
        eta=0.01,
        buffer_size=10,
        replay_updates=1,
        kl_weight=1e-2,
    ),
}
"""``default``: for some 100 trials; every trial is drawn from the controller. ``process``: the Gaussian process picks
among draws and one-choice variations of the best, nearly always the latter: what the controller is measured against.
``paper``: the article's constants, and its sources' where it gives none; where these give none either (``batch_size``,
``replay_updates``, ``sharpening_divergence``, ``kl_weight``) ours."""


def settings_from(preset: str, **changes: Any) -> Settings:
    """Return a preset with every change that is not None.

    If ``batch_size`` is changed alone, ``candidates`` is raised to it where it is smaller.

    Raises:
        ValueError: If the preset is unknown, or a value is out of its range.
        TypeError: If there is no such setting.

    Example:
        >>> settings_from("paper", batch_size=8, learning_rate=None).candidates
        8
    """
    _require("preset", preset, isinstance(preset, str) and preset in PRESETS, "one of " + ", ".join(sorted(PRESETS)))
    given = {name: value for name, value in changes.items() if value is not None}
    batch_size = given.get("batch_size")
    if batch_size is not None and _is_whole(batch_size, 1) and "candidates" not in given:
        given["candidates"] = max(PRESETS[preset].candidates, batch_size)
    return replace(PRESETS[preset], **given)
