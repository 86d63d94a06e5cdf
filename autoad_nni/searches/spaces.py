"""Search spaces between three worlds: NNI's mutables, the JSON form in the experiment file, samples to run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Final

from nni.mutable import Categorical, LabeledMutable, Mutable, MutableDict, Sample, SampleValidationError
from nni.nas.space import ExecutableModelSpace, ModelStatus

from autoad_nni.errors import AutoADError
from autoad_nni.registry import FEATURES, HYPOTHESES, LOSSES, SEARCH_SPACES

__all__ = ["LAYERS", "SampleSpace", "declare", "declare_whole", "holds", "narrow", "to_search_space"]

SearchSpace = Mapping[str, Any]
"""NNI's JSON form: ``{label: {"_type": "choice", "_value": [...]}}``."""


class SampleSpace(ExecutableModelSpace):  # type: ignore[misc]
    """A space that knows labels and values only, and calls a function to run a sample.

    Strategies see this one: it is light, so it can be frozen thousands of times, and it can be narrowed.

    Args:
        mutables: Mutables by label; constraints may be among them.
        evaluate: Runs a frozen space in this process; None where somebody else runs it.
    """

    evaluator = None

    def __init__(self, mutables: Mapping[str, Mutable], evaluate: Callable[[SampleSpace], None] | None = None) -> None:
        super().__init__()
        self.mutables = MutableDict(dict(mutables))
        self.evaluate = evaluate
        self.sample: Sample | None = None
        self.trial_id: int | None = None
        """Number of the submission in the journal; set when the sample is submitted."""
        self.known = ""
        """Name of the known method as which the sample is tried; empty for one that a strategy proposed."""

    def freeze(self, sample: Sample) -> SampleSpace:
        """Return the one model that ``sample`` names; SampleValidationError if it is not in the space."""
        self.validate(sample)
        return self.recorded(sample)

    def recorded(self, sample: Sample) -> SampleSpace:
        """Return the model of a sample that was in the space when it was recorded."""
        frozen = SampleSpace({}, self.evaluate)
        frozen.mutables = self.mutables
        frozen.sample = {str(label): value for label, value in sample.items()}
        frozen.status = ModelStatus.Frozen
        return frozen

    def check_contains(self, sample: Sample) -> SampleValidationError | None:
        """Return why ``sample`` is not in the space, or None."""
        return self.mutables.check_contains(sample)

    def leaf_mutables(self, is_leaf: Callable[[Mutable], bool]) -> Iterable[LabeledMutable]:
        """Yield the choices."""
        yield from self.mutables.leaf_mutables(is_leaf)

    def execute(self) -> None:
        """Run the sample in this process."""
        if self.evaluate is None:
            raise RuntimeError("this space only names samples; it was built without a function to run them")
        self.evaluate(self)

    def extra_repr(self) -> str:
        """Return what distinguishes two models."""
        return f"sample={self.sample!r}, status={self.status!r}"


def declare(space: str, labels: Iterable[str], *, channels: int = 1) -> Any:
    """Build the registered space that has exactly these labels, with every installed hypothesis and distance.

    Args:
        space: Name in the registry of search spaces.
        labels: All labels of the space.
        channels: Image channels, 1 or 3.

    Raises:
        AutoADError: If the space is not registered, or a label is unknown or missing.
    """
    labels = list(labels)
    installed = {"hypotheses": HYPOTHESES.names(), "distances": LOSSES.names()}
    if "extractor" in labels:
        installed["extractors"] = FEATURES.names()
    return SEARCH_SPACES.load(space).for_labels(labels, channels=channels, **installed)


LAYERS: Final = 3
"""Layers of a space that has layers, where nobody says how many."""


def declare_whole(space: str, layers: int = LAYERS) -> Any:
    """Build a registered space as it is by default.

    Args:
        space: Name in the registry of search spaces.
        layers: How many layers; ignored by a space whose ``has_layers`` is false.

    Raises:
        AutoADError: If the space is not registered.
    """
    factory = SEARCH_SPACES.load(space)
    return factory(layers) if getattr(factory, "has_layers", True) else factory()


def to_search_space(space: Any) -> dict[str, Any]:
    """Write the choices of an NNI model space in NNI's JSON form (constraints cannot be written)."""
    return {
        str(label): {"_type": "choice", "_value": list(mutable.values)}
        for label, mutable in space.simplify().items()
        if isinstance(mutable, Categorical)
    }


def narrow(declared: Any, search_space: SearchSpace) -> dict[str, Mutable]:
    """Return the mutables of ``declared`` with the values that ``search_space`` keeps.

    Args:
        declared: An NNI model space.
        search_space: Labels and values of the experiment file; it may drop values, never add any.

    Raises:
        AutoADError: If a label or a value is unknown, a label is missing, or no value is left.
    """
    mutables = dict(declared.simplify())
    choices = {str(label): mutable for label, mutable in mutables.items() if isinstance(mutable, Categorical)}
    for label in search_space:
        if label not in choices:
            raise AutoADError(
                f"searchSpace has the unknown label {label!r}. Expected one of {_listed(choices)}. "
                f"{_did_you_mean(label, choices)}"
            )
    narrowed = {label: mutable for label, mutable in mutables.items() if str(label) not in choices}
    for label, mutable in choices.items():
        narrowed[label] = Categorical(_kept_values(label, list(mutable.values), search_space), label=label)
    return narrowed


def _kept_values(label: str, known: list[Any], search_space: SearchSpace) -> list[Any]:
    entry = search_space.get(label)
    if entry is None:
        raise AutoADError(
            f"searchSpace lacks the label {label!r}. Expected every choice of the space. "
            f"Add it with one value to fix it, for instance {label}: {{_type: choice, _value: [{known[0]}]}}."
        )
    if not isinstance(entry, Mapping) or entry.get("_type") != "choice" or not isinstance(entry.get("_value"), list):
        raise AutoADError(
            f"searchSpace has {label}: {entry!r}. Expected {{_type: choice, _value: [...]}}. "
            "Write it as 'autoad-nni space' does."
        )
    kept: list[Any] = []
    for value in entry["_value"]:
        if not _contains(known, value):
            raise AutoADError(
                f"searchSpace has the unknown value {value!r} for {label}. Expected values out of {known}. "
                "The file may narrow the space, not widen it: drop that value."
            )
        if not _contains(kept, value):
            kept.append(value)
    if not kept:
        raise AutoADError(f"searchSpace leaves {label} without a value. Expected one or more of {known}. Add one.")
    return kept


def holds(mutables: Mapping[str, Mutable], sample: Mapping[str, Any]) -> bool:
    """Return whether a sample is in a space: it has every label and no other, and breaks no constraint.

    Args:
        mutables: Of the space, by label; constraints may be among them.
        sample: Value by label.
    """
    choices = {str(label): mutable.values for label, mutable in mutables.items() if isinstance(mutable, Categorical)}
    return (
        choices.keys() == sample.keys()
        and all(_contains(list(values), sample[label]) for label, values in choices.items())
        and SampleSpace(mutables).check_contains(dict(sample)) is None
    )


def _contains(values: list[Any], value: Any) -> bool:
    """Return whether ``value`` is among ``values``; 1 is not True and not 1.0, as in JSON."""
    return any(value == other and type(value) is type(other) for other in values)


def _listed(names: Iterable[str]) -> str:
    shown = sorted(names)
    return ", ".join(shown[:8]) + (f", ... ({len(shown)} in all)" if len(shown) > 8 else "")


def _did_you_mean(name: str, names: Iterable[str]) -> str:
    close = get_close_matches(str(name), list(names), n=1)
    return f"Did you mean {close[0]!r}?" if close else "'autoad-nni space' prints the whole space."
