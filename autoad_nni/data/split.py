"""Splits: pure functions from numbers to indices, so that a split can be tested without an image."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from autoad_nni.data.source import Catalogue, IntArray

__all__ = ["contaminate", "cut", "follow_groups", "generator", "halve_defects", "limited", "shares", "split_normal"]


def generator(seed: int, *purpose: str | int) -> np.random.Generator:
    """Return a separate random generator for each purpose, so that one draw does not shift another.

    Example:
        >>> bool(generator(0, "split").integers(9) == generator(0, "split").integers(9))
        True
    """
    words = (zlib.crc32(word.encode(errors="surrogatepass")) if isinstance(word, str) else word for word in purpose)
    return np.random.default_rng([seed, *words])


def cut(
    indices: IntArray, groups: IntArray | None, fractions: Sequence[float], rng: np.random.Generator
) -> tuple[IntArray, ...]:
    """Split shuffled indices into parts of the given fractions; a group stays in one part.

    A cut is at the border of a group nearest to its exact place; without groups that is the rounded place itself.

    Args:
        indices: What is split.
        groups: Group of every image of the source (not only of ``indices``), or None.
        fractions: Share of each part; they sum to 1.
        rng: Determines the order of the groups and of the indices within each part.

    Example:
        >>> [len(part) for part in cut(np.arange(70_000), None, (0.6, 0.2, 0.2), generator(0))]
        [42000, 14000, 14000]
    """
    shuffled = rng.permutation(indices)
    borders = np.arange(len(shuffled) + 1)
    if groups is not None:
        names, member, counts = np.unique(groups[shuffled], return_inverse=True, return_counts=True)
        order = rng.permutation(len(names))
        shuffled = shuffled[np.argsort(np.argsort(order)[member], kind="stable")]
        borders = np.concatenate([[0], counts[order].cumsum()])
    places = np.cumsum(fractions)[:-1] * len(shuffled)
    # 1e-6 to the right, so that a tie rounds up whatever the floating-point sum of the fractions is.
    ends = [int(borders[np.abs(borders - place - 1e-6).argmin()]) for place in places]
    # Shuffled once more: a part is ordered by groups until here, and users of a part may take its first few.
    return tuple(rng.permutation(part) for part in np.split(shuffled, ends))


def limited(normal: IntArray, catalogue: Catalogue, limit: int | None, rng: np.random.Generator) -> IntArray:
    """Draw at most ``limit`` normal images; held-out ones keep their share, and two of them always stay."""
    if limit is None or len(normal) <= limit:
        return normal
    if catalogue.held_out is None:
        return rng.permutation(normal)[:limit]
    is_held = catalogue.held_out[normal]
    n_held = max(min(2, int(is_held.sum())), round(limit * float(is_held.mean())))
    held, rest = rng.permutation(normal[is_held]), rng.permutation(normal[~is_held])
    return np.concatenate([rest[: limit - n_held], held[:n_held]])


def split_normal(
    normal: IntArray, catalogue: Catalogue, rng: np.random.Generator
) -> tuple[IntArray, IntArray, IntArray]:
    """Split into train, validation and test: 6:2:2, or as the source holds images out (:class:`Catalogue`)."""
    if catalogue.held_out is None:
        train, validation, test = cut(normal, catalogue.groups, (0.6, 0.2, 0.2), rng)
        return train, validation, test
    is_held = catalogue.held_out[normal]
    validation, test = cut(normal[is_held], catalogue.groups, (0.5, 0.5), rng)
    return rng.permutation(normal[~is_held]), validation, test


def halve_defects(defects: Sequence[str], rng: np.random.Generator) -> tuple[IntArray, IntArray]:
    """Halve the images with a defect into validation and test, each type of defect as evenly as possible.

    Args:
        defects: For each image of a source the name of its defect, "" for a normal one.
        rng: Determines which images of a type go where.

    Example:
        >>> validation, test = halve_defects(("", "crack", "crack", "dent", "dent"), generator(0))
        >>> len(validation), len(test)
        (2, 2)
    """
    names = np.array(defects)
    by_type = [rng.permutation(np.flatnonzero(names == name)) for name in sorted(set(defects) - {""})]
    # Dealt in turn over the types one after the other: each type, and the whole, differs by one image at most.
    dealt = np.concatenate([np.empty(0, np.int64), *by_type])
    return dealt[0::2], dealt[1::2]


def follow_groups(defects: Sequence[str], groups: IntArray, validation: IntArray) -> tuple[IntArray, IntArray]:
    """Put the images with a defect where the normal images of their group went.

    Args:
        defects: For each image of a source the name of its defect, "" for a normal one.
        groups: For each image its group.
        validation: The normal images in validation.

    Returns:
        Images with a defect in validation, and those in test: all whose group has no normal image in validation.

    Example:
        >>> validation, test = follow_groups(("", "", "dent", "dent"), np.array([0, 1, 1, 0]), np.array([1]))
        >>> validation.tolist(), test.tolist()
        ([2], [3])
    """
    defective = np.flatnonzero(np.array(defects) != "")
    follows = np.isin(groups[defective], groups[validation])
    return defective[follows], defective[~follows]


def contaminate(n_normal: int, n_abnormal: int, contamination: float) -> tuple[int, int]:
    """Return the numbers of normal and abnormal images such that abnormal / all is the contamination, up to rounding.

    ``abnormal = round(normal * c / (1 - c))``; with too few abnormal images, fewer normal ones are taken instead.

    Args:
        n_normal: Available normal images.
        n_abnormal: Available abnormal images.
        contamination: The share c.

    Example:
        >>> contaminate(14_000, 5_000, 0.05), contaminate(14_000, 500, 0.05)
        ((14000, 737), (9500, 500))
    """
    odds = contamination / (1 - contamination)
    wanted = round(n_normal * odds)
    if wanted <= n_abnormal:
        return n_normal, wanted
    return min(n_normal, round(n_abnormal / odds)), n_abnormal


def shares(n: int, n_sets: int) -> list[int]:
    """Share ``n`` equally; the first sets take the remainder.

    Example:
        >>> shares(7, 3)
        [3, 2, 2]
    """
    return [n // n_sets + (i < n % n_sets) for i in range(n_sets)]
