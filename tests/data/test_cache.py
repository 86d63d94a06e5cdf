from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autoad_nni.data import ImageShape, TaskOptions, load_task
from autoad_nni.data.cache import ImageCache, cache_folder
from autoad_nni.data.decode import read_images

Write = Callable[..., None]
FORM = ImageShape(1, 8, 8)
N_BYTES = 8 * 8 * 4 + 4  # with the checksum


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own for each test; gives the folder of the entries."""
    monkeypatch.setenv("AUTOAD_NNI_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("AUTOAD_NNI_CACHE_MB", raising=False)
    return tmp_path / "cache" / "images"


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    """Noise in several file types, modes and sizes, all larger than what it is read as."""
    paths = [tmp_path / name for name in ("a.png", "b.jpg", "c.png", "d.tif", "e.bmp")]
    rng = np.random.default_rng(0)
    for path, shape in zip(paths, [(40, 30), (64, 80, 3), (33, 50, 3), (20, 20), (9, 31, 3)], strict=True):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(path)
    return paths


@pytest.fixture
def no_decoding(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From its call on, Pillow opens nothing."""

    def forbid() -> None:
        def refuse(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("an image was decoded")

        monkeypatch.setattr(Image, "open", refuse)

    return forbid


def entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def image(number: int) -> torch.Tensor:
    return torch.full(FORM, number / 16)


@pytest.mark.parametrize("shape", [ImageShape(1, 16, 16), ImageShape(3, 8, 20)])
def test_a_hit_is_the_decoded_image_bit_for_bit(
    photos: list[Path],
    own_cache: Path,
    no_decoding: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    shape: ImageShape,
) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "0")
    fresh = read_images(photos, shape)
    assert entries(own_cache) == []
    monkeypatch.delenv("AUTOAD_NNI_CACHE_MB")
    assert torch.equal(read_images(photos, shape), fresh)
    no_decoding()
    assert torch.equal(read_images(photos, shape), fresh)
    assert torch.equal(read_images(photos[::-1], shape), fresh.flip(0))


def test_the_second_trial_reads_headers_only(
    tmp_path: Path, write_images: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_images(tmp_path / "set" / "good", 20, first=50)
    write_images(tmp_path / "set" / "bad", 4, first=100)
    opened: list[Any] = []
    really_open = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **kwargs: [opened.append(args), really_open(*args, **kwargs)][1])
    options = TaskOptions(data="folder", root=tmp_path / "set", image_size=8)
    first = load_task(options)
    assert len(opened) == 24 + 24
    opened.clear()
    assert load_task(options).digest() == first.digest()
    assert len(opened) == 24, "the headers, which decide the shape"


def test_a_changed_file_and_another_shape_are_other_entries(tmp_path: Path, own_cache: Path) -> None:
    path = tmp_path / "a.bmp"
    Image.new("L", (20, 20), 100).save(path)
    stamp = path.stat()
    assert read_images([path], FORM).numpy() == pytest.approx(100 / 255)
    # The last byte is the top right pixel; size and time stay as they were.
    path.write_bytes(path.read_bytes()[:-1] + b"\xff")
    os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert path.stat().st_size == stamp.st_size
    changed = read_images([path], FORM)[0, 0]
    assert changed[0, -1] > 0.41 and changed[1:, :-1].numpy() == pytest.approx(100 / 255)
    # 1 x 4 x 16 has as many numbers as 1 x 8 x 8.
    for shape in (ImageShape(1, 4, 16), ImageShape(3, 8, 8), ImageShape(1, 16, 4)):
        assert read_images([path], shape).shape == (1, *shape)
    assert len(entries(own_cache)) == 5


def test_equal_files_share_an_entry_whatever_their_names(tmp_path: Path, own_cache: Path) -> None:
    Image.new("L", (20, 20), 100).save(tmp_path / "a.png")
    (tmp_path / "moved").mkdir()
    (tmp_path / "moved" / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    read_images([tmp_path / "a.png", tmp_path / "moved" / "b.png"], FORM)
    assert len(entries(own_cache)) == 1


@pytest.mark.parametrize("length", [0, 1, N_BYTES - 4, N_BYTES - 1, N_BYTES + 1, N_BYTES + 4])
def test_a_torn_entry_is_a_miss_and_is_replaced(tmp_path: Path, own_cache: Path, length: int) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((20, 20), 50).save(path)
    whole = read_images([path], FORM)
    (entry,) = entries(own_cache)
    content = entry.read_bytes()
    assert len(content) == N_BYTES
    entry.write_bytes((content * 2)[:length])
    assert torch.equal(read_images([path], FORM), whole)
    assert entries(own_cache) == [entry] and entry.read_bytes() == content


def test_no_temporary_file_is_left(photos: list[Path], own_cache: Path) -> None:
    read_images(photos, FORM)
    assert len(entries(own_cache)) == len(photos)
    assert all(len(path.name) == 64 and path.stat().st_size == N_BYTES for path in entries(own_cache))


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    cache = ImageCache(tmp_path / "lru", max_bytes=4 * N_BYTES)
    names = [str(i).encode() for i in range(7)]
    for i, name in enumerate(names):
        cache.put(name, FORM, image(i))
        written = next(path for path in entries(tmp_path / "lru") if path.stat().st_mtime > 1e9)
        os.utime(written, (1000 + i, 1000 + i))  # one after the other, long ago
    for name in (names[0], names[3]):
        assert cache.get(name, FORM) is not None
    cache.trim()
    kept = [i for i, name in enumerate(names) if cache.get(name, FORM) is not None]
    assert kept == [0, 3, 5, 6]
    assert [cache.get(names[i], FORM)[0, 0, 0].item() * 16 for i in kept] == kept  # type: ignore[index]


@pytest.mark.parametrize("max_entries", [1, 3, 5])
def test_reading_keeps_the_folder_below_its_size(
    photos: list[Path], own_cache: Path, monkeypatch: pytest.MonkeyPatch, max_entries: int
) -> None:
    shape = ImageShape(3, 209, 209)  # 524,172 bytes: two in a megabyte
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", str(max_entries))
    fresh = read_images(photos, shape)
    assert len(entries(own_cache)) == min(5, 2 * max_entries)
    assert sum(path.stat().st_size for path in entries(own_cache)) <= max_entries * 2**20
    assert torch.equal(read_images(photos, shape), fresh)


def test_unfinished_files_of_killed_trials_go_after_an_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their names are those of files that `put` leaves when it is killed before it renames or removes them."""
    folder, cache = tmp_path / "lru", ImageCache(tmp_path / "lru", max_bytes=9 * N_BYTES)
    with monkeypatch.context() as killed:
        killed.setattr(os, "replace", lambda source, target: None)
        killed.setattr(Path, "unlink", lambda path, missing_ok: None)
        for name in (b"old", b"new"):
            cache.put(name, FORM, image(0))
    cache.put(b"whole", FORM, image(0))
    unfinished = [path for path in entries(folder) if path.name.startswith(".")]
    assert len(unfinished) == 2
    now = time.time()
    os.utime(unfinished[0], (now - 3700, now - 3700))
    os.utime(unfinished[1], (now - 3500, now - 3500))
    cache.trim()
    assert unfinished[1].exists() and not unfinished[0].exists() and len(entries(folder)) == 2


def test_trimming_leaves_the_files_of_others(tmp_path: Path) -> None:
    """As when the cache was pointed at a home folder, whose ``images`` holds pictures."""
    cache = ImageCache(tmp_path / "images", max_bytes=N_BYTES)
    for name in (b"0", b"1"):
        cache.put(name, FORM, image(0))
    old = {"cat.png", ".DS_Store", ".tmp123", "f" * 63, "F" * 64, "f" * 65, f".{'f' * 63}-x", f"{'f' * 64}.png"}
    for name in old:
        (tmp_path / "images" / name).write_bytes(bytes(5 * N_BYTES))
        os.utime(tmp_path / "images" / name, (1000, 1000))
    (tmp_path / "images" / ("a" * 64)).mkdir()
    cache.trim()
    left = {path.name for path in entries(tmp_path / "images")}
    assert old | {"a" * 64} < left and len(left) == len(old) + 2, "one entry fits, whatever else is there"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.01, 1.01, -1e30, 0.0])
def test_a_spoiled_entry_is_a_miss_and_is_replaced(tmp_path: Path, own_cache: Path, value: float) -> None:
    path = tmp_path / "a.png"
    Image.effect_noise((20, 20), 50).save(path)
    whole = read_images([path], FORM)
    (entry,) = entries(own_cache)
    content = entry.read_bytes()
    spoiled = np.frombuffer(content, np.float32).copy()
    spoiled[17] = value
    entry.write_bytes(spoiled.tobytes())
    assert torch.equal(read_images([path], FORM), whole)
    assert entries(own_cache) == [entry] and entry.read_bytes() == content


def _blocked(folder: Path, how: str) -> None:
    """Makes a place where no cache can be, also for root, whom permissions do not stop."""
    if how == "the folder is a file":
        folder.parent.mkdir(parents=True)
        folder.write_text("no folder")
    elif how == "its parent is a file":
        folder.parent.write_text("no folder")
    else:
        folder.mkdir(parents=True)
        folder.chmod(0o500)


@pytest.mark.parametrize("how", ["the folder is a file", "its parent is a file", "no permission"])
def test_a_folder_that_cannot_be_written_is_no_cache(photos: list[Path], own_cache: Path, how: str) -> None:
    _blocked(own_cache, how)
    first = read_images(photos, FORM)
    assert torch.equal(read_images(photos, FORM), first) and first.isfinite().all()
    if how == "no permission":
        assert os.getuid() == 0 or entries(own_cache) == []
        own_cache.chmod(0o700)


def test_a_full_disk_is_no_cache(photos: list[Path], own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = read_images(photos, FORM)
    for path in entries(own_cache):
        path.unlink()

    def full(source: str, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    assert torch.equal(read_images(photos, FORM), fresh)
    assert entries(own_cache) == [], "and what was begun is removed"


def test_0_megabytes_are_no_cache(
    photos: list[Path], own_cache: Path, no_decoding: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_images(photos, FORM)
    n = len(entries(own_cache))
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "0")
    read_images(photos, ImageShape(1, 9, 9))
    assert len(entries(own_cache)) == n, "neither written nor emptied"
    no_decoding()
    with pytest.raises(AssertionError, match="an image was decoded"):
        read_images(photos, FORM)


@pytest.mark.parametrize("value", ["lots", "-1", "1.5", "", " 5", "1e3", "5MB"])
def test_a_size_that_is_no_number(photos: list[Path], fails: Any, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", value)
    with fails(f"AUTOAD_NNI_CACHE_MB is {value!r}", "whole number of megabytes", "0 for no cache"):
        read_images(photos, FORM)


def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("AUTOAD_NNI_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "autoad-nni"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "autoad-nni"
    monkeypatch.setenv("AUTOAD_NNI_CACHE", "~/own")
    assert cache_folder() == tmp_path / "home" / "own"


def _read_and_write(folder: Path, number: int) -> str:
    """What a trial does, over and over: each image that it gets must be whole and its own."""
    cache, rng, hits = ImageCache(folder, max_bytes=6 * N_BYTES), np.random.default_rng(number), 0
    while hits < 300:
        value = int(rng.integers(10))
        found = cache.get(str(value).encode(), FORM)
        if found is None:
            cache.put(str(value).encode(), FORM, image(value))
            cache.trim()
        elif not torch.equal(found, image(value)):
            return f"wanted {value}, got {found.unique().tolist()}"
        else:
            hits += 1
        for entry in entries(folder):
            with contextlib.suppress(FileNotFoundError):
                if not entry.name.startswith(".") and entry.stat().st_size != N_BYTES:
                    return f"{entry.name} is torn"
    return ""


def test_parallel_trials_see_whole_entries_or_none(tmp_path: Path) -> None:
    """Four processes write, read and remove ten entries, of which six fit."""
    folder = tmp_path / "shared"
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        faults = pool.starmap(_read_and_write, [(folder, number) for number in range(4)])
    assert faults == [""] * 4
    ImageCache(folder, max_bytes=6 * N_BYTES).trim()
    assert 1 <= len(entries(folder)) <= 6
    assert all(path.stat().st_size == N_BYTES for path in entries(folder)), "no temporary file is left"
