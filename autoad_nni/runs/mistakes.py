"""Which images a contact sheet shows, in which groups and order, and what it says about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autoad_nni.runs.map_colours import number

__all__ = ["Group", "caption", "choose", "group_images", "heading", "summary"]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images of one class on one side of the threshold.

    Attributes:
        title: Of the group.
        label: What one of its images is.
        is_mistake: Whether its images are on the wrong side.
        kind: What the images are: defects or good images.
        n_of_kind: How many of that kind there are.
        images: Numbers of its images; those that most look like the other class come first.
    """

    title: str
    label: str
    is_mistake: bool
    kind: str
    n_of_kind: int
    images: tuple[int, ...]

    @property
    def extreme(self) -> str:
        """The scores that come first."""
        return "lowest" if self.kind == "defects" else "highest"


def group_images(
    scores: npt.NDArray[np.floating], labels: npt.NDArray[np.integer], threshold: float | None
) -> list[Group]:
    """Sort images into groups: the mistakes come first, and the worst of a group come first in it.

    Args:
        scores: Higher is more anomalous.
        labels: 1 for a defect, 0 for a good image.
        threshold: Images that score more are called defects; None: no image is called anything.

    Shape:
        ``scores``, ``labels``: ``(n,)``.

    Returns:
        Missed defects, false alarms, found defects and good images below the threshold, empty groups too; or, without
        a threshold, defects and good images.

    Example:
        >>> groups = group_images(np.array([1.0, 5.0, 2.0, 3.0]), np.array([0, 0, 1, 1]), 2.5)
        >>> [(group.title, group.images) for group in groups]  # doctest: +NORMALIZE_WHITESPACE
        [('Missed defects', (2,)), ('False alarms', (1,)), ('Found defects', (3,)),
         ('Good images below the threshold', (0,))]
    """
    # In float32, a score could be equal to a threshold that it exceeds.
    scores = scores.astype(np.float64)
    order = np.argsort(scores, kind="stable")
    defects = [int(i) for i in order if labels[i]]
    good = [int(i) for i in order[::-1] if not labels[i]]

    def group(title: str, label: str, images: list[int], *, among: list[int], is_mistake: bool = False) -> Group:
        kind = "defects" if among is defects else "good images"
        return Group(
            title=title, label=label, is_mistake=is_mistake, kind=kind, n_of_kind=len(among), images=tuple(images)
        )

    if threshold is None:
        return [group("Defects", "defect", defects, among=defects), group("Good images", "good", good, among=good)]
    above = scores > threshold
    missed, found = [i for i in defects if not above[i]], [i for i in defects if above[i]]
    alarms, right = [i for i in good if above[i]], [i for i in good if not above[i]]
    return [
        group("Missed defects", "missed defect", missed, among=defects, is_mistake=True),
        group("False alarms", "false alarm", alarms, among=good, is_mistake=True),
        group("Found defects", "found defect", found, among=defects),
        group("Good images below the threshold", "good", right, among=good),
    ]


def choose(groups: Sequence[Group], most: int) -> list[tuple[int, ...]]:
    """Choose up to ``most`` images from groups, as evenly as possible: the worst mistakes, the others evenly spread.

    Returns:
        For each group the chosen ones of its images, in its order.
    """
    places = [0] * len(groups)
    while (left := min(most, sum(len(group.images) for group in groups)) - sum(places)) > 0:
        open_groups = [i for i, group in enumerate(groups) if places[i] < len(group.images)]
        for i in open_groups[:left]:
            places[i] += 1
    return [_chosen(group, n) for group, n in zip(groups, places, strict=True)]


def _chosen(group: Group, n: int) -> tuple[int, ...]:
    if group.is_mistake:
        return group.images[:n]
    return tuple(group.images[i] for i in np.linspace(0, len(group.images) - 1, n).round().astype(int))


def heading(group: Group, n_shown: int) -> str:
    """Return the line above a group.

    Example:
        >>> alarms = Group(title="False alarms", label="false alarm", is_mistake=True, kind="good images", n_of_kind=40,
        ...     images=tuple(range(20)))
        >>> heading(alarms, 12)
        'False alarms: 20 of 40 good images. Shown: the 12 with the highest scores.'
        >>> heading(alarms, 20)
        'False alarms: 20 of 40 good images. Highest score first.'
    """
    n = len(group.images)
    counted = f"{group.title}: {n or 'none'} of {_counted(group.n_of_kind, group.kind)}."
    if n == group.n_of_kind and not group.is_mistake:
        counted = f"{group.title}: {n}."
    if n == n_shown:
        return counted if n < 2 else f"{counted} {group.extreme.capitalize()} score first."
    if group.is_mistake:
        return f"{counted} Shown: the {n_shown} with the {group.extreme} scores."
    return f"{counted} Shown: {n_shown}, evenly spread over the ranking, {group.extreme} score first."


def summary(groups: Sequence[Group], chosen: Sequence[Sequence[int]]) -> str:
    """Return a sentence on how many of how many images are shown, and of how many mistakes.

    Example:
        >>> groups = group_images(np.array([1.0, 5.0, 2.0, 3.0]), np.array([0, 0, 1, 1]), 2.5)
        >>> summary(groups, choose(groups, 3))
        '3 of 4 test images are shown, and 2 of 2 mistakes (1 missed defect, 1 false alarm).'
    """
    n, n_shown = sum(len(group.images) for group in groups), sum(map(len, chosen))
    shown = f"{n_shown} of {_counted(n, 'test images')} {'is' if n_shown == 1 else 'are'} shown"
    wrong = [(group, len(part)) for group, part in zip(groups, chosen, strict=True) if group.is_mistake]
    if not wrong:
        return f"{shown}."
    n_wrong, n_wrong_shown = sum(len(group.images) for group, _ in wrong), sum(n for _, n in wrong)
    if not n_wrong:
        return f"{shown}; there are no mistakes."
    kinds = ", ".join(_counted(len(group.images), group.title.lower()) for group, _ in wrong if group.images)
    return f"{shown}, and {n_wrong_shown} of {_counted(n_wrong, 'mistakes')} ({kinds})."


def caption(group: Group, score: float, threshold: float | None) -> str:
    """Return the line of one image.

    Example:
        >>> [right] = [group for group in group_images(np.array([0.5]), np.array([0]), 0.75) if group.images]
        >>> caption(right, 0.5, 0.75)
        'good: score 0.5, below the threshold 0.75'
    """
    scored = f"{group.label}: score {number(score)}"
    if threshold is None:
        return scored
    return f"{scored}, {'above' if score > threshold else 'below'} the threshold {number(threshold)}"


def _counted(n: int, plural: str) -> str:
    return f"{n} {plural[:-1] if n == 1 else plural}"
