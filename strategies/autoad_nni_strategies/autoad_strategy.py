"""AutoAD as an NNI strategy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autoad_nni_strategies.autoad import AutoAD
from autoad_nni_strategies.settings import settings_from
from autoad_nni_strategies.strategy import AskTellStrategy

__all__ = ["AutoADStrategy"]


class AutoADStrategy(AskTellStrategy):
    """`AutoAD`, driven by an engine of NNI.

    An iteration is as many results as ``batch_size`` says. With one trial at a time, what is proposed depends on the
    seed, the space and the rewards alone; with several, also on the order in which they end.

    Args:
        seed: Seed of all randomness. Same seed, space and rewards: same samples, also in another process. Torch's
            global generator is neither read nor changed.
        preset: ``default``, ``process`` or ``paper``; see `PRESETS`.
        on_iteration: Called in the thread of ``run`` after each iteration with numbers to plot: ``iteration`` (from 1),
            ``trials`` (submitted so far), ``failed`` and ``reward`` (count and mean over this batch), ``best`` (NaN
            before the first measured reward), ``baseline``, ``intrinsic`` (mean information gain, in nats),
            ``curiosity`` (eta times the deviation of the standardised gains, by that of what the controller learns
            from), ``kl_prior``, ``kl_sharpening``, ``sharpening_share`` (the length of the step of sharpening, by that
            of the weights' standard deviations), ``mutual_information`` (of weights and candidate, in nats),
            ``entropy`` (of the policy that drew the batch, in nats), ``picks_drawn``, ``picks_cover``,
            ``picks_filtered`` and ``picks_varied`` (how many of the batch came from where, `SOURCES`), ``imitated``
            (samples in the buffer), ``buffer_min``, ``buffer_mean`` and ``buffer_max`` (their rewards; NaN while
            there are none); and with ``sources`` a list of where each of the batch came from; with ``buffer``, these
            samples themselves, best first, as a list of ``{"reward": ..., "sample": {label: value}}``. May be set
            later, as an attribute.
        batch_size: This and all that follow are described at `Settings`; None is the preset's value.

    Raises:
        ValueError: If an argument is out of its range. Later, ``initialize`` raises TypeError on a mutable that is not
            categorical, and ``run`` raises ValueError if the constraints leave nothing to try (`AutoAD`).

    Differs from the paper: shared child weights (Eq. 3) are up to the trials, not to the strategy; and as `AutoAD`.

    Example:
        >>> AutoADStrategy(seed=7, preset="paper").settings.learning_rate
        0.00035
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        preset: str = "default",
        on_iteration: Callable[[dict[str, Any]], None] | None = None,
        batch_size: int | None = None,
        candidates: int | None = None,
        varied: int | None = None,
        cover: int | None = None,
        imagined_updates: int | None = None,
        rank_rewards: bool | None = None,
        learning_rate: float | None = None,
        weight_decay: float | None = None,
        baseline_decay: float | None = None,
        normalize_advantage: bool | None = None,
        eta: float | None = None,
        buffer_size: int | None = None,
        replay_updates: int | None = None,
        bayesian: bool | None = None,
        sharpening: bool | None = None,
        sharpening_divergence: float | None = None,
        initial_sigma: float | None = None,
        kl_weight: float | None = None,
    ) -> None:
        self.settings = settings_from(
            preset,
            seed=seed,
            batch_size=batch_size,
            candidates=candidates,
            varied=varied,
            cover=cover,
            imagined_updates=imagined_updates,
            rank_rewards=rank_rewards,
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            baseline_decay=baseline_decay,
            normalize_advantage=normalize_advantage,
            eta=eta,
            buffer_size=buffer_size,
            replay_updates=replay_updates,
            bayesian=bayesian,
            sharpening=sharpening,
            sharpening_divergence=sharpening_divergence,
            initial_sigma=initial_sigma,
            kl_weight=kl_weight,
        )
        super().__init__(
            lambda decisions, is_valid: AutoAD(self.settings, decisions, is_valid),
            on_iteration=on_iteration,
        )

    def extra_repr(self) -> str:
        """Return the settings."""
        return ", ".join(f"{name}={value!r}" for name, value in vars(self.settings).items())
