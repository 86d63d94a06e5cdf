"""Files that are no images, and images that would take all memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autoad_nni.data import ImageShape, TaskOptions, image_file, load_task
from autoad_nni.data.check import check_layout
from autoad_nni.data.check.reading import read_image as facts_of
from autoad_nni.data.decode import full_image_shape, read_image, read_images, resized
from autoad_nni.data.depth import peak_of_16_bits
from autoad_nni.data.image_file import MAX_IMAGE_SIDE, decoding
from autoad_nni.data.masks import read_mask
from autoad_nni.errors import AutoADError

Write = Callable[..., None]
SHAPE = ImageShape(3, 24, 16)


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder"])
def test_what_is_no_file_is_named_and_never_waited_for(plain: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(plain)
    path = plain / "good" / "x.png"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("good/x.png")
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    readers = (
        lambda: load_task(TaskOptions(data="folder", root=plain)),
        lambda: read_image(path, SHAPE),
        lambda: read_images([path], SHAPE),
        lambda: full_image_shape(path),
    )
    for read in readers[kind == "folder" :]:  # a folder of that name is a sub-folder, and empty
        with pytest.raises(AutoADError, match=rf"^cannot read the image {path}: ") as caught:
            read()
        assert kind == "folder" or "not a regular file" in str(caught.value)
    if kind != "folder":
        assert [str(path) in str(problem) for problem in check_layout(plain).problems] == [True]


def test_a_mask_that_is_a_pipe_is_named(mvtec: Path) -> None:
    mask = mvtec / "ground_truth" / "crack" / "000_mask.png"
    mask.unlink()
    os.mkfifo(mask)
    with pytest.raises(AutoADError, match=f"cannot read the mask {mask}: not a regular file"):
        load_task(TaskOptions(data="folder", root=mvtec))
    assert any(f"cannot read the mask {mask}" in str(problem) for problem in check_layout(mvtec).problems)


def test_a_long_image_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    """Of 1 x 16,000,000 pixels and 16 kB, resized to 224 x 224: 15 GB on the way."""
    Image.new("1", (1, MAX_IMAGE_SIDE + 1)).save(tmp_path / "long.png")
    for read in (lambda: read_image(tmp_path / "long.png", SHAPE), lambda: full_image_shape(tmp_path / "long.png")):
        with pytest.raises(AutoADError, match=r"long\.png has 1 x 65536 pixels\. Expected at most 65,535 a side"):
            read()
    Image.new("1", (1, MAX_IMAGE_SIDE)).save(tmp_path / "just.png")
    assert read_image(tmp_path / "just.png", SHAPE).shape == SHAPE


def test_a_file_that_is_larger_than_any_image_is_refused_before_it_is_read(tmp_path: Path) -> None:
    Image.new("L", (9, 9)).save(tmp_path / "a.png")
    os.truncate(tmp_path / "a.png", 10**12)
    with pytest.raises(AutoADError, match=r"a\.png: 1,000,000,000,000 bytes are too many"):
        read_image(tmp_path / "a.png", SHAPE)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "I;16", "F"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_large_images_are_read_in_bands_as_if_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, orientation: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (201, 97, 3), dtype=np.uint8)
    image = {
        "RGB": lambda: Image.fromarray(noise),
        "L": lambda: Image.fromarray(noise[:, :, 0]),
        "P": lambda: Image.fromarray(noise).quantize(),
        "I;16": lambda: Image.fromarray(noise[:, :, 0].astype(np.uint16) * 200),
        "F": lambda: Image.fromarray(noise[:, :, 0].astype(np.float32) / 255),
    }[mode]()
    exif = image.getexif()
    exif[0x0112] = orientation
    path = tmp_path / ("a.tif" if mode == "F" else "a.png")
    image.save(path, exif=exif)

    def read() -> tuple[object, ...]:
        facts = facts_of(path)._replace(digest=b"")  # of bands
        return read_image(path, SHAPE), facts, peak_of_16_bits(path)

    whole = read()
    monkeypatch.setattr(image_file, "_BAND_PIXELS", 1000)
    in_bands = read()
    assert torch.equal(whole[0], in_bands[0]) and whole[1:] == in_bands[1:]
    assert len(list(image_file.bands(image))) > 10


def test_a_large_grey_picture_has_one_digest_in_grey_and_in_colour(tmp_path: Path) -> None:
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 256, (2100, 2100), dtype=np.uint8))
    colour = grey.convert("RGB")
    grey.save(tmp_path / "grey.bmp")
    colour.save(tmp_path / "same.bmp")
    colour.putpixel((2099, 2099), (0, 1, 2))
    colour.save(tmp_path / "other.bmp")
    first, same, other = (facts_of(tmp_path / f"{name}.bmp").digest for name in ("grey", "same", "other"))
    assert first == same != other


def test_threads_decode_so_many_pixels_at_once_and_no_more() -> None:
    pixels = image_file._Pixels(100)
    now, most, lock = [0], [0], threading.Lock()

    def decode(count: int) -> None:
        with pixels.taken(count):
            with lock:
                now[0] += min(count, 100)
                most[0] = max(most[0], now[0])
            threading.Event().wait(0.01)
            with lock:
                now[0] -= min(count, 100)

    threads = [threading.Thread(target=decode, args=(count,)) for count in (30, 60, 40, 1000, 70, 100, 10, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert 60 <= most[0] <= 100 and now[0] == 0


def test_pixels_are_free_again_after_an_image_that_cannot_be_decoded(tmp_path: Path) -> None:
    image = Image.new("L", (2, 2))
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), decoding(image):
            raise ZeroDivisionError
    assert image_file._pixels._free == image_file._PIXELS_AT_ONCE


@pytest.mark.slow
def test_files_of_few_kb_take_no_gigabytes(tmp_path: Path) -> None:
    """One of 13,300 x 13,300 took 2.2 GB, and eight were decoded at a time."""
    Image.new("P", (8_190, 8_190)).save(tmp_path / "a.png", optimize=False)
    script = f"""
        import resource, warnings
        from pathlib import Path
        from concurrent.futures import ThreadPoolExecutor
        from autoad_nni.data import ImageShape
        from autoad_nni.data.decode import read_image
        warnings.simplefilter("ignore")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: read_image(Path({str(tmp_path / "a.png")!r}), ImageShape(3, 64, 64)), range(2)))
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True, timeout=200
    )
    assert int(done.stdout) < 400_000, "kB"


def test_a_mask_is_read_from_an_open_file(tmp_path: Path) -> None:
    Image.new("P", (4, 3), 1).save(tmp_path / "m.png")
    assert read_mask(tmp_path / "m.png").shape == (3, 4)


def test_an_image_that_was_opened_by_others_can_be_resized() -> None:
    assert resized(Image.new("RGB", (30, 20), (255, 255, 255)), SHAPE).min() > 0.99
