from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from run_command import command, run

from autoad_nni.data.textures import KINDS


@pytest.mark.slow
def test_a_set_is_written_and_has_nothing_wrong(tmp_path: Path) -> None:
    out = tmp_path / "textures"
    written = run("data", "textures", out, "--seed", 5)
    assert (written.code, written.err) == (0, "")
    assert written.out.startswith(f"written to {out}: brick, grass, gravel, each with the defects blob,")
    kinds = f"kinds of defects 6 ({', '.join(sorted(KINDS))})"
    line = f"nothing wrong in {out}: categories 3, images 516, {kinds}, masks 144\n"
    assert command("data", "check", out) == (0, line, "")
    brick = f"nothing wrong in {out / 'brick'}: categories 1, images 172, {kinds}, masks 48\n"
    assert command("data", "check", out / "brick") == (0, brick, "")

    again = command("data", "textures", out)
    assert (again.code, again.out) == (2, "")
    assert again.err == f"autoad-nni: {out} holds files. Expected a new or empty folder. Give another one.\n"

    (out / "brick/ground_truth/blob/a_001_mask.png").unlink()
    (out / "gravel/train/good/007.png").write_bytes(b"")
    wrong = command("data", "check", out)
    assert (wrong.code, wrong.err) == (2, "")
    mask, image = wrong.out.splitlines()
    assert mask.startswith(f"{out / 'brick/test/blob/a_001.png'} has no mask. Expected {out / 'brick/ground_truth'}")
    assert image.startswith(f"cannot read the image {out / 'gravel/train/good/007.png'}: ")


def test_what_is_allowed_is_said_last(tmp_path: Path) -> None:
    for folder, mode, n in (("good", "L", 12), ("bent", "RGB", 2)):
        (tmp_path / folder).mkdir()
        for i in range(n):
            Image.new(mode, (12 + i, 10), 9).save(tmp_path / folder / f"{i:03}.png")
    ended = command("data", "check", tmp_path)
    assert (ended.code, ended.err) == (0, "")
    first, *remarks = ended.out.splitlines()
    assert first.startswith(f"nothing wrong in {tmp_path}: categories 1, images 14,")
    assert [remark.partition(":")[0] for remark in remarks] == [str(tmp_path)] * 2
    assert "sizes 12 x 10 to 23 x 10" in remarks[0] and "12 of 14 images are grey" in remarks[1]


def test_the_first_eight_kinds_of_defects_are_named(tmp_path: Path) -> None:
    for k, folder in enumerate(("good", *"ihgfedcba")):
        (tmp_path / folder).mkdir()
        for i in range(10):
            Image.new("L", (12, 10), 10 * k + i).save(tmp_path / folder / f"{i:03}.png")
    line = "categories 1, images 100, kinds of defects 9 (a, b, c, d, e, f, g, h, ...), masks 0\n"
    assert command("data", "check", tmp_path) == (0, f"nothing wrong in {tmp_path}: {line}", "")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["textures"], "Missing argument"),
        (["textures", "out", "--seed", "-1"], "--seed"),
        (["check"], "Missing argument"),
        (["check", "none"], "none is not a folder. Expected a folder of images. Correct the path."),
        (["chekc"], "No such command 'chekc'"),
    ],
)
def test_faults_in_the_words(words: list[str], part: str) -> None:
    ended = command("data", *words)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("autoad-nni: ") and ended.err.count("\n") == 1 and part in ended.err


def test_what_a_search_refuses_ends_with_2(tmp_path: Path) -> None:
    """Too few good images to plant defects into some of them."""
    (tmp_path / "good").mkdir()
    for i in range(12):
        Image.new("L", (12, 10), 100 + i).save(tmp_path / "good" / f"{i:03}.png")
    ended = command("data", "check", tmp_path)
    assert (ended.code, ended.err) == (2, "")
    assert ended.out == (
        f"{tmp_path} has 12 normal images. Expected 20 or more, to train on most of them and to plant defects into "
        "some of the others. Add images.\n"
    )


def test_good_images_only_are_enough(tmp_path: Path) -> None:
    (tmp_path / "good").mkdir()
    for i in range(20):
        Image.new("L", (12, 10), 100 + i).save(tmp_path / "good" / f"{i:03}.png")
    ended = command("data", "check", tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert f"{tmp_path} has no image with a defect: a search plants some" in ended.out
