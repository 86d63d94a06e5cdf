from __future__ import annotations

from typing import Any

import pytest

from autoad_nni.data import TaskOptions


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"abnormal": ("digits",)}, ("abnormal names digits", "normal set", "Expected another")),
        ({"abnormal": ("photos", "photos")}, ("photos twice", "Expected each set once")),
        ({"image_size": 7}, ("image_size is 7", "8 to 224", "Give")),
        ({"image_size": 225}, ("image_size is 225", "8 to 224")),
        ({"roots": ("digits",)}, ("roots has 'digits'", "Expected NAME=DIR")),
        ({"roots": ("digits=",)}, ("roots has 'digits='", "Expected NAME=DIR")),
        ({"roots": ("mnist=/a",)}, ("roots names mnist", "no set of this task", "digits, photos once")),
        ({"roots": ("digits=/a", "digits=/b")}, ("roots names digits, twice",)),
        ({"category": "../x"}, ("category is ../x", "a folder below root", "Give its name")),
        ({"category": "a/../../x"}, ("category is a/../../x", "a folder below root")),
        ({"category": "/etc"}, ("category is /etc", "a folder below root")),
        ({"category": ".."}, ("category is ..", "a folder below root")),
        ({"limit": 9}, ("limit is 9", "10 normal images or more")),
        ({"seed": -1}, ("seed is -1", "0 or more")),
        ({"contamination": 0.0}, ("contamination is 0.0", "between 0 and 1")),
        ({"contamination": 1.0}, ("contamination is 1.0", "between 0 and 1")),
    ],
)
def test_wrong_values_are_named(wrong: dict[str, Any], words: tuple[str, ...], fails: Any) -> None:
    with fails(*words):
        TaskOptions(data="digits", **{"abnormal": ("photos",), **wrong})


@pytest.mark.parametrize("size", [8, 224])
def test_bounds_of_the_size_are_allowed(size: int) -> None:
    assert TaskOptions(data="digits", image_size=size).image_size == size


@pytest.mark.parametrize("category", ["screw", "line 2/screw", "..screw", "a..b"])
def test_categories_below_the_root_are_allowed(category: str) -> None:
    assert TaskOptions(data="folder", category=category).category == category
