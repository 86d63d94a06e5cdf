"""Features are computed once, and what is kept is whole or counts as missing."""

from __future__ import annotations

import json
import multiprocessing
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save
from torch import Tensor

from autoad_nni.data import ImageShape
from autoad_nni.data.cache import CacheFolder, ImageCache
from autoad_nni.errors import AutoADError
from autoad_nni.models.features import FeatureExtractor, FeatureMaps, load_extractor
from autoad_nni.trial.features import extract


class Counting(FeatureExtractor):
    """Means of squares, times a factor; counts images by the coarsest stage that is computed."""

    strides = (2, 4, 8)

    def __init__(self, factor: float = 1.0, weights: str = "") -> None:
        super().__init__()
        self.factor, self.weights = factor, weights
        self.computed: list[tuple[int, int]] = []

    def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
        for stride in self.strides:
            self.computed.append((stride, len(images)))
            yield stride, self.factor * F.avg_pool2d(images, stride, ceil_mode=True)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test; gives the folder of features."""
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUTOAD_NNI_CACHE_MB", raising=False)
    return tmp_path / "cache" / "features"


def images(n: int = 7, *, height: int = 21, width: int = 30, seed: int = 0) -> Tensor:
    return torch.rand(n, 3, height, width, generator=torch.Generator().manual_seed(seed))


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def equal(one: FeatureMaps, other: FeatureMaps) -> bool:
    return one.image_size == other.image_size and all(
        torch.equal(a, b) for a, b in zip(one.maps, other.maps, strict=True)
    )


def test_they_are_those_of_the_extractor_finest_first() -> None:
    features = extract(Counting(), images(), (8, 2), name="counting", batch=3)
    expected = Counting()(images(), (2, 8))
    assert [each.dtype for each in features.maps] == [torch.float32, torch.float32]
    for got, wanted in zip(features.maps, expected, strict=True):
        torch.testing.assert_close(got, wanted)
    assert features.image_size == (21, 30) and len(features) == 7
    assert features.device == torch.device("cpu")


def test_the_second_time_nothing_is_computed(folder: Path) -> None:
    extractor = Counting()
    first = extract(extractor, images(), (2, 8), name="counting", batch=3)
    assert extractor.computed == [(2, 3), (4, 3), (8, 3)] * 2 + [(2, 1), (4, 1), (8, 1)]
    again = Counting()
    assert equal(extract(again, images(), (8, 2, 8), name="counting"), first)
    assert again.computed == []
    assert len(files(folder)) == 2 and all(len(path.name) == 64 for path in files(folder))


def test_random_states_do_not_tell_whether_features_were_computed() -> None:
    class Drawing(Counting):
        def compute(self, images: Tensor) -> Iterator[tuple[int, Tensor]]:
            torch.rand(1)
            yield from super().compute(images)

    before = torch.get_rng_state()
    extractor = Drawing()
    extract(extractor, images(), (2,), name="drawing")
    assert extractor.computed == [(2, 7)]
    assert torch.equal(torch.get_rng_state(), before)


def test_only_stages_that_are_missing_are_computed_in_one_pass() -> None:
    extract(Counting(), images(), (8,), name="counting")
    extractor = Counting()
    maps = extract(extractor, images(), (2, 4, 8), name="counting").maps
    assert extractor.computed == [(2, 7), (4, 7)], "and nothing behind stride 4"
    assert [each.shape[2] for each in maps] == [11, 6, 3]


def test_other_images_weights_versions_and_extractors_are_kept_apart(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = images()
    changed[3, 0, 5, 5] += 1e-6
    calls: list[tuple[FeatureExtractor, Tensor, str]] = [
        (Counting(), images(), "counting"),
        (Counting(2, "tuned abc"), images(), "counting"),
        (Counting(), images(), "other"),
        (Counting(), changed, "counting"),
        (Counting(), images(8)[1:], "counting"),
        (Counting(), images()[:, :1], "counting"),
        (Counting(), images().view(7, 3, 30, 21), "counting"),
    ]
    for number, (extractor, given, name) in enumerate(calls, 1):
        (map_,) = extract(extractor, given, (4,), name=name).maps
        torch.testing.assert_close(map_, extractor(given, (4,))[0])
        assert len(files(folder)) == number
    extract(Counting(), images(8)[:7], (4,), name="counting")
    assert len(files(folder)) == len(calls), "equal images are the same ones, whatever tensor they are in"
    from autoad_nni.trial import features

    monkeypatch.setattr(features, "_VERSION", 0)
    extract(Counting(), images(), (4,), name="counting")
    assert len(files(folder)) == len(calls) + 1


def test_images_that_were_changed_in_place_are_others() -> None:
    given = images()
    extract(Counting(), given, (4,), name="counting")
    given.mul_(0.5)
    (map_,) = extract(Counting(), given, (4,), name="counting").maps
    torch.testing.assert_close(map_, Counting()(given, (4,))[0])


def test_a_file_is_memory_mapped_and_stays_usable_when_it_is_removed(folder: Path) -> None:
    given = torch.rand(400, 1, 128, 128)
    extract(load_extractor("pixels"), given, (1,), name="pixels")
    (kept,) = files(folder)
    (maps,) = extract(load_extractor("pixels"), given, (1,), name="pixels").maps
    with open("/proc/self/maps") as mapped:
        assert kept.name in mapped.read()
    kept.unlink()
    assert torch.equal(maps, given)


def damaged(path: Path) -> Iterator[tuple[str, bytes]]:
    """The content of a file that something happened to."""
    whole = path.read_bytes()
    yield "empty", b""
    yield "short", whole[:-1]
    yield "header only", whole[:64]
    yield "text", b"text" * 100
    yield "one bit", whole[:-5] + bytes([whole[-5] ^ 1]) + whole[-4:]
    (size,) = struct.unpack("<Q", whole[:8])
    header = json.loads(whole[8 : 8 + size])
    for what, change in {
        "another type": {"dtype": "BF16"},
        "another shape": {"shape": [*header["maps"]["shape"][:2], *header["maps"]["shape"][:1:-1]]},
    }.items():
        raw = json.dumps({**header, "maps": {**header["maps"], **change}}).encode()
        yield what, struct.pack("<Q", len(raw)) + raw + whole[8 + size :]
    yield "another tensor", save({"other": torch.ones(1)})


def test_a_damaged_file_is_a_miss_and_is_replaced(folder: Path) -> None:
    first = extract(Counting(), images(), (4,), name="counting")
    (path,) = files(folder)
    whole = path.read_bytes()
    for what, content in damaged(path):
        path.unlink()  # not written to in place: it is mapped
        path.write_bytes(content)
        extractor = Counting()
        assert equal(extract(extractor, images(), (4,), name="counting"), first), what
        assert len(extractor.computed) == 2, what
        assert path.read_bytes() == whole, what


def test_0_megabytes_are_no_cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "0")
    extractor = Counting()
    features = [extract(extractor, images(), (4,), name="counting") for _ in range(2)]
    assert equal(*features) and len(extractor.computed) == 4
    assert files(folder) == []


@pytest.mark.parametrize("how", ["the folder is a file", "the disk is full", "larger than the limit"])
def test_where_nothing_can_be_kept_features_are_computed_each_time(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    cache = None
    if how == "the folder is a file":
        folder.parent.mkdir()
        folder.write_text("no folder")
    elif how == "the disk is full":

        def full(source: str, target: Path) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
    else:
        cache = CacheFolder("features", max_bytes=100)
    extractor = Counting()
    features = [extract(extractor, images(), (4,), name="counting", cache=cache) for _ in range(2)]
    assert equal(*features) and len(extractor.computed) == 4
    assert not folder.is_dir() or files(folder) == []


def test_large_numbers_and_last_digits_are_kept() -> None:
    (map_,) = extract(Counting(1e6 + 1), torch.ones(1, 1, 8, 8), (4,), name="counting").maps
    assert (map_ == 1e6 + 1).all()


def test_images_and_features_share_one_limit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "1")
    shape = ImageShape(3, 209, 209)  # 524,172 bytes: two in a megabyte
    for content in (b"old", b"new"):
        ImageCache().put(content, shape, torch.zeros(shape))
    for age, path in enumerate(files(folder.parent / "images")):
        os.utime(path, (1000 + age, 1000 + age))
    oldest = files(folder.parent / "images")[0]
    extract(Counting(), torch.rand(20, 3, 64, 64), (4,), name="counting")  # 61,440 bytes and a header
    assert len(files(folder)) == 1 and len(files(folder.parent / "images")) == 1 and not oldest.exists()


def test_a_stage_that_the_extractor_does_not_have_is_refused_before_anything_is_read() -> None:
    with pytest.raises(AutoADError, match=r"asked of Counting are 3\. Expected some of 2, 4, 8"):
        extract(Counting(), images(), (3,), name="counting")


def _extract_often(number: int, until: float) -> str:
    """What trials do side by side: each set of features must be whole and that of its images."""
    generator = torch.Generator().manual_seed(number)
    n = 0
    while time.monotonic() < until or n == 0:
        seed = int(torch.randint(4, (), generator=generator))
        maps = extract(
            Counting(), images(seed=seed), (2, 4), name="counting", cache=CacheFolder("features", max_bytes=2**16)
        ).maps
        for got, wanted in zip(maps, Counting()(images(seed=seed), (2, 4)), strict=True):
            if not torch.allclose(got, wanted, rtol=1e-5, atol=1e-6):
                return f"features of images {seed} are others"
        n += 1
    return ""


def test_parallel_trials_see_whole_files_or_none(folder: Path) -> None:
    """Four processes write, read and remove features, of which not all fit."""
    with multiprocessing.get_context("fork").Pool(4) as pool:
        until = time.monotonic() + 1.5
        faults = pool.starmap(_extract_often, [(number, until) for number in range(4)])
    assert faults == [""] * 4
    assert files(folder) and not [path for path in files(folder) if path.name.startswith(".")]


def test_feature_maps_are_cut_and_moved() -> None:
    maps = (torch.rand(5, 8, 4, 6), torch.rand(5, 16, 2, 3))
    features = FeatureMaps(maps, (16, 24))
    some: Any = features[torch.tensor([4, 0])]
    assert torch.equal(some.maps[1], maps[1][[4, 0]]) and len(features[1:3]) == 2 and some.image_size == (16, 24)
    moved = features.to(torch.device("cpu"))
    assert [each.dtype for each in moved.maps] == [torch.float32] * 2 and torch.equal(moved.maps[0], maps[0])
    assert features.nbytes == 5 * 4 * (192 + 96)
