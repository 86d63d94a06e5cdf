"""From image files to decisions: what is written, what is refused, and what a single bad file does."""

from __future__ import annotations

import csv
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from full_disk import largest_file
from PIL import Image
from run_command import Ended, command, start
from small_experiment import TRIAL, write

import autoad_nni as ad
from autoad_nni.data.decode import read_images
from autoad_nni.runs.lock import lock_run
from autoad_nni.runs.prediction import predict_files
from autoad_nni.runs.records import BestRecord


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A search on digits, against photographs."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    file = write(folder.with_suffix(".yml"), maxTrialNumber=3, trialCommand=f"{TRIAL} --members 1")
    assert command("search", file, "--output", folder).code == 0
    return folder


@pytest.fixture(scope="module")
def model(run: Path) -> ad.Model:
    return ad.load(run)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Eight images of all kinds, in two folders, two of the same name."""
    random = np.random.default_rng(0)
    folder = tmp_path / "new"
    (folder / "deep").mkdir(parents=True)
    grey = random.integers(0, 256, (12, 9), dtype=np.uint8)
    Image.fromarray(grey).save(folder / "a.png")
    Image.fromarray(grey // 2).save(folder / "deep" / "a.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(folder / "sixteen.png")
    Image.fromarray(random.integers(0, 256, (12, 9, 3), dtype=np.uint8)).save(folder / "colour.JPG")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(grey).save(folder / "turned.jpg", exif=turned)
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "black.bmp")
    Image.fromarray(grey).convert("P").save(folder / "deep" / "palette.gif")
    Image.fromarray(grey).save(folder / "deep" / "b.tif")
    (folder / "notes.txt").write_text("no image")
    (folder / ".hidden.png").write_text("no image")
    return folder


def table(output: Path) -> list[dict[str, str]]:
    with (output / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def content(output: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads((output / "predictions.json").read_text(encoding="utf-8"))
    return read


def assert_refused(ended: Ended, *parts: str) -> None:
    assert ended.code == 2, ended
    assert ended.err.startswith("autoad-nni: ") and ended.err.count("\n") == 1 and ended.out == ""
    for part in parts:
        assert part in ended.err


def test_files_folders_and_patterns_are_scored_once_each_as_the_search_reads_them(
    run: Path, model: ad.Model, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    given = [images / "turned.jpg", images / "deep", f"{images}/*.png", images, images / "deep" / ".." / "a.png"]
    ended = command("predict", run, *given, "--output", output)
    assert (ended.code, ended.err) == (0, "")
    rows = table(output)
    names = [os.path.relpath(row["path"], images) for row in rows]
    assert names == [
        "turned.jpg", "deep/a.png", "deep/b.tif", "deep/palette.gif", "a.png", "sixteen.png", "black.bmp", "colour.JPG",
    ]  # fmt: skip
    expected = model.predict(read_images([Path(row["path"]) for row in rows], model.image_shape)).score.double()
    assert [float(row["score"]) for row in rows] == pytest.approx(expected.tolist(), rel=1e-6)
    assert max(len(row[name].lstrip("-")) for row in rows for name in ("score", "threshold")) <= len("0.123456789")
    found = content(output)
    assert found["image_shape"] == [1, 8, 8] and found["model"] == str(run) and found["unreadable"] == []
    assert [(each["path"], np.float32(each["score"]), each["decision"]) for each in found["images"]] == [
        (row["path"], np.float32(row["score"]), row["decision"]) for row in rows
    ]
    defective = [row for row in rows if float(row["score"]) > float(row["threshold"])]
    exact = [each["path"] for each in found["images"] if each["score"] > found["threshold"]["value"]]
    assert exact == [row["path"] for row in defective], "in both files, the decision follows from the figures"
    assert {row["decision"] for row in defective} == {"defective"} and 0 < len(defective) < len(rows)
    assert {row["decision"] for row in rows if row not in defective} == {"good"}
    assert found["counts"] == {"good": 8 - len(defective), "defective": len(defective), "unreadable": 0}
    assert sorted(path.name for path in output.iterdir()) == ["predictions.csv", "predictions.json"]
    assert ended.out.startswith(f"8 images: {len(defective)} defective, {8 - len(defective)} good; threshold ")
    assert ended.out.count("\n") == 1 and ended.out.endswith(f", written to {output}/predictions.csv\n")


def test_the_threshold_is_that_of_the_search_unless_another_is_asked_for(
    run: Path, images: Path, tmp_path: Path
) -> None:
    calibration = BestRecord.read(run).calibration
    assert calibration is not None and calibration.defects
    n, best = len(calibration.normal), calibration.best_f1()
    assert best is not None and calibration.least_rate > 0.01, "too few for 1 %, which is said"
    least = f"false-alarm rate {100 * calibration.least_rate:.3g} %, the least that {n} good images allow"
    cases: list[tuple[list[object], float, str, float | None, str]] = [
        ([], calibration.default().value, "false_alarm_rate", calibration.least_rate, least),
        (["--false-alarm-rate", 0.5], calibration.at(0.5).value, "false_alarm_rate", 0.5,
            f"false-alarm rate 50 %, from {n} good images"),
        (["--f1"], best.value, "f1", None,
            f"highest F1 on {n} good images and {len(calibration.defects)} with a defect"),
        (["--threshold", -1.5], -1.5, "given", None, "given"),
    ]  # fmt: skip
    for i, (options, value, rule, rate, origin) in enumerate(cases):
        ended = command("predict", run, images, "--output", tmp_path / str(i), *options)
        assert ended.code == 0, ended
        assert content(tmp_path / str(i))["threshold"] == {"value": value, "rule": rule, "rate": rate, "origin": origin}
        rows = table(tmp_path / str(i))
        assert {(np.float32(row["threshold"]), row["rule"]) for row in rows} == {(np.float32(value), rule)}
        for row in rows:
            assert (row["decision"] == "defective") == (float(row["score"]) > float(row["threshold"]))
        assert f"({origin})" in ended.out


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (["--f1", "--threshold", 1], ("--false-alarm-rate, --threshold and --f1 exclude one another",)),
        (["--f1", "--false-alarm-rate", 0.1], ("exclude one another",)),
        (["--threshold", "nan"], ("--threshold is nan. Expected a finite number",)),
        (["--false-alarm-rate", 0.0001], ("--false-alarm-rate is 0.0001, which takes scores of 9999 normal images",)),
        (["--false-alarm-rate", 2], ("--false-alarm-rate is 2. Expected more than 0 and less than 1",)),
        (["--threshold", "high"], ("threshold",)),
    ],
)
def test_thresholds_that_are_refused(
    run: Path, images: Path, tmp_path: Path, options: list[object], parts: tuple[str, ...]
) -> None:
    assert_refused(command("predict", run, images, "--output", tmp_path / "out", *options), *parts)
    assert not (tmp_path / "out").exists()


def test_a_search_that_has_not_ended_has_no_threshold_but_takes_one(run: Path, images: Path, tmp_path: Path) -> None:
    import shutil

    running = Path(shutil.copytree(run, tmp_path / "running"))
    best = json.loads((running / "best.json").read_text())
    (running / "best.json").write_text(json.dumps({**best, "calibration": None}))
    ended = command("predict", running, images, "--output", tmp_path / "out")
    assert_refused(ended, "the model has no threshold: its search has not ended.", "Give --threshold")
    assert command("predict", running, images, "--output", tmp_path / "out", "--threshold", 1).code == 0


def test_files_that_cannot_be_read_are_reported_and_the_others_scored(run: Path, images: Path, tmp_path: Path) -> None:
    whole = (images / "colour.JPG").read_bytes()
    (images / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (images / "empty.png").touch()
    (images / "text.png").write_text("no image")
    (images / "photo.heic").write_text("no image")
    (images / "gone.png").symlink_to(images / "nowhere.png")
    os.mkfifo(images / "pipe.png")
    bad = {"cut.jpg", "empty.png", "text.png", "photo.heic", "gone.png", "pipe.png"}
    output = tmp_path / "out"
    ended = command("predict", run, images, "/dev/zero", "--output", output, "--maps")
    assert ended.code == 1
    assert len(table(output)) == 8 + 7
    rows = {Path(row["path"]).name: row for row in table(output)}
    unreadable = {name for name, row in rows.items() if row["decision"] == "unreadable"}
    assert unreadable == bad | {"zero"}
    listed = content(output)
    assert {Path(each["path"]).name for each in listed["unreadable"]} == unreadable
    assert listed["counts"]["unreadable"] == 7 and len(listed["images"]) == 8
    for name in unreadable:
        row = rows[name]
        assert row["score"] == row["map"] == "" and row["problem"] in ended.err.splitlines()
        assert row["problem"].startswith(f"cannot read the image {row['path']}: ")
    assert "not a regular file" in rows["pipe.png"]["problem"] and "No such file" in rows["gone.png"]["problem"]
    assert len(ended.err.splitlines()) == 7
    assert ended.out.startswith("15 images: ") and ", 7 unreadable; threshold " in ended.out


def test_nothing_but_unreadable_files_is_written_down_too(run: Path, tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("no image")
    ended = command("predict", run, tmp_path / "text.png", "--output", tmp_path / "out", "--maps")
    assert ended.code == 1 and ended.out.startswith("1 image: 1 unreadable; threshold ")
    assert content(tmp_path / "out")["images"] == [] and len(table(tmp_path / "out")) == 1


@pytest.mark.parametrize(
    ("given", "part"),
    [
        (["{images}", "{tmp}/nowhere.png"], "there is no image '{tmp}/nowhere.png'. Expected image files, folders"),
        (["{images}/*.webm"], "there is no image '{images}/*.webm'"),
        ([""], "there is no image ''"),
        (["{tmp}/empty"], "the folder {tmp}/empty has no images. Expected files that end in .png, .jpg"),
        ([], "images"),
    ],
)
def test_no_image_at_all(run: Path, images: Path, tmp_path: Path, given: list[str], part: str) -> None:
    (tmp_path / "empty").mkdir()
    places = {"images": images, "tmp": tmp_path}
    ended = command("predict", run, *(each.format(**places) for each in given), "--output", tmp_path / "out")
    assert_refused(ended, part.format(**places))
    assert not (tmp_path / "out").exists()


def test_a_name_that_looks_like_a_pattern_is_a_name(run: Path, images: Path, tmp_path: Path) -> None:
    (images / "a.png").rename(images / "part[1].png")
    assert command("predict", run, images / "part[1].png", "--output", tmp_path / "out").code == 0
    assert [Path(row["path"]).name for row in table(tmp_path / "out")] == ["part[1].png"]


def test_folders_that_nothing_is_written_to(run: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thing").touch()
    (tmp_path / "empty").mkdir()
    for output, part in (
        (tmp_path / "file", "is a file. Expected a folder. Give another --output."),
        (tmp_path / "full", "holds files. Expected a new or empty folder. Give another --output."),
        (images / "out", f"lies among the images of {images}, where its pictures would be taken for images."),
        (tmp_path / "file" / "out", "Not a directory"),
        (tmp_path / ("x" * 300), "File name too long"),
    ):
        assert_refused(command("predict", run, images, "--output", output), part)
    assert command("predict", run, images, "--output", tmp_path / "empty").code == 0


@pytest.mark.parametrize("source", ["nowhere", "runs/nowhere"])
def test_sources_that_are_none(images: Path, tmp_path: Path, source: str) -> None:
    ended = command("predict", source, images, "--output", tmp_path / "out")
    assert_refused(ended, f"there is no folder {source}, nor does NNI know an experiment of that id.")


def test_an_experiment_of_nni_and_a_bundle_are_sources_too(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from autoad_nni.engines.nnictl import experiments

    monkeypatch.setattr(experiments, "known_experiments", lambda: {run.name: {"logDir": str(run.parent)}})
    assert command("export", run, "--output", tmp_path / "bundle").code == 0
    for i, source in enumerate((run, run.name, tmp_path / "bundle")):
        assert command("predict", source, images, "--output", tmp_path / str(i)).code == 0
    first = table(tmp_path / "0")
    assert first == table(tmp_path / "1") == table(tmp_path / "2")


def test_names_of_files_steer_no_terminal(run: Path, images: Path, tmp_path: Path) -> None:
    evil = "a\x1b[2J\nb\u202e.png"
    (images / "black.bmp").rename(images / evil)
    (images / f"text{evil}").write_text("no image")
    output = tmp_path / "out\x1b[31m"
    ended = command("predict", run, images, "--output", output, "--maps")
    assert ended.code == 1
    for printed in (ended.out, ended.err):
        assert "\x1b" not in printed and "\u202e" not in printed and printed.count("\n") == 1
    assert "texta\\x1b[2J\\nb\\u202e.png" in ended.err
    rows = {Path(row["path"]).name: row for row in table(output)}
    assert evil in rows and (output / rows[evil]["map"]).is_file(), "the table has the name as it is"
    refused = command("predict", run, images / "no\x1b[2J.png", "--output", tmp_path / "out")
    assert refused.code == 2 and "\x1b" not in refused.err


def test_a_name_that_is_no_text_and_one_as_long_as_can_be(run: Path, images: Path, tmp_path: Path) -> None:
    (images / "a.png").rename(images / os.fsdecode(b"\xff\xfe.png"))
    (images / "black.bmp").rename(images / ("x" * 251 + ".bmp"))
    ended = command("predict", run, images, "--output", tmp_path / "out", "--maps")
    assert ended.code == 0, ended
    assert len(table(tmp_path / "out")) == 8
    assert os.fsdecode(b"\xff\xfe.png") in {Path(each["path"]).name for each in content(tmp_path / "out")["images"]}
    assert len(list((tmp_path / "out" / "maps").rglob("*.png"))) == 8


def test_every_map_is_a_picture_that_the_table_names(run: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    assert command("predict", run, images, images / "deep" / ".." / "deep", "--output", output, "--maps").code == 0
    rows = {os.path.relpath(row["path"], images): row for row in table(output)}
    assert rows["a.png"]["map"] == "maps/a.png" and rows["deep/a.png"]["map"] == "maps/deep/a.png"
    assert rows["deep/b.tif"]["map"] == "maps/deep/b.tif.png"
    drawn = {path.relative_to(output).as_posix() for path in (output / "maps").rglob("*.*")}
    assert drawn == {row["map"] for row in rows.values()} == {each["map"] for each in content(output)["images"]}
    with Image.open(output / "maps" / "a.png") as picture:
        assert picture.width > 3 * 128, "three tiles beside one another"


@pytest.mark.slow
def test_a_kill_leaves_nothing_that_reads_as_whole(run: Path, images: Path, tmp_path: Path) -> None:
    many, output = tmp_path / "many", tmp_path / "out"
    many.mkdir()
    for i in range(400):
        os.link(images / "a.png", many / f"{i:03d}.png")
    process = start("predict", run, many, "--output", output, "--maps")
    until = time.monotonic() + 200
    while not list((output / "maps").glob("*.png")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL
    left = [path.name for path in output.iterdir()]
    assert "maps" in left and "predictions.csv" not in left and "predictions.json" not in left
    for picture in (output / "maps").glob("*.png"):
        with Image.open(picture) as whole:
            whole.load()
    # The same command, and one for other images, begin anew.
    (output / ".predictions.json.1.unfinished").write_text("of an earlier one")
    ended = command("predict", run, images / "a.png", "--output", output)
    assert ended.code == 0, ended
    assert sorted(path.name for path in output.iterdir()) == ["predictions.csv", "predictions.json"]
    assert_refused(command("predict", run, images / "a.png", "--output", output), "holds files. Expected a new or")


def test_what_a_kill_left_is_refused_beside_other_files_and_while_it_is_written(
    run: Path, images: Path, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    output.mkdir()
    (output / ".predictions.csv.1.unfinished").touch()
    with lock_run(output, output / ".predictions.lock"):
        assert_refused(
            command("predict", run, images, "--output", output), f"another process writes predictions to {output}."
        )
    (output / "notes.txt").write_text("mine")
    assert_refused(command("predict", run, images, "--output", output), "holds files. Expected a new or empty folder")
    assert {path.name for path in output.iterdir()} >= {"notes.txt", ".predictions.csv.1.unfinished"}


@pytest.mark.parametrize("is_there", [False, True])
def test_an_interruption_leaves_the_folder_as_it_was(
    run: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    from autoad_nni.runs.prediction_folder import PredictionFolder

    output, add = tmp_path / "out", PredictionFolder.add
    if is_there:
        output.mkdir()

    def interrupted(self: PredictionFolder, prediction: Any) -> None:
        add(self, prediction)
        if self.counts.total() == 5:
            assert (output / "maps").is_dir()
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(PredictionFolder, "add", interrupted)
    ended = command("predict", run, images, "--output", output, "--maps")
    assert (ended.code, ended.out, ended.err) == (130, "", "stopped. Nothing is kept.\n")
    assert output.exists() == is_there and not list(output.glob("*"))


def test_a_full_disk(run: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    with largest_file(200):
        ended = command("predict", run, images, "--output", output)
    assert_refused(
        ended, f"{output}", "cannot be written: File too large", "Make room or give write access, and predict"
    )
    assert not output.exists()


def test_from_python_the_files_come_in_their_order_and_a_bad_one_is_an_error(model: ad.Model, images: Path) -> None:
    files = [images / "black.bmp", images / "a.png"]
    found = list(model.predict_files(files, threshold=0.0))
    assert [each.path for each in found] == files
    expected = model.predict(read_images(files, model.image_shape))
    assert [each.score for each in found] == pytest.approx(expected.score.tolist(), rel=1e-6)
    for each, anomaly_map in zip(found, expected.anomaly_map.numpy(), strict=True):
        assert np.allclose(each.anomaly_map, anomaly_map, rtol=1e-5)
        assert each.decision == ("defective" if each.score > 0 else "good")
    assert model.calibration is not None
    default = model.calibration.default().value
    assert [each.decision == "defective" for each in model.predict_files(files)] == [e.score > default for e in found]
    (images / "text.png").write_text("no image")
    with pytest.raises(ad.AutoADError, match=r"^cannot read the image .*text\.png: cannot identify image file"):
        list(model.predict_files([*files, images / "text.png"]))
    problems: list[Path] = []
    left = predict_files(
        model, [images / "text.png", *files], on_unreadable=lambda path, problem: problems.append(path)
    )
    assert [each.path for each in left] == files and problems == [images / "text.png"]
