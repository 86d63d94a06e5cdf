"""What a command of Tables II and III asks for: rows, methods and sets by name, checked before anything is computed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from autoad_nni.data.plan import plan_task
from autoad_nni.data.sources.mvtec import CATEGORIES
from autoad_nni.errors import AutoADError
from autoad_nni.registry import COMPETITORS, DATASETS
from autoad_nni.trial.request import TrialRequest
from benchmarks.paper.cells import SPACES, given

__all__ = ["TEXTURES", "category_rows", "methods_of", "names_of", "obstacle", "pair_rows", "trial_options"]

TEXTURES: Final = ("brick", "grass", "gravel")


def names_of(text: str, option: str, known: Collection[str] | None = None) -> list[str]:
    """Split ``NAME[,NAME...]``, each name once.

    Args:
        text: What was given.
        option: As what; for the message.
        known: The names that may be given; None: any.

    Raises:
        AutoADError: None is named, or one that is not known.

    Example:
        >>> names_of("msp, odin,msp", "methods", ["msp", "odin"])
        ['msp', 'odin']
    """
    names = list(dict.fromkeys(name for each in text.split(",") if (name := each.strip())))
    if not names:
        raise AutoADError(f"[[{option}]] {text!r} names nothing. Expected NAME[,NAME...]. Give one at least.")
    for name in names:
        if known is not None and name not in known:
            raise AutoADError(f"[[{option}]] has {name!r}. Expected some of {', '.join(known)}. Correct it.")
    return names


def methods_of(text: str | None, default: Sequence[str]) -> list[str]:
    """Return the methods that were asked for: searches of `SPACES` and competitors.

    Raises:
        AutoADError: One is neither.
    """
    return list(default) if text is None else names_of(text, "methods", [*SPACES, *COMPETITORS.names()])


def pair_rows(
    pairs: str | None, default: Collection[tuple[str, str]], roots: str | None, **options: Any
) -> dict[str, dict[str, Any]]:
    """Return the options of each row of Table II by its name.

    Args:
        pairs: ``NORMAL/ABNORMAL[,...]``; None: those of ``default``.
        default: The article's.
        roots: ``NAME=DIR[,NAME=DIR...]``.
        options: Of every row; None if not given.

    Raises:
        AutoADError: A pair is none, a set unknown, or ``roots`` names no set of the rows.
    """
    names = list(default) if pairs is None else [_pair(each) for each in names_of(pairs, "pairs")]
    sets = list(dict.fromkeys(name for pair in names for name in pair))
    folders = {} if roots is None else dict(_root(each, sets) for each in names_of(roots, "roots"))
    return {
        f"{normal}/{abnormal}": given(
            data=normal,
            abnormal=abnormal,
            roots=",".join(f"{name}={folders[name]}" for name in (normal, abnormal) if name in folders) or None,
            **options,
        )
        for normal, abnormal in names
    }


def _pair(text: str) -> tuple[str, str]:
    normal, slash, abnormal = (each.strip() for each in text.partition("/"))
    if not slash or normal == abnormal:
        raise AutoADError(
            f"[[pairs]] has {text!r}. Expected NORMAL/ABNORMAL, two data sets such as fashion_mnist/digits. Correct it."
        )
    names_of(f"{normal},{abnormal or '/'}", "pairs", DATASETS.names())
    return normal, abnormal


def _root(text: str, sets: Sequence[str]) -> tuple[str, str]:
    name, _, folder = text.partition("=")
    if not folder or name not in sets:
        raise AutoADError(
            f"[[roots]] has {text!r}. Expected NAME=DIR, NAME a set of the rows: {', '.join(sets)}. Correct it."
        )
    return name, folder


def category_rows(categories: str, root: Path | None) -> dict[str, dict[str, Any]]:
    """Return the options of each row of Table III by its name; AutoADError for an unknown category."""
    names = names_of(categories, "categories", [*TEXTURES, "solar_cells", *CATEGORIES])
    return {name: _category(name, root) for name in names}


def _category(name: str, root: Path | None) -> dict[str, Any]:
    if name == "solar_cells":  # without masks: images are told apart, not pixels
        return given(data=name, image_size=128, reward="auroc")
    if name in TEXTURES:
        return given(data="textures", category=name, reward="aupro")
    return given(data="mvtec", category=name, root=root, image_size=128, reward="aupro")


def trial_options(table: str, method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Add what a method needs: windows for the article's space on defects, as in experiments/textures.yml."""
    windows = {"patch": 16, "two_sided": True, "max_macs": 2_000_000} if method == "autoad" else {}
    if table == "table2":
        windows = {"max_macs": 10_000_000} if method == "autoad" else {}
        # The extractors see no less than this; a set of 28 x 28 has a single location of most of their stages.
        windows |= {"image_size": 64} if method == "autoad_features" else {}
    return {**options, **windows}


def obstacle(options: Mapping[str, Any], limit: int | None) -> str | None:
    """Return why a row cannot be computed, in the words of the command line; None if it can."""
    try:
        plan_task(TrialRequest.from_options(**given(**options, limit=limit)).task)
    except AutoADError as error:
        return error.on_command_line()
    return None
