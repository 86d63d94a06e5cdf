"""Charts as SVG within the page: its style sheet colours them, and each has a title and a sentence that says the same.

Written by hand because no library fits: pygal, small and kept, is under the LGPL, loads scripts from elsewhere for its
tooltips, writes colours into each file, so that none follows a dark page, and knows no text alternative; matplotlib,
50 MB, draws text as paths that no screen reader reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final

from autoad_nni.runs.report.markup import Markup, element
from autoad_nni.runs.report.scale import Scale

__all__ = ["Chart", "range_bar"]

Point = tuple[float, float]

# That of a telephone: a chart is never drawn smaller, so its text is always large enough to read.
_WIDTH: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 10, 40
_NEAR = 0.6


class Chart:
    """A chart with two axes; later parts lie over earlier ones.

    Args:
        x: The horizontal axis.
        y: The vertical axis.
        title: What is shown.
        summary: The same in a sentence with figures.
        height: Of the whole, in units of which the width has 380, or as many as `width` says.
    """

    def __init__(self, x: Scale, y: Scale, *, title: str, summary: str, width: int = _WIDTH, height: int = 240) -> None:
        self._x, self._y, self._title, self._summary, self._width, self._height = x, y, title, summary, width, height
        self._parts: list[Markup] = []

    def _left(self, x: float) -> float:
        return _LEFT + min(max(self._x.place(x), 0.0), 1.0) * (self._width - _LEFT - _RIGHT)

    def _top(self, y: float) -> float:
        return self._height - _BOTTOM - min(max(self._y.place(y), 0.0), 1.0) * (self._height - _TOP - _BOTTOM)

    def line(self, points: Iterable[Point], kind: str) -> None:
        """Draw a line through points."""
        if path := self._path(points):
            self._parts.append(element("path", d=path, class_=f"line {kind}"))

    def steps(self, points: Sequence[Point], kind: str) -> None:
        """Draw a line that keeps its height until the next point."""
        corners = [points[0]] if points else []
        for (_, before), point in pairwise(points):
            corners += [(point[0], before), point]
        self.line(corners, kind)

    def band(self, low: Sequence[Point], high: Sequence[Point], kind: str) -> None:
        """Fill what is between two lines."""
        self._parts.append(element("path", d=self._path([*low, *reversed(high)]) + "Z", class_=f"band {kind}"))

    def bars(self, edges: Sequence[float], heights: Sequence[float], kind: str) -> None:
        """Draw a bar from 0, upwards or downwards, between each two neighbouring edges."""
        for left, right, height in zip(edges, edges[1:], heights, strict=False):
            if height:
                x, (y, bottom) = self._left(left), sorted((self._top(height), self._top(0)))
                width, tall = max(self._left(right) - x - 0.5, 0.5), bottom - y
                self._parts.append(element("rect", x=_short(x), y=_short(y), width=_short(width), height=_short(tall),
                                           class_=f"bar {kind}"))  # fmt: skip

    def dots(self, points: Sequence[Point], kind: str, titles: Sequence[str] = ()) -> None:
        """Draw dots; a pointer that rests on one shows its title."""
        for i, (x, y) in enumerate(points):
            title = [element("title", titles[i])] if titles else []
            at = {"cx": _short(self._left(x)), "cy": _short(self._top(y))}
            self._parts.append(element("circle", *title, **at, r=3, class_=f"dot {kind}"))

    def vertical(self, x: float, text: str, kind: str) -> None:
        """Draw a line from the bottom to the top, with a text beside its upper end."""
        at = self._left(x)
        self.line([(x, self._y.low), (x, self._y.high)], kind)
        is_right = at > self._width / 2
        self._text(at + (-4 if is_right else 4), _TOP + 8, text, "end" if is_right else "start", kind)

    def text(
        self, x: float, y: float, text: str, kind: str, *, anchor: str = "start", dx: int = 0, dy: int = 0
    ) -> None:
        """Write a text beside a point."""
        self._text(self._left(x) + dx, self._top(y) + dy, text, anchor, kind)

    def _text(self, x: float, y: float, text: str, anchor: str, kind: str) -> None:
        self._parts.append(element("text", text, x=_short(x), y=_short(y), text_anchor=anchor, class_=f"label {kind}"))

    def _path(self, points: Iterable[Point]) -> str:
        """Points as a path, without those that lie in the place of the one before."""
        words: list[str] = []
        before = last = (-9.0, -9.0)
        for x, y in points:
            last = self._left(x), self._top(y)
            if abs(last[0] - before[0]) + abs(last[1] - before[1]) >= _NEAR:
                words.append(f"{'L' if words else 'M'}{_short(last[0])} {_short(last[1])}")
                before = last
        if words and last != before:
            words.append(f"L{_short(last[0])} {_short(last[1])}")
        return "".join(words)

    def draw(self) -> Markup:
        """Return the chart."""
        return element(
            "svg",
            element("title", self._title),
            element("desc", self._summary),
            *self._axes(),
            *self._parts,
            viewBox=f"0 0 {self._width} {self._height}",
            role="img",
            aria_label=f"{self._title}. {self._summary}",
            class_="chart",
        )

    def _axes(self) -> list[Markup]:
        bottom, parts = self._height - _BOTTOM, []
        for value, text in self._y.ticks(4):
            y = self._top(value)
            parts.append(element("path", d=f"M{_LEFT} {_short(y)}H{self._width - _RIGHT}", class_="grid"))
            parts.append(element("text", text, x=_LEFT - 6, y=_short(y + 4), text_anchor="end", class_="tick"))
        parts.append(element("path", d=f"M{_LEFT} {bottom}H{self._width - _RIGHT}", class_="axis"))
        for value, text in self._x.ticks(5):
            x = self._left(value)
            parts.append(element("path", d=f"M{_short(x)} {bottom}v4", class_="axis"))
            parts.append(element("text", text, x=_short(x), y=bottom + 16, text_anchor="middle", class_="tick"))
        middle = (_LEFT + self._width - _RIGHT) / 2
        parts.append(element("text", self._x.label, x=middle, y=self._height - 5, text_anchor="middle", class_="tick"))
        if self._y.label:
            y = (bottom + _TOP) / 2
            turned = f"translate(10 {y:g}) rotate(-90)"
            parts.append(element("text", self._y.label, transform=turned, text_anchor="middle", class_="tick"))
        return parts


def range_bar(scale: Scale, value: float, low: float, high: float, *, kind: str = "") -> Markup:
    """Return a dot on a line from ``low`` to ``high``, for a cell of a table that says the same in figures."""
    left, right, at = (2 + 96 * min(max(scale.place(each), 0.0), 1.0) for each in (low, high, value))
    return element(
        "svg",
        element("path", d="M2 7H98", class_="grid"),
        element("path", d=f"M{_short(left)} 7H{_short(right)}", class_=f"line {kind}"),
        element("circle", cx=_short(at), cy=7, r=3.5, class_=f"dot {kind}"),
        viewBox="0 0 100 14",
        aria_hidden="true",
        class_="range",
    )


def _short(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")
