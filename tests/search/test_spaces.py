from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nni.mutable import Categorical, MutableDict, SampleValidationError
from nni.mutable.symbol import SymbolicExpression
from nni.nas.space import ModelStatus

from autoad_nni.errors import AutoADError
from autoad_nni.search.spaces import SampleSpace, declare, narrow, to_search_space

LABELS = to_search_space(
    declare(
        "autoencoder",
        [
            "hypothesis",
            "distance",
            *[
                f"layer1_{key}"
                for key in ("channels", "kernel", "pooling", "pooling_kernel", "normalization", "activation")
            ],
        ],
    )
)
SAMPLE = {label: entry["_value"][0] for label, entry in LABELS.items()} | {"hypothesis": "reconstruction"}


def space_of(**values: list[Any]) -> MutableDict:
    return MutableDict({label: Categorical(choice, label=label) for label, choice in values.items()})


def choices(**values: list[Any]) -> dict[str, Any]:
    return {label: {"_type": "choice", "_value": choice} for label, choice in values.items()}


def same(left: Any, right: Any) -> bool:
    """Equal as JSON: True is not 1, 1.0 is not 1."""
    return json.dumps(left) == json.dumps(right)


# Values that YAML can hold; in one choice NNI wants them to differ by ==.
SCALARS = st.integers(-3, 3) | st.booleans() | st.floats(0, 4, width=16) | st.text("abyno", max_size=3) | st.none()
VALUES = st.lists(SCALARS | st.lists(st.integers(0, 2), max_size=2), min_size=1, max_size=5, unique_by=repr).filter(
    lambda values: all(a != b for i, a in enumerate(values) for b in values[:i])
)
DECLARED = st.dictionaries(st.sampled_from(["a", "b", "layer_1"]), VALUES, min_size=1, max_size=3)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(DECLARED)
def test_a_declared_space_written_and_read_back_is_the_same(values: dict[str, list[Any]]) -> None:
    declared = space_of(**values)
    written = json.loads(json.dumps(to_search_space(declared)))
    assert same(written, choices(**values))
    narrowed = narrow(declared, written)
    assert {label: mutable.values for label, mutable in narrowed.items()} == values
    assert same(to_search_space(MutableDict(narrowed)), written)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(DECLARED, st.data())
def test_narrowing_keeps_the_named_values_in_their_order_and_each_once(
    values: dict[str, list[Any]], data: st.DataObject
) -> None:
    kept = {label: data.draw(st.lists(st.sampled_from(known), min_size=1)) for label, known in values.items()}
    narrowed = narrow(space_of(**values), choices(**kept))
    for label, repeated in kept.items():
        distinct = [value for i, value in enumerate(repeated) if value not in repeated[:i]]
        assert same(narrowed[label].values, distinct)
        assert narrowed[label].label == label


@settings(deadline=None, derandomize=True, max_examples=50)
@given(DECLARED, st.data())
def test_no_value_can_be_added(values: dict[str, list[Any]], data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(sorted(values)))
    foreign = data.draw((SCALARS | st.lists(SCALARS)).filter(lambda v: not any(same(v, k) for k in values[label])))
    with pytest.raises(AutoADError) as caught:
        narrow(space_of(**values), choices(**{**values, label: [*values[label], foreign]}))
    assert str(caught.value) == (
        f"searchSpace has the unknown value {foreign!r} for {label}. Expected values out of {values[label]}. "
        "The file may narrow the space, not widen it: drop that value."
    )


@pytest.mark.parametrize(("known", "given_value"), [([1, 2], True), ([True, False], 1), ([1, 2], 1.0), ([0.0, 0.5], 0)])
def test_equal_values_of_different_types_are_different_values(known: list[Any], given_value: Any) -> None:
    with pytest.raises(AutoADError, match=f"unknown value {given_value!r} for a"):
        narrow(space_of(a=known), choices(a=[known[1], given_value]))


def test_a_value_may_be_a_list() -> None:
    assert narrow(space_of(a=[[1, 2], [3]]), choices(a=[[3], [3], [1, 2]]))["a"].values == [[3], [1, 2]]


def test_the_real_space_goes_round() -> None:
    declared = declare("autoencoder", LABELS)
    assert to_search_space(MutableDict(narrow(declared, LABELS))) == LABELS


@pytest.mark.parametrize(
    ("search_space", "message"),
    [
        (
            choices(width=[1], dept=[1], depth=[1]),
            "searchSpace has the unknown label 'dept'. Expected one of depth, width. Did you mean 'depth'?",
        ),
        (
            choices(width=[1], depth=[1], colour=[1]),
            "searchSpace has the unknown label 'colour'. Expected one of depth, width. "
            "'autoad-nni space' prints the whole space.",
        ),
        (
            {**choices(width=[1], depth=[1]), 7: {"_type": "choice", "_value": [1]}},
            "searchSpace has the unknown label 7. Expected one of depth, width. "
            "'autoad-nni space' prints the whole space.",
        ),
        (
            choices(width=[1]),
            "searchSpace lacks the label 'depth'. Expected every choice of the space. "
            "Add it with one value to fix it, for instance depth: {_type: choice, _value: [1]}.",
        ),
        (
            choices(width=[], depth=[1]),
            "searchSpace leaves width without a value. Expected one or more of [1, 2]. Add one.",
        ),
        (
            choices(width=[3], depth=[1]),
            "searchSpace has the unknown value 3 for width. Expected values out of [1, 2]. "
            "The file may narrow the space, not widen it: drop that value.",
        ),
    ],
)
def test_a_search_space_that_does_not_fit_says_why(search_space: Mapping[Any, Any], message: str) -> None:
    with pytest.raises(AutoADError) as caught:
        narrow(space_of(width=[1, 2], depth=[1, 2]), search_space)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "entry", [[1], "1", None, 1, {}, {"_type": "uniform", "_value": [1, 2]}, {"_type": "choice", "_value": 1}]
)
def test_an_entry_that_is_no_choice_says_what_one_looks_like(entry: Any) -> None:
    with pytest.raises(AutoADError) as caught:
        narrow(space_of(width=[1, 2]), {"width": entry})
    if entry is None:
        assert "lacks the label 'width'" in str(caught.value)
    else:
        assert str(caught.value).startswith(f"searchSpace has width: {entry!r}. Expected {{_type: choice, _value: [")


def test_constraints_are_kept_though_json_cannot_hold_them() -> None:
    width, depth = (Categorical([1, 2], label=label) for label in ("width", "depth"))
    constraint = (width + depth) <= 3
    assert isinstance(constraint, SymbolicExpression)
    from nni.mutable import ExpressionConstraint

    declared = MutableDict({"width": width, "depth": depth, "rule": ExpressionConstraint(constraint, label="rule")})
    assert set(to_search_space(declared)) == {"width", "depth"}
    space = SampleSpace(narrow(declared, choices(width=[2], depth=[1, 2])))
    assert space.contains({"width": 2, "depth": 1})
    assert not space.contains({"width": 2, "depth": 2})


def test_a_frozen_sample_knows_its_values_and_stays_in_the_narrowed_space() -> None:
    ran = []
    space = SampleSpace(narrow(space_of(a=[1, 2, 3]), choices(a=[2, 3])), evaluate=ran.append)
    frozen = space.freeze({"a": 3})
    assert frozen.sample == {"a": 3} and type(next(iter(frozen.sample))) is str
    assert frozen.status == ModelStatus.Frozen
    with pytest.raises(SampleValidationError):
        space.freeze({"a": 1})
    frozen.execute()
    assert ran == [frozen]
    assert "{'a': 3}" in repr(frozen)


def test_a_space_that_only_names_samples_says_so_when_it_is_run() -> None:
    with pytest.raises(RuntimeError, match="built without a function to run them"):
        SampleSpace(space_of(a=[1])).freeze({"a": 1}).execute()


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(AutoADError, match=r"Unknown search space 'autoencodr'.*Did you mean 'autoencoder'"):
        declare("autoencodr", LABELS)
