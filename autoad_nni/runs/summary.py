"""Summary of a search: verdicts, how each hypothesis, distance and known method did, and the winner's thresholds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from autoad_nni.metrics.threshold import DEFAULT_RATE, Calibration
from autoad_nni.trial.plugins import COMPONENTS
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

__all__ = ["ChoiceRecord", "TrialSummary", "claim", "threshold_lines"]

LABELS: Final = tuple(COMPONENTS)
KNOWN: Final = "known"
_LIMITS: Final = {
    Verdict.OVER_MACS.value: "[[max_macs]]",
    Verdict.OVER_MS.value: "[[max_ms]]",
    Verdict.OVER_TIME.value: "[[max_seconds]]",
    Verdict.OVER_MEMORY.value: "[[max_memory]]",
}


@dataclass
class ChoiceRecord:
    """How the trials of one value of a choice ended.

    Attributes:
        trials: All of them.
        ok: Those with the verdict ok.
        best: Their best reward; None when there is none.
    """

    trials: int = 0
    ok: int = 0
    best: float | None = None


class TrialSummary:
    r"""Counts trials as they end.

    Args:
        reward: Name of the metric that is the reward, for people.

    Example:
        >>> summary = TrialSummary(reward="auroc")
        >>> sample = {"hypothesis": "density", "distance": "l1"}
        >>> summary.add(TrialRecord(number=0, sample=sample, verdict=Verdict.OK, reward=0.75))
        >>> summary.add(TrialRecord.crashed(1, {"hypothesis": "density", "distance": "l2"}, "out of memory"))
        >>> print("\n".join(summary.lines()))
        2 trials: 1 crashed, 1 ok
                                trials     ok   best auroc
        hypothesis density           2      1       0.7500
        distance l1                  1      1       0.7500
        distance l2                  1      0            -
    """

    def __init__(self, reward: str) -> None:
        self.reward = reward
        self.verdicts: Counter[str] = Counter()
        self.choices: dict[str, dict[str, ChoiceRecord]] = {label: {} for label in (*LABELS, KNOWN)}

    def add(self, trial: TrialRecord) -> None:
        """Count a trial that has ended."""
        self.verdicts[trial.verdict.value] += 1
        values = {label: str(trial.sample[label]) for label in LABELS if label in trial.sample}
        if trial.known:
            values[KNOWN] = trial.known
        for label, value in values.items():
            choice = self.choices[label].setdefault(value, ChoiceRecord())
            choice.trials += 1
            if trial.ok:
                choice.ok += 1
                choice.best = trial.reward if choice.best is None else max(choice.best, trial.reward)

    def to_json(self) -> dict[str, Any]:
        """Return ``{"trials": n, "verdicts": {name: n}, "choices": {label: {value: {trials, ok, best}}}}``.

        Known methods stand under the label ``known``.
        """
        choices = {
            label: {value: vars(records[value]) for value in sorted(records)}
            for label, records in self.choices.items()
            if records
        }
        return {"trials": self.verdicts.total(), "verdicts": dict(self.verdicts), "choices": choices}

    def headline(self) -> str:
        """Return how many trials there were and how they ended."""
        count = self.verdicts.total()
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        return f"{count} trial{'' if count == 1 else 's'}: {verdicts or 'none ended'}"

    def no_good_trial(self, more_trials: str) -> str:
        """Return that none ended well, how they ended, and what to do.

        Args:
            more_trials: How the user gets more trials, as an imperative.
        """
        options = " and ".join(option for verdict, option in _LIMITS.items() if self.verdicts[verdict])
        advice = f", or raise {options} in trialCommand and start anew" if options else ""
        return f"no trial ended well of {self.headline()}. Expected one with the verdict ok. {more_trials}{advice}."

    def lines(self) -> list[str]:
        """Return the summary as a table to print."""
        names = [f"{label} {value}" for label, records in self.choices.items() for value in records]
        width = max([23, *(len(name) + 1 for name in names)])
        column = max(13, len(self.reward) + 7)
        lines = [
            self.headline(),
            f"{'':<{width}}{'trials':>7}{'ok':>7}{f'best {self.reward}':>{column}}",
        ]
        for label, records in self.choices.items():
            for value in sorted(records):
                record = records[value]
                best = "-" if record.best is None else f"{record.best:.4f}"
                lines.append(f"{f'{label} {value}':<{width}}{record.trials:>7}{record.ok:>7}{best:>{column}}")
        return lines


def threshold_lines(calibration: Calibration) -> list[str]:
    r"""Return a line on the threshold for a false-alarm rate and, where there are defects, one on that of the best F1.

    Example:
        >>> print("\n".join(threshold_lines(Calibration(normal=range(1, 20), defects=[18.5, 30.0]))))
        threshold 19: at most 5 % false alarms, the least that 19 good images allow; finds 1 of 2 defects
        threshold 18.25: highest F1, 0.800 on the images it was chosen on: finds 2 of 2 defects, 1 false alarm of 19
    """
    default, best = calibration.default(), calibration.best_f1()
    n_good, of_defects = len(calibration.normal), f"of {len(calibration.defects)} {calibration.defect}s"
    line = f"threshold {default.value:.4g}: {claim(calibration)}"
    if best is None:
        return [line]
    found, chosen = default.confusion.found_defects, best.confusion
    return [
        f"{line}; finds {found} {of_defects}",
        f"threshold {best.value:.4g}: highest F1, {chosen.f1:.3f} on the images it was chosen on: finds "
        f"{chosen.found_defects} {of_defects}, {chosen.false_alarms} false "
        f"alarm{'' if chosen.false_alarms == 1 else 's'} of {n_good}",
    ]


def claim(calibration: Calibration) -> str:
    """Return what the threshold for a false-alarm rate guarantees, and what limits it.

    Example:
        >>> claim(Calibration(normal=range(150)))
        'at most 1 % false alarms, from 150 good images'
    """
    rate, n = calibration.default().rate, len(calibration.normal)
    assert rate is not None
    limited = calibration.rate is None and rate > DEFAULT_RATE
    return f"at most {100 * rate:.3g} % false alarms, " + (
        f"the least that {n} good images allow" if limited else f"from {n} good images"
    )
