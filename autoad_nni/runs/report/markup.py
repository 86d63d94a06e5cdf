"""HTML and SVG from nested calls; text that is not markup already is escaped, so that no name in a run runs code."""

from __future__ import annotations

from html import escape
from typing import Final

__all__ = ["NONE", "Markup", "element", "joined", "paragraph", "table"]

NONE: Final = "-"
"""A cell for a figure that there is not."""

_VOID: Final = frozenset({"img", "link", "meta"})

Attribute = str | int | float | None


class Markup(str):
    """Text that is HTML or SVG, and not escaped again."""

    __slots__ = ()


def element(name: str, /, *children: str, **attributes: Attribute) -> Markup:
    """Return an element; of an attribute's name a trailing underscore is dropped, the others become hyphens.

    Args:
        name: Of the element.
        children: Texts and elements within it.
        attributes: None leaves one out.

    Example:
        >>> element("p", "a < b, ", element("b", "c & d"), class_="note")
        '<p class="note">a &lt; b, <b>c &amp; d</b></p>'
        >>> element("svg", aria_label='say "x"', width=12.0)
        '<svg aria-label="say &quot;x&quot;" width="12"></svg>'
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            shown = f"{value:g}" if isinstance(value, float) else escape(str(value))
            words.append(f'{key.rstrip("_").replace("_", "-")}="{shown}"')
    opening = f"<{' '.join(words)}>"
    return Markup(opening if name in _VOID else f"{opening}{joined(*children)}</{name}>")


def joined(*parts: str) -> Markup:
    """Return texts and elements one after the other.

    Example:
        >>> joined("a<b", element("i", "c"))
        'a&lt;b<i>c</i>'
    """
    return Markup("".join(part if isinstance(part, Markup) else escape(part) for part in parts))


def paragraph(*children: str, kind: str | None = None) -> Markup:
    """Return a paragraph."""
    return element("p", *children, class_=kind)


def table(heads: list[str], rows: list[list[str]], *, caption: str, kind: str | None = None) -> Markup:
    """Return a table that scrolls by itself where the screen is too narrow; figures are aligned right.

    Args:
        heads: Of the columns.
        rows: Of cells; the first one heads its row.
        caption: What the table shows; heard, not seen.
        kind: Its class.
    """
    head = element("tr", *(element("th", text, scope="col", class_=_kind(i, rows)) for i, text in enumerate(heads)))
    body = [
        element(
            "tr",
            element("th", row[0], scope="row"),
            *(element("td", cell, class_=_kind(i, rows)) for i, cell in enumerate(row[1:], 1)),
        )
        for row in rows
    ]
    # Focusable: who has no mouse must be able to scroll it.
    return element(
        "div",
        element(
            "table",
            element("caption", caption),
            element("thead", head),
            element("tbody", *body),
            class_=kind,
        ),
        class_="scroll",
        tabindex=0,
        role="region",
        aria_label=caption,
    )


def _kind(column: int, rows: list[list[str]]) -> str | None:
    """The class of a column: figures, if all of its cells are."""
    cells = [row[column] for row in rows]
    is_number = column > 0 and bool(cells) and all(cell[:1].isdigit() or cell in ("", NONE) for cell in cells)
    return "number" if is_number else None
