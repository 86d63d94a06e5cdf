from __future__ import annotations

import numpy as np
import pytest

from autoad_nni.runs.mistakes import Group, caption, choose, group_images, heading, summary

SCORES = np.array([0.2, 0.9, 0.5, 0.7, 0.1, 0.6, 0.95, 0.3])
LABELS = np.array([0, 0, 0, 0, 1, 1, 1, 1], np.uint8)


def test_mistakes_come_first_and_the_worst_of_a_group_first_in_it() -> None:
    groups = group_images(SCORES, LABELS, 0.55)
    assert [(group.title, group.label, group.is_mistake, group.images) for group in groups] == [
        ("Missed defects", "missed defect", True, (4, 7)),
        ("False alarms", "false alarm", True, (1, 3)),
        ("Found defects", "found defect", False, (5, 6)),
        ("Good images below the threshold", "good", False, (2, 0)),
    ]
    assert [group.n_of_kind for group in groups] == [4, 4, 4, 4]


def test_without_a_threshold_no_image_is_called_a_mistake() -> None:
    groups = group_images(SCORES, LABELS, None)
    assert [(group.title, group.images) for group in groups] == [
        ("Defects", (4, 7, 5, 6)),
        ("Good images", (1, 3, 2, 0)),
    ]
    assert not any(group.is_mistake for group in groups)
    assert summary(groups, choose(groups, 4)) == "4 of 8 test images are shown."
    assert [heading(group, 4) for group in groups] == [
        "Defects: 4. Lowest score first.",
        "Good images: 4. Highest score first.",
    ]
    assert caption(groups[0], 0.1, None) == "defect: score 0.1"


def test_a_score_equal_to_the_threshold_is_not_above_it() -> None:
    """The threshold is the score of an image; float32 must not round another one to it."""
    groups = group_images(np.array([0.5, 0.1], np.float32), np.array([0, 0]), 0.5)
    assert groups[1].images == () and groups[3].images == (0, 1)
    score = np.float32(0.1)  # above 0.1 by 1.5e-9
    [alarm] = [group for group in group_images(np.array([score]), np.array([0]), 0.1) if group.images]
    assert alarm.label == "false alarm" and "above" in caption(alarm, float(score), 0.1)


def test_each_image_is_in_one_group() -> None:
    random = np.random.default_rng(0)
    scores, labels = random.normal(size=200).round(1), random.integers(0, 2, 200)  # with ties
    for threshold in (None, 0.0, 9.0):
        images = [i for group in group_images(scores, labels, threshold) for i in group.images]
        assert sorted(images) == list(range(200))


def of_size(n: int, *, is_mistake: bool = False) -> Group:
    return Group(
        title="Found defects",
        label="found defect",
        is_mistake=is_mistake,
        kind="defects",
        n_of_kind=2 * n,
        images=tuple(range(n)),
    )


@pytest.mark.parametrize(
    ("sizes", "most", "places"),
    [
        ((5, 8, 19, 4), 48, [5, 8, 19, 4]),
        ((58, 2, 2, 78), 48, [22, 2, 2, 22]),
        ((100, 100, 100, 100), 48, [12, 12, 12, 12]),
        ((3, 0, 100, 100), 10, [3, 0, 4, 3]),
        ((9, 9), 1, [1, 0]),
        ((0, 0), 48, [0, 0]),
    ],
)
def test_what_one_group_leaves_the_others_share(sizes: tuple[int, ...], most: int, places: list[int]) -> None:
    assert [len(part) for part in choose([of_size(n) for n in sizes], most)] == places


def test_of_mistakes_the_worst_are_shown_of_others_all_kinds() -> None:
    mistakes, others = choose([of_size(9, is_mistake=True), of_size(9)], 6)
    assert mistakes == (0, 1, 2) and others == (0, 4, 8)


@pytest.mark.parametrize(
    ("n", "shown", "is_mistake", "line"),
    [
        (0, 0, True, "Found defects: none of 9 defects."),
        (1, 1, True, "Found defects: 1 of 9 defects."),
        (3, 3, False, "Found defects: 3 of 9 defects. Lowest score first."),
        (9, 9, False, "Found defects: 9. Lowest score first."),
        (9, 9, True, "Found defects: 9 of 9 defects. Lowest score first."),
        (8, 4, True, "Found defects: 8 of 9 defects. Shown: the 4 with the lowest scores."),
        (8, 4, False, "Found defects: 8 of 9 defects. Shown: 4, evenly spread over the ranking, lowest score first."),
    ],
)
def test_the_line_above_a_group(n: int, shown: int, is_mistake: bool, line: str) -> None:
    group = Group(
        title="Found defects", label="", is_mistake=is_mistake, kind="defects", n_of_kind=9, images=tuple(range(n))
    )
    assert heading(group, shown) == line


@pytest.mark.parametrize(
    ("threshold", "most", "sentence"),
    [
        (0.55, 48, "8 of 8 test images are shown, and 4 of 4 mistakes (2 missed defects, 2 false alarms)."),
        (0.55, 2, "2 of 8 test images are shown, and 2 of 4 mistakes (2 missed defects, 2 false alarms)."),
        (0.94, 1, "1 of 8 test images is shown, and 1 of 3 mistakes (3 missed defects)."),
        (0.05, 48, "8 of 8 test images are shown, and 4 of 4 mistakes (4 false alarms)."),
    ],
)
def test_the_sentence_counts_images_and_mistakes(threshold: float, most: int, sentence: str) -> None:
    groups = group_images(SCORES, LABELS, threshold)
    assert summary(groups, choose(groups, most)) == sentence


def test_the_sentence_says_when_there_is_no_mistake() -> None:
    groups = group_images(np.array([0.1, 0.9]), np.array([0, 1]), 0.5)
    assert summary(groups, choose(groups, 48)) == "2 of 2 test images are shown; there are no mistakes."


@pytest.mark.parametrize(
    ("label", "score", "line"),
    [
        (1, 0.25, "missed defect: score 0.25, below the threshold 0.5"),
        (0, 12345.6, "false alarm: score 12346, above the threshold 0.5"),
        (1, 0.75, "found defect: score 0.75, above the threshold 0.5"),
        (0, -0.123456, "good: score -0.1235, below the threshold 0.5"),
    ],
)
def test_the_line_above_an_image(label: int, score: float, line: str) -> None:
    [group] = [group for group in group_images(np.array([score]), np.array([label]), 0.5) if group.images]
    assert caption(group, score, 0.5) == line
