from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from autoad_nni.data.masks import mask_path, read_mask
from autoad_nni.data.textures import (
    HALVES,
    KINDS,
    MIN_CHANGE,
    REGIONS,
    TEXTURES,
    Planted,
    ensure_textures,
    plant,
    recipe,
    write_textures,
)

Grey = npt.NDArray[np.uint8]
Place = tuple[int, int]
SMALL: dict[str, int] = {"seed": 3, "n_train": 10, "n_good": 4, "n_per_defect": 4}


@pytest.fixture(scope="module")
def textures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The set as a user gets it."""
    out = tmp_path_factory.mktemp("textures") / "deep" / "set"
    write_textures(out)
    return out


def pixels_of(path: Path) -> Grey:
    with Image.open(path) as image:
        assert (image.mode, image.size, image.format) == ("L", (128, 128), "PNG")
        return np.asarray(image)


def places(photograph: Grey, crop: Grey, known: npt.NDArray[np.bool_]) -> list[Place]:
    """Left and top of every place where the photograph has the known pixels of a crop."""
    side = len(crop)
    found = np.ones((512 - side + 1, 512 - side + 1), bool)
    offsets = np.argwhere(known)
    for row, column in offsets[:: len(offsets) // 20]:
        found &= photograph[row : row + len(found), column : column + len(found)] == crop[row, column]
    return [
        (int(left), int(top))
        for top, left in np.argwhere(found)
        if np.array_equal(photograph[top : top + side, left : left + side][known], crop[known])
    ]


def content(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run_python(code: str, *words: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_the_layout_is_that_of_mvtec(textures: Path) -> None:
    numbers = [f"{half}_{i:03}" for half in HALVES for i in range(12)]
    assert sorted(path.name for path in textures.iterdir()) == sorted([*TEXTURES, "README.txt", "textures.json"])
    for texture in TEXTURES:
        names = {str(path.relative_to(textures / texture)) for path in (textures / texture).rglob("*.png")}
        expected = {f"train/good/{i:03}.png" for i in range(100)} | {f"test/good/{name}.png" for name in numbers}
        for kind in KINDS:
            for name in (f"{half}_{i:03}" for half in HALVES for i in range(4)):
                expected |= {f"test/{kind}/{name}.png", f"ground_truth/{kind}/{name}_mask.png"}
        assert names == expected
    assert set(KINDS) == {"scratch", "blob", "stain", "missing_patch", "contrast", "foreign"}


@pytest.mark.parametrize("texture", TEXTURES)
def test_train_and_the_two_halves_share_no_pixel_and_outside_the_mask_all_is_as_it_was(
    textures: Path, texture: str
) -> None:
    photograph, root = recipe.photograph(texture), textures / texture
    painted = {part: np.zeros((512, 512), int) for part in ("train", *HALVES)}
    used: list[Place] = []
    for path in sorted(root.glob("t*/*/*.png")):
        image, place = pixels_of(path), mask_path(root, path) if path.parts[-3] == "test" else path
        mask = read_mask(place) if path.parent.name != "good" else np.zeros(image.shape, bool)
        (found,) = places(photograph, image, ~mask)
        part = "train" if path.parts[-3] == "train" else path.name[0]
        painted[part][found[1] : found[1] + 128, found[0] : found[0] + 128] = 1
        used.append(found)
        if mask.any():
            original = photograph[found[1] : found[1] + 128, found[0] : found[0] + 128].astype(int)
            change = np.abs(image.astype(int) - original)[mask]
            assert change.mean() >= MIN_CHANGE
            assert (change > 0).mean() > 0.5
            assert 0.001 < mask.mean() < 0.25
    assert sum(painted.values()).max() == 1  # type: ignore[union-attr]
    # No crop is there twice, and the regions are made use of.
    assert len(set(used)) == len(used) == 172
    assert all(painted[part].sum() > 0.8 * (r[2] - r[0]) * (r[3] - r[1]) for part, r in REGIONS.items())


def test_foreign_patches_come_from_the_same_half(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: dict[str, list[Grey]] = defaultdict(list)

    def record(kind: str, crop: Grey, other: Grey, strength: float, rng: np.random.Generator) -> Planted:
        seen["crop"].append(crop)
        seen["other"].append(other)
        return plant(kind, crop, other, strength, rng)

    monkeypatch.setattr(recipe, "plant", record)
    write_textures(tmp_path / "set", **SMALL)
    photographs = {texture: recipe.photograph(texture) for texture in TEXTURES}
    everything = np.ones((128, 128), bool)

    def origin(crop: Grey) -> tuple[str, str]:
        ((texture, (left, top)),) = (
            (name, place) for name in TEXTURES for place in places(photographs[name], crop, everything)
        )
        region = REGIONS["a" if top < 256 else "b"]
        assert left >= region.left and region.top <= top <= region.bottom - 128
        return texture, "a" if top < 256 else "b"

    assert len(seen["crop"]) == 3 * 6 * 4
    for crop, other in zip(seen["crop"], seen["other"], strict=True):
        (texture, half), (other_texture, other_half) = origin(crop), origin(other)
        assert texture != other_texture and half == other_half


@pytest.mark.parametrize("kind", KINDS)
def test_stronger_defects_change_more(kind: str) -> None:
    photograph = recipe.photograph("gravel")

    def mean_change(strength: float) -> float:
        changes = []
        for seed in range(30):
            crop, other = photograph[:128, seed : seed + 128], recipe.photograph("grass")[:128, :128]
            image, mask = plant(kind, crop, other, strength, np.random.default_rng(seed))
            assert mask.shape == image.shape == crop.shape and image.dtype == np.uint8
            changes.append(np.abs(image[mask].astype(int) - crop[mask]).mean())
        return float(np.mean(changes))

    assert mean_change(0.0) * 1.2 < mean_change(1.0)


def test_a_crop_that_is_too_flat_for_a_defect() -> None:
    grey = np.full((64, 64), 128, np.uint8)
    with pytest.raises(RuntimeError, match="no noticeable missing_patch"):
        plant("missing_patch", grey, grey, 0.0, np.random.default_rng(0))


def test_another_seed_gives_other_images(tmp_path: Path) -> None:
    write_textures(tmp_path / "first", **SMALL)
    write_textures(tmp_path / "second", **{**SMALL, "seed": 4})
    first, second = content(tmp_path / "first"), content(tmp_path / "second")
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_other_sides(tmp_path: Path) -> None:
    for side in (64, 204):
        out = tmp_path / str(side)
        write_textures(out, side=side, n_train=1, n_good=2, n_per_defect=2)
        for path in out.rglob("*.png"):
            with Image.open(path) as image:
                assert image.size == (side, side)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"seed": -1}, ("seed is -1", "0 or more")),
        ({"side": 63}, ("side is 63", "64 to 204")),
        ({"side": 205}, ("side is 205", "64 to 204")),
        ({"n_train": 0}, ("n_train is 0", "1 or more")),
        ({"n_good": 1}, ("n_good is 1", "2 or more")),
        ({"n_per_defect": 1}, ("n_per_defect is 1", "2 or more")),
        ({"side": 204, "n_good": 200}, ("124 crops of 204 pixels", "53 or fewer")),
    ],
)
def test_numbers_out_of_range(tmp_path: Path, fails: Any, arguments: dict[str, int], words: tuple[str, ...]) -> None:
    with fails(*words):
        write_textures(tmp_path / "set", **arguments)
    assert not list(tmp_path.iterdir())


def test_places_that_cannot_be_written(tmp_path: Path, fails: Any) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    with fails("full holds files", "new or empty folder"):
        write_textures(tmp_path / "full", **SMALL)
    with fails("file is a file", "new or empty folder"):
        write_textures(tmp_path / "file", **SMALL)
    with fails("cannot be written", "File exists"):
        write_textures(tmp_path / "file" / "below", **SMALL)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["file", "full", "mine.txt"]


def test_an_empty_folder_and_a_link_to_one_are_taken(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    write_textures(tmp_path / "link", **SMALL)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "README.txt").is_file()


def test_ensure_writes_once(tmp_path: Path, fails: Any) -> None:
    out = tmp_path / "set"
    ensure_textures(out, **SMALL)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    ensure_textures(out, **SMALL)
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    with fails("'seed': 3", "Expected {'seed': 4", "Give another folder"):
        ensure_textures(out, **{**SMALL, "seed": 4})
    (out / "grass/test/blob/b_001.png").unlink()
    with fails("lacks 1 of its files, first grass/test/blob/b_001.png", "Remove the folder"):
        ensure_textures(out, **SMALL)
    (out / "textures.json").write_text("{")
    with fails("holds files"):
        ensure_textures(out, **SMALL)


@pytest.mark.slow
def test_ensure_by_two_processes_at_once_gives_the_bytes_of_this_one(tmp_path: Path) -> None:
    code = "import sys, pathlib, autoad_nni.data.textures as t; "
    code += f"t.ensure_textures(pathlib.Path(sys.argv[1]), **{SMALL})"
    processes = [run_python(code, tmp_path / "set") for _ in range(2)]
    assert [process.communicate(timeout=200) for process in processes] == [("", "")] * 2
    assert [process.returncode for process in processes] == [0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    write_textures(tmp_path / "here", **SMALL)
    assert content(tmp_path / "set") == content(tmp_path / "here")


def test_the_slower_of_two_writers_ends_with_the_error(
    tmp_path: Path, fails: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the other one is done when all but the rename is."""
    out, dumps = tmp_path / "set", json.dumps

    def overtaken(*arguments: Any, **options: Any) -> str:
        monkeypatch.undo()
        write_textures(out, **{**SMALL, "seed": 9})
        return dumps(*arguments, **options)

    monkeypatch.setattr(json, "dumps", overtaken)
    with fails("cannot be written", "not empty", "nobody else writes to"):
        write_textures(out, **SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert json.loads((out / "textures.json").read_text())["seed"] == 9
    monkeypatch.setattr(json, "dumps", overtaken)
    ensure_textures(out, **{**SMALL, "seed": 9})


@pytest.mark.slow
def test_a_killed_writer_leaves_nothing_in_the_place(tmp_path: Path) -> None:
    code = "import sys, autoad_nni.data.textures as t, pathlib; t.write_textures(pathlib.Path(sys.argv[1]))"
    process = run_python(code, tmp_path / "set")
    while not list(tmp_path.rglob("*.png")):
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    assert not (tmp_path / "set").exists()
    assert all(path.name.startswith(".set-") for path in tmp_path.iterdir())
    ensure_textures(tmp_path / "set", **SMALL)
