"""What a user should know of a winner before relying on it."""

from __future__ import annotations

from typing import Final

from autoad_nni.runs.records import BestRecord

__all__ = ["caveats"]

_AREAS: Final = ("auroc", "image_auroc")
# A model that tells most images that are wrong as a whole and no local defect has more (docs/decisions/planted.md).
_TELLS: Final = 0.65


def caveats(best: BestRecord) -> list[str]:
    """Return a line for each reason not to rely on the winner of a search as it is; none before its end."""
    return [line for line in (_next_to_chance(best), _behind_known(best), _finds_nothing(best)) if line]


def _next_to_chance(best: BestRecord) -> str:
    if not best.request.task.planted or best.request.settings.reward not in _AREAS or best.reward >= _TELLS:
        return ""
    return (
        f"warning: hardly any planted defect is told from good images ({best.request.reward_name} {best.reward:.4f}), "
        "so that the choice of the winner was next to chance: add images with real defects"
    )


def _behind_known(best: BestRecord) -> str:
    reward, known = best.request.settings.reward, best.known
    if best.request.task.planted:  # its members are not those that planted defects like best
        return ""
    if known is None or known.test is None or best.test is None or best.test[reward] >= known.test[reward]:
        return ""
    return (
        f"warning: on test the winner is behind the best known method, {known.trial.known} ({reward} "
        f"{best.test[reward]:.4f} against {known.test[reward]:.4f}): these images show no gain of the search"
    )


def _finds_nothing(best: BestRecord) -> str:
    if best.calibration is None or not best.calibration.defects:
        return ""
    default, best_f1 = best.calibration.default(), best.calibration.best_f1()
    assert best_f1 is not None, "there are defects"
    if default.confusion.found_defects:
        return ""
    n, found = len(best.calibration.defects), best_f1.confusion.found_defects
    defects = "the only defect" if n == 1 else f"any of the {n} defects"
    return (
        f"warning: the threshold {default.value:.4g} does not find {defects} of validation: give predict --f1, whose "
        f"threshold finds {found}, or search again with more good images"
    )
