"""Hypothesis strategies for files that were damaged: some of their bytes, or the structure of their JSON."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_TOKENS = [b"", b"\0", b"\xff" * 4, b"[" * 2000, b'"', b"{}", b"-1", b"1e999", b"NaN", b"9" * 400, b"\n", b"null"]
_BYTES = st.one_of(st.sampled_from([*_TOKENS, b"\x7f\xff\xff\xff"]), st.binary(max_size=8))

_NUMBERS = (None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**63, 10**30, 10**300)
_TEXTS = ("", "x", "\0", "\ud800", "\x1b[2J", "a" * 5000)
_STRUCTURES = ([], {}, [[]], [0], [None] * 3, {"": None}, {"x": {"y": []}}, list(range(2000)))
ODD_VALUES = st.one_of(
    st.sampled_from(_NUMBERS),
    st.sampled_from(_TEXTS),
    st.sampled_from(_STRUCTURES).map(copy.deepcopy),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)


@st.composite
def damaged_bytes(draw: st.DrawFn, content: bytes) -> bytes:
    """The content with up to four parts replaced, or cut at the end."""
    damaged = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(damaged)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 8, 64, len(damaged)]))
        damaged[start : start + length] = draw(_BYTES)
    return bytes(damaged)


def _places(value: Any, here: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value[:20]) if isinstance(value, list) else ()
    for key, each in items:
        yield from _places(each, (*here, key))


@st.composite
def damaged_json(draw: st.DrawFn, content: Any) -> Any:
    """The content with up to three values replaced, removed, doubled or taken from elsewhere in it."""
    damaged = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        places = list(_places(damaged))
        place = draw(st.sampled_from(places))
        if not place:
            if draw(st.integers(0, 9)) == 0:
                return draw(ODD_VALUES)
            continue
        parent = damaged
        for key in place[:-1]:
            parent = parent[key]
        kind = draw(st.sampled_from(["replace", "replace", "replace", "remove", "add", "other"]))
        if kind == "replace":
            parent[place[-1]] = draw(ODD_VALUES)
        elif kind == "remove":
            del parent[place[-1]]
        elif kind == "other":
            other = damaged
            for key in draw(st.sampled_from(places)):
                other = other[key]
            parent[place[-1]] = copy.deepcopy(other)
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=5))] = draw(ODD_VALUES)
        else:
            parent.append(draw(ODD_VALUES))
    return damaged
