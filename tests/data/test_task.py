from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor

import autoad_nni.data.plan as plan_module
from autoad_nni.data import (
    Catalogue,
    ImageShape,
    ImageSource,
    LabelledImages,
    SourceOptions,
    Task,
    TaskOptions,
    load_task,
)
from autoad_nni.data.source import IntArray
from autoad_nni.registry import Registry


class Numbered(ImageSource):
    """Image i is filled with (first + i) / 2^20, so that its pixels tell where it comes from."""

    n_images: ClassVar[int] = 1000
    first: ClassVar[int] = 0
    shape: ClassVar[ImageShape] = ImageShape(1, 8, 8)
    extra: ClassVar[dict[str, Any]] = {}

    def __init__(self, options: SourceOptions) -> None:
        self.image_shape = self.shape
        self.where = None

    def catalogue(self, shape: ImageShape) -> Catalogue:
        return Catalogue(n_images=self.n_images, **self.extra)

    def read(self, indices: IntArray, shape: ImageShape) -> Tensor:
        numbers = torch.from_numpy((self.first + indices).astype(np.float32)) / 2**20
        return numbers.view(-1, 1, 1, 1).expand(-1, *shape).contiguous()


def numbers(images: Tensor) -> list[int]:
    return [int(n) for n in images[:, 0, 0, 0] * 2**20]


Install = Callable[..., None]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Registers sources of the given sizes as set_0, set_1 ...; set_k counts from 100,000 k."""

    def do(*sizes: int, **fields: Any) -> None:
        entries = []
        for k, n_images in enumerate(sizes):
            body = {"n_images": n_images, "first": 100_000 * k, **(fields if k == 0 else {})}
            monkeypatch.setattr(sys.modules[__name__], f"set_{k}", type(f"Set{k}", (Numbered,), body), raising=False)
            entries.append(EntryPoint(f"set_{k}", f"{__name__}:set_{k}", "autoad_nni.datasets"))
        monkeypatch.setattr(plan_module, "DATASETS", Registry("autoad_nni.datasets", entry_points=lambda: entries))

    return do


def check(task: Task, n_normal: int) -> None:
    """No image twice, normal images first, train normal only."""
    parts = [numbers(task.train), numbers(task.validation.images), numbers(task.test.images)]
    everything = [number for part in parts for number in part]
    assert len(set(everything)) == len(everything)
    assert max(parts[0]) < n_normal
    for held, part in ((task.validation, parts[1]), (task.test, parts[2])):
        assert held.labels.dtype == torch.uint8
        assert held.labels.tolist() == [int(number >= 100_000) for number in part]
        assert held.labels.tolist() == sorted(held.labels.tolist())


def test_parts_are_disjoint_and_contaminated(install: Install) -> None:
    install(1000, 500)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1",)))
    check(task, 1000)
    assert task.name == "set_0 vs set_1"
    assert len(task.train) == 600
    assert [len(part.labels) for part in (task.validation, task.test)] == [211, 211]
    assert [int(part.labels.sum()) for part in (task.validation, task.test)] == [11, 11]


def test_few_anomalies_shrink_the_normal_images_of_validation_and_test(install: Install) -> None:
    install(1000, 9)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1",)))
    check(task, 1000)
    assert len(task.train) == 600
    assert (len(task.validation.labels), int(task.validation.labels.sum())) == (95 + 5, 5)
    assert (len(task.test.labels), int(task.test.labels.sum())) == (76 + 4, 4)


def test_several_sets_share_equally(install: Install) -> None:
    install(1000, 100, 100, 100)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1", "set_2", "set_3")))
    check(task, 1000)
    owners = [number // 100_000 for number in numbers(task.validation.images)]
    assert [owners.count(k) for k in range(4)] == [200, 4, 4, 3]


def test_the_smallest_of_several_sets_bounds_all(install: Install) -> None:
    install(1000, 100, 4)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1", "set_2")))
    owners = [number // 100_000 for number in numbers(task.test.images)]
    assert [owners.count(k) for k in range(3)] == [76, 2, 2]


def test_draws_of_normal_images_do_not_depend_on_the_abnormal_sets(install: Install) -> None:
    install(200, 50, 50)
    first, second = (load_task(TaskOptions(data="set_0", abnormal=(name,))) for name in ("set_1", "set_2"))
    assert torch.equal(first.train, second.train)


def test_seed_decides_the_split(install: Install) -> None:
    install(200, 50)
    trains = [numbers(load_task(TaskOptions(data="set_0", abnormal=("set_1",), seed=s)).train) for s in (0, 0, 1)]
    assert trains[0] == trains[1] != trains[2]


def test_limit_draws_before_the_split(install: Install) -> None:
    install(1000, 500)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1",), limit=100))
    check(task, 1000)
    assert len(task.train) == 60
    assert max(numbers(task.train)) > 500
    assert (len(task.validation.labels), int(task.validation.labels.sum())) == (21, 1)


def test_contamination_is_an_option(install: Install) -> None:
    install(1000, 500)
    task = load_task(TaskOptions(data="set_0", abnormal=("set_1",), contamination=0.5))
    assert int(task.test.labels.sum()) == 200 == len(task.test.labels) // 2


def test_own_defects_are_halved_whatever_the_contamination(install: Install) -> None:
    defects = ("",) * 50 + ("crack",) * 20 + ("dent",) * 11
    install(81, extra={"defects": defects})
    task = load_task(TaskOptions(data="set_0"))
    assert task.name == "set_0 vs defects"
    assert (len(task.train), len(task.validation.labels), len(task.test.labels)) == (30, 10 + 16, 10 + 15)
    seen = [*numbers(task.train), *numbers(task.validation.images), *numbers(task.test.images)]
    assert sorted(seen) == list(range(81))
    assert max(numbers(task.train)) < 50
    assert [number >= 50 for number in numbers(task.test.images)] == task.test.labels.bool().tolist()


@pytest.mark.parametrize(
    ("sizes", "options", "words"),
    [
        ((9, 50), {}, ("data=set_0 has 9 normal images", "10 or more")),
        ((40, 50), {}, ("validation has 8 normal", "0 anomalies", "1 or more of each of: set_1", "raise limit")),
        ((1000, 1), {}, ("test has 200 normal and 0 abnormal", "1 or more of each of: set_1")),
        ((100, 50, 50), {"abnormal": ("set_1", "set_2")}, ("gives 1 anomalies", "set_1, set_2", "fewer sets")),
        (
            (100, 50),
            {"abnormal": ()},
            ("normal images only", "one class only", "Give anomalies=planted", "abnormal=NAME", "set_1"),
        ),
        ((100, 50), {"abnormal": ("set_2",)}, ("set_2", "Installed: set_0, set_1")),
        ((100, 50), {"data": "set_9"}, ("set_9", "Installed: set_0, set_1")),
        ((100, 50), {"root": Path("no/such/folder")}, ("root no/such/folder is not a folder", "Correct the path")),
    ],
)
def test_errors(install: Install, fails: Any, sizes: tuple[int, ...], options: Any, words: tuple[str, ...]) -> None:
    install(*sizes)
    with fails(*words):
        load_task(TaskOptions(**{"data": "set_0", "abnormal": ("set_1",), **options}))


@pytest.mark.parametrize(
    ("fields", "options", "words"),
    [
        ({"extra": {"defects": ("",) * 99 + ("dent",)}}, {}, ("has 1 image with a defect", "2 or more")),
        (
            {"extra": {"defects": ("",) * 90 + ("dent",) * 10}},
            {"abnormal": ("set_1",)},
            ("has defects of its own and abnormal names set_1", "Leave out abnormal"),
        ),
        (
            {"extra": {"groups": np.zeros(100, np.int64)}},
            {"abnormal": ("set_1",)},
            ("100 normal images of set_0 leave none for validation", "1 or more in each"),
        ),
        ({"shape": ImageShape(1, 300, 8)}, {"abnormal": ("set_1",)}, ("8 x 300", "8 to 224", "Give image_size")),
        (
            {"read": lambda self, indices, shape: torch.zeros(len(indices), 1, 4, 4)},
            {"abnormal": ("set_1",)},
            ("Set0.read gave (60, 1, 4, 4)", "(60, 1, 8, 8)", "authors of that data set plugin"),
        ),
    ],
)
def test_errors_of_sources(install: Install, fails: Any, fields: Any, options: Any, words: tuple[str, ...]) -> None:
    install(100, 50, **fields)
    with fails(*words):
        load_task(TaskOptions(data="set_0", **options))


def test_a_set_that_cannot_be_abnormal(install: Install, fails: Any) -> None:
    install(100, 50, can_be_abnormal=False)
    with fails("abnormal names set_0", "Give it with data"):
        load_task(TaskOptions(data="set_1", abnormal=("set_0",)))


def digest(part: LabelledImages | Tensor) -> str:
    tensors = (part,) if isinstance(part, Tensor) else (part.images, part.labels)
    return hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest()


SCRIPT = """
import hashlib, sys
from autoad_nni.data import TaskOptions, load_task
task = load_task(TaskOptions(data="photos", abnormal=("digits", "gaussian", "uniform"), limit=400, seed=3))
for tensors in ((task.train,), *((part.images, part.labels) for part in (task.validation, task.test))):
    print(hashlib.sha256(b"".join(tensor.numpy().tobytes() for tensor in tensors)).hexdigest())
print(sorted({"sklearn", "skimage", "torchvision", "nni"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_a_new_process_loads_identical_tensors_without_heavy_imports() -> None:
    printed = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=200)
    options = TaskOptions(data="photos", abnormal=("digits", "gaussian", "uniform"), limit=400, seed=3)
    task = load_task(options)
    assert printed.stdout.split("\n")[:4] == [digest(task.train), digest(task.validation), digest(task.test), "[]"]


def small_task(parts: dict[str, Tensor]) -> Task:
    held = {
        name: LabelledImages(parts[f"{name} images"], parts[f"{name} labels"], parts.get(f"{name} masks"))
        for name in ("validation", "test")
    }
    return Task("a name", parts["train images"], held["validation"], held["test"])


def parts_of_a_small_task() -> dict[str, Tensor]:
    parts = {"train images": torch.rand(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))}
    for seed, name in enumerate(("validation", "test"), start=1):
        parts[f"{name} images"] = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(seed))
        parts[f"{name} labels"] = torch.tensor([0, 0, 1, 1], dtype=torch.uint8)
        parts[f"{name} masks"] = parts[f"{name} images"][:, 0] > 0.5
    return parts


@pytest.mark.parametrize("part", parts_of_a_small_task())
@pytest.mark.parametrize("place", [0, -1])
def test_the_digest_changes_with_one_pixel_label_or_mask(part: str, place: int) -> None:
    before = small_task(parts_of_a_small_task()).digest()
    assert before == small_task(parts_of_a_small_task()).digest()
    changed = parts_of_a_small_task()
    value = changed[part].view(-1)[place]
    changed[part].view(-1)[place] = value + 1 / 255 if value.is_floating_point() else 1 - value.int()
    assert small_task(changed).digest() != before


@pytest.mark.parametrize("part", ["validation masks", "test masks"])
def test_the_digest_changes_when_masks_are_gone(part: str) -> None:
    parts = parts_of_a_small_task()
    before = small_task(parts).digest()
    del parts[part]
    assert small_task(parts).digest() != before


def test_the_digest_changes_with_the_split(install: Install) -> None:
    """Also when only validation and test are exchanged, or an image moves from one to the other."""
    parts = parts_of_a_small_task()
    exchanged = {
        name.replace(a, b): tensor
        for name, tensor in parts.items()
        for a, b in (("validation", "test"), ("test", "validation"))
        if name.startswith(a)
    }
    assert small_task(parts).digest() != small_task({**parts, **exchanged}).digest()
    install(200, 50)
    options = {"data": "set_0", "abnormal": ("set_1",)}
    assert len({load_task(TaskOptions(**options, seed=seed)).digest() for seed in range(3)}) == 3
