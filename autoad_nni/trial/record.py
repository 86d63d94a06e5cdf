"""The record of a trial: what it was, how it ended, what it cost. The one form in which a result is passed on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final

from autoad_nni.errors import AutoADError
from autoad_nni.trial.plugins import PluginVersions
from autoad_nni.verdicts import Verdict

__all__ = ["FAILED_REWARD", "TrialRecord"]

FAILED_REWARD: Final = 0.0
"""Reward of a trial that failed: the lowest value that any reward can take."""

_ADDED: Final = frozenset({"ms"})
"""Fields that records of earlier versions lack."""

_LARGEST: Final = 1e100
"""Of any figure in a record: larger ones cannot be averaged or drawn."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """A trial that has ended.

    Attributes:
        number: Of the trial in its search, from 0.
        sample: Value by label.
        verdict: How it ended.
        reward: What the strategy is given: a metric on validation in [0, 1]; of a stopped trial, the last that was
            measured; 0.0 unless the verdict is ok or stopped.
        validation: Every metric on validation, by name; of a stopped trial, the reward; empty unless the verdict is ok
            or stopped.
        macs: Multiply-adds of one image, or of one window; None if they were not counted.
        parameters: Number of parameters of the autoencoder; None if they were not counted.
        seconds: How long the trial took, 0 or more.
        ms: Milliseconds of processor time that the trained model takes for one image, on one thread
            (:func:`autoad_nni.trial.timing.ms_per_image`); of a model that was refused before training, those of its
            network alone. None if they were not measured.
        plugins: Which plugins ran, in which version.
        reading: How map and score come from the model (:class:`autoad_nni.models.readings.Reading`), chosen on
            validation; empty for windows, and unless the verdict is ok.
        detail: One sentence on a verdict other than ok.
        known: Name of the known method as which the sample was tried; empty for any other sample.
        fingerprint: Of the scores of the validation images: two trials with the same one are the same model. Empty
            unless the verdict is ok.

    Example:
        >>> record = TrialRecord(number=3, sample={"distance": "l1"}, verdict=Verdict.OK, reward=0.75,
        ...     validation={"auroc": 0.75}, macs=5400, parameters=61, seconds=1.5)
        >>> TrialRecord.from_json(record.to_json()) == record
        True
        >>> record.to_report()["default"], record.to_report()["auroc"]
        (0.75, 0.75)
    """

    number: int
    sample: Mapping[str, Any]
    verdict: Verdict
    reward: float = FAILED_REWARD
    validation: Mapping[str, float] = field(default_factory=dict)
    macs: int | None = None
    parameters: int | None = None
    seconds: float = 0.0
    ms: float | None = None
    plugins: PluginVersions = field(default_factory=dict)
    reading: str = ""
    detail: str = ""
    known: str = ""
    fingerprint: str = ""

    @property
    def ok(self) -> bool:
        """Whether the trial ended well."""
        return self.verdict is Verdict.OK

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain JSON: a line of ``history.jsonl``, a part of ``best.json``."""
        content = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            **content,
            "sample": dict(self.sample),
            "verdict": self.verdict.value,
            "validation": dict(self.validation),
            "plugins": dict(self.plugins),
        }

    @classmethod
    def from_json(cls, content: Any) -> TrialRecord:
        """Read what `to_json` wrote.

        Raises:
            AutoADError: If it is something else.
        """
        known = {each.name for each in fields(cls)}
        if not isinstance(content, Mapping) or not known - _ADDED <= set(content) <= known or not _is_sound(content):
            raise AutoADError(
                f"a record of a trial is {str(content)[:120]}. Expected an object with {', '.join(sorted(known))}. "
                "The file was changed by hand, or written by another version: restore it."
            )
        return cls(**{**content, "verdict": Verdict(content["verdict"])})

    def to_report(self) -> dict[str, float | int | str]:
        """Return the flat form in which a trial reports to NNI, whose web UI shows no nested values."""
        costs = {"macs": self.macs, "parameters": self.parameters, "ms": self.ms, "seconds": self.seconds}
        return {
            "default": self.reward,
            **self.validation,
            **{name: value for name, value in costs.items() if value is not None},
            **{name: value for name in ("known", "reading", "fingerprint") if (value := getattr(self, name))},
            "verdict": self.verdict.value,
            "plugins": "; ".join(f"{plugin}: {version}" for plugin, version in self.plugins.items()),
            "detail": self.detail,
        }

    @classmethod
    def from_report(cls, number: int, sample: Mapping[str, Any], report: Any) -> TrialRecord:
        """Read what a trial reported to NNI: `to_report`, or only a number, or an object with ``default``.

        A report without a finite reward is that of a crashed trial.
        """
        flat = dict(report) if isinstance(report, Mapping) else {"default": report}
        reward = flat.pop("default", None)
        if not _is_figure(reward):
            return cls.crashed(number, sample, f"The trial reported {reward!r}, which is not a finite number.")
        known = {verdict.value for verdict in Verdict}
        verdict = flat.pop("verdict", Verdict.OK.value)
        macs, parameters, ms, seconds = (flat.pop(name, None) for name in ("macs", "parameters", "ms", "seconds"))
        pairs = (pair.partition(": ") for pair in str(flat.pop("plugins", "")).split("; ") if pair)
        return cls(
            number=number,
            sample=dict(sample),
            verdict=Verdict(verdict) if verdict in known else Verdict.OK,
            reward=float(reward),
            plugins={plugin: version for plugin, _, version in pairs},
            reading=str(flat.pop("reading", "")),
            detail=str(flat.pop("detail", "")),
            known=str(flat.pop("known", "")),
            fingerprint=str(flat.pop("fingerprint", "")),
            macs=int(macs) if _is_figure(macs) and macs >= 0 else None,
            parameters=int(parameters) if _is_figure(parameters) and parameters >= 0 else None,
            ms=float(ms) if _is_figure(ms) and ms >= 0 else None,
            seconds=float(seconds) if _is_figure(seconds) and seconds >= 0 else 0.0,
            validation={name: float(value) for name, value in flat.items() if _is_figure(value)},
        )

    @classmethod
    def crashed(cls, number: int, sample: Mapping[str, Any], detail: str, **more: Any) -> TrialRecord:
        """Return the record of a trial that raised an error, or whose process ended without a result.

        Of a detail longer than 2,000 characters the middle is left out: a plugin's message may be of any length.
        """
        if len(detail) > _LONGEST_DETAIL:
            half = _LONGEST_DETAIL // 2
            detail = f"{detail[:half]} ... {detail[-half:]}"
        return cls(number=number, sample=dict(sample), verdict=Verdict.CRASHED, detail=detail, **more)


_LONGEST_DETAIL: Final = 2000


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_figure(value: Any) -> bool:
    """Whether it is a number that can be compared, averaged and drawn."""
    return _is_number(value) and -_LARGEST <= value <= _LARGEST


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _is_sound(content: Mapping[str, Any]) -> bool:
    """Whether the values are of the types that the record has."""
    return (
        _is_count(content["number"])
        and all(isinstance(content[name], Mapping) for name in ("sample", "validation", "plugins"))
        and content["verdict"] in [verdict.value for verdict in Verdict]
        and _is_figure(content["reward"])
        and _is_figure(content["seconds"])
        and content["seconds"] >= 0
        and (content.get("ms") is None or (_is_figure(content["ms"]) and content["ms"] >= 0))
        and all(content[name] is None or _is_count(content[name]) for name in ("macs", "parameters"))
        and all(map(_is_figure, content["validation"].values()))
        and all(isinstance(content[name], str) for name in ("reading", "detail", "known", "fingerprint"))
        and all(isinstance(version, str) for version in content["plugins"].values())
    )
