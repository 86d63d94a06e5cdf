"""Imagined trials: the controller learns from candidates that the predictor scores and nobody trains."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from autoad_nni_strategies.learner import Learner
from autoad_nni_strategies.predictor import RewardPredictor
from autoad_nni_strategies.spaces import Action

__all__ = ["imagine"]

_DRAWN, _IMITATED = 64, 8


def imagine(
    learner: Learner, predictor: RewardPredictor, updates: int, is_untried: Callable[[Action], bool]
) -> list[Action]:
    """Move the policy towards the candidates with the highest expected improvement.

    Each update draws the weights and 64 candidates from the policy, scores them by the expected improvement that the
    predictor sees in them, and takes one step up the likelihood of the best 8: the cross-entropy method, with the
    controller as its distribution.

    Args:
        learner: The controller; its weights are drawn anew afterwards.
        predictor: Fitted to the results so far.
        updates: How many.
        is_untried: Whether a candidate is valid and new; only such are imitated.

    Returns:
        What was imitated, each once: the best of some hundred draws.

    Differs from the paper: it imitates trained samples only (Eq. 19).

    Reference: Rubinstein 1999, "The cross-entropy method for combinatorial and continuous optimization"; Sutton 1991,
    "Dyna", for learning from imagined experience.
    """
    imitated: dict[Action, None] = {}
    for _ in range(updates):
        learner.draw_weights()
        drawn = list(dict.fromkeys(learner.sample(_DRAWN)))
        ranked = predictor.expected_improvement(drawn).argsort(descending=True, stable=True).tolist()
        best = list(islice((drawn[i] for i in ranked if is_untried(drawn[i])), _IMITATED))
        if best:
            learner.follow(best)
            imitated.update(dict.fromkeys(best))
    learner.draw_weights()
    return list(imitated)
