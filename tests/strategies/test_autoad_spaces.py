from __future__ import annotations

import itertools
from typing import Any

import pytest
from nni.mutable import Categorical, CategoricalMultiple, ExpressionConstraint, Mutable, MutableDict, Numerical
from tiny_space import TinySpace

from autoad_nni_strategies.spaces import Action, Decision, decisions_of, size_of, successor, to_action, to_sample


def test_a_model_space_in_its_own_order_with_plain_labels() -> None:
    decisions = decisions_of(TinySpace())
    assert decisions == (
        Decision("width", (2, 4, 8, 16)),
        Decision("drop", (0.0, 0.25, 0.5)),
        Decision("activation", ("relu", "tanh")),
    )
    assert all(type(decision.label) is str for decision in decisions)
    assert size_of(decisions) == 24


def test_values_of_any_json_type_reach_the_sample_unchanged() -> None:
    values: list[Any] = [None, True, 2, 0.5, "text", [1, [2]], {"a": {"b": 1}}]
    space = MutableDict({"x": Categorical(values, label="x")})
    decisions = decisions_of(space)
    for index, value in enumerate(values):
        sample = to_sample(decisions, (index,))
        assert sample == {"x": value}
        assert to_action(decisions, sample) == (index,)
        assert type(sample["x"]) is type(value)
        assert space.contains(sample)


def test_constraints_are_no_decisions() -> None:
    a, b = Categorical([1, 2], label="a"), Categorical([1, 2, 3], label="b")
    space = MutableDict({"a": a, "b": b, "sum": ExpressionConstraint(a + b == 4, label="sum")})
    assert [decision.label for decision in decisions_of(space)] == ["a", "b"]


@pytest.mark.parametrize(
    ("mutable", "kind"),
    [
        (Numerical(0, 1, label="rate"), "Numerical"),
        (CategoricalMultiple([1, 2, 3], label="rate"), "CategoricalMultiple"),
    ],
)
def test_other_mutables_are_refused_in_plain_words(mutable: Mutable, kind: str) -> None:
    with pytest.raises(TypeError, match=f"'rate' is a {kind}, but .* Declare it as a Categorical"):
        decisions_of(MutableDict({"width": Categorical([1, 2], label="width"), "rate": mutable}))


def test_a_space_without_choices_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing to search"):
        decisions_of(MutableDict({}))


def test_successors_visit_every_action_once_in_order() -> None:
    decisions = decisions_of(TinySpace())
    action: Action = (0, 0, 0)
    visited = [action]
    for _ in range(23):
        action = successor(decisions, action)
        visited.append(action)
    assert visited == list(itertools.product(range(4), range(3), range(2)))
    assert successor(decisions, action) == (0, 0, 0)


def test_a_single_value_is_a_decision_too() -> None:
    decisions = (Decision("fixed", (1,)), Decision("free", (1, 2)))
    assert successor(decisions, (0, 1)) == (0, 0)
    assert successor(decisions, (0, 0)) == (0, 1)
