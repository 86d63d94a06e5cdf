"""What the trials of a search came to: verdicts, and how each hypothesis and each distance fared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from autoad_nni.verdicts import Verdict

__all__ = ["ChoiceRecord", "TrialSummary"]

LABELS: Final = ("hypothesis", "distance")
_LIMITS: Final = {
    Verdict.OVER_MACS.value: "--max-macs",
    Verdict.OVER_TIME.value: "--max-seconds",
    Verdict.OVER_MEMORY.value: "--max-memory",
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

    Example:
        >>> summary = TrialSummary()
        >>> summary.add({"hypothesis": "density", "distance": "l1"}, {"default": 0.75, "verdict": "ok"})
        >>> summary.add({"hypothesis": "density", "distance": "l2"}, None)
        >>> print("\n".join(summary.lines()))
        2 trials: 1 crashed, 1 ok
                                trials     ok  best reward
        hypothesis density           2      1       0.7500
        distance l1                  1      1       0.7500
        distance l2                  1      0            -
    """

    def __init__(self) -> None:
        self.verdicts: Counter[str] = Counter()
        self.choices: dict[str, dict[str, ChoiceRecord]] = {label: {} for label in LABELS}

    def add(self, sample: Mapping[str, Any], metrics: Mapping[str, Any] | None) -> None:
        """Counts a trial; ``metrics`` is None, or without a reward, for one that crashed."""
        verdict = "crashed" if metrics is None else str(metrics.get("verdict", "ok"))
        self.verdicts[verdict] += 1
        for label in LABELS:
            if label not in sample:
                continue
            record = self.choices[label].setdefault(str(sample[label]), ChoiceRecord())
            record.trials += 1
            if verdict == "ok" and metrics is not None:
                record.ok += 1
                reward = float(metrics["default"])
                record.best = reward if record.best is None else max(record.best, reward)

    def to_json(self) -> dict[str, Any]:
        """Returns ``{label: {value: {trials, ok, best}}}``, values sorted."""
        return {
            label: {value: vars(records[value]) for value in sorted(records)}
            for label, records in self.choices.items()
            if records
        }

    def headline(self) -> str:
        """Returns how many trials there were and how they ended."""
        count = self.verdicts.total()
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(self.verdicts.items()))
        return f"{count} trial{'' if count == 1 else 's'}: {verdicts or 'none ended'}"

    def no_good_trial(self, more_trials: str) -> str:
        """Says that none ended well, how they ended, and what to do.

        Args:
            more_trials: How the user gets more trials, as an imperative.
        """
        options = " and ".join(option for verdict, option in _LIMITS.items() if self.verdicts[verdict])
        advice = f", or raise {options} in trialCommand and start anew" if options else ""
        return f"no trial ended well of {self.headline()}. Expected one with the verdict ok. {more_trials}{advice}."

    def lines(self) -> list[str]:
        """Returns the summary as a table to print."""
        names = [f"{label} {value}" for label, records in self.choices.items() for value in records]
        width = max([23, *(len(name) + 1 for name in names)])
        lines = [
            self.headline(),
            f"{'':<{width}}{'trials':>7}{'ok':>7}{'best reward':>13}",
        ]
        for label, records in self.choices.items():
            for value in sorted(records):
                record = records[value]
                best = "-" if record.best is None else f"{record.best:.4f}"
                lines.append(f"{f'{label} {value}':<{width}}{record.trials:>7}{record.ok:>7}{best:>13}")
        return lines
