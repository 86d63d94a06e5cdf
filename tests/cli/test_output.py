"""Whatever files are called and whatever the terminal can show: lines, and no codes that steer it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from run_command import command

import autoad_nni.cli

LONG = "x" * 300
HOSTILE = "ü\x1b[2J\x9b1m\u202e孔"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / HOSTILE
    for kind, n in (("good", 12), (f"bent{HOSTILE}", 4)):
        (root / kind).mkdir(parents=True)
        for i in range(n):
            Image.new("L", (12, 10), 20 + 10 * i + n).save(root / kind / f"{i}{HOSTILE}.png")
    return root


def is_safe(text: str) -> bool:
    return all(each.isprintable() or each == "\n" for each in text)


def test_names_steer_no_terminal(images: Path, tmp_path: Path) -> None:
    shown = command("data", "check", images)
    assert shown.code == 0 and is_safe(shown.out) and r"\x1b[2J" in shown.out
    ended = command("search", images, "--output", tmp_path / f"run{HOSTILE}", "--trials", 1)
    assert ended.code == 0 and is_safe(ended.out + ended.err), ended.err
    (images / "good" / f"broken{HOSTILE}\n.png").write_bytes(b"")
    faulty = command("data", "check", images)
    assert faulty.code == 2 and is_safe(faulty.out) and faulty.out.count("\n") == 1
    run = tmp_path / f"run{HOSTILE}"
    predicted = command("predict", run, images, "--output", tmp_path / f"out{HOSTILE}")
    assert predicted.code == 1 and is_safe(predicted.out + predicted.err) and "broken" in predicted.err
    for words in (["trials", run], ["trials", run, "--csv", "-"], ["report", run], ["init", images]):
        assert is_safe(command(*words).out), words


@pytest.mark.parametrize("setting", [{}, {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0"}], ids=["output", "all"])
@pytest.mark.slow
def test_a_terminal_of_ascii_shows_all(images: Path, tmp_path: Path, setting: dict[str, str]) -> None:
    words = ["search", str(images), "--output", str(tmp_path / "ä"), "--trials", "1"] if setting else ["data", "check"]
    done = subprocess.run(
        [sys.executable, "-m", "autoad_nni", *words, *([] if setting else [str(images)])],
        capture_output=True,
        env={**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii", **setting},
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).isascii() and b"\\x1b[2J" in done.stdout


@pytest.mark.slow
def test_names_of_files_that_are_no_text_are_read_and_written(tmp_path: Path) -> None:
    """As from an old camera: the report, the last thing that a search writes, ended in a traceback."""
    root = tmp_path / "set"
    for kind, n in ((b"good", 12), (b"bent\xfe", 4)):
        folder = os.fsencode(root) + b"/" + kind
        os.makedirs(folder)
        for i in range(n):
            with open(folder + b"/%d\xff.png" % i, "wb") as file:
                Image.new("L", (12, 10), 20 + 10 * i + n).save(file, "PNG")
    ended = command("search", root, "--output", tmp_path / "run", "--trials", 1)
    assert ended.code == 0, ended.err
    assert "\\udcff.png" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")
    predicted = command("predict", tmp_path / "run", root, "--output", tmp_path / "out")
    assert predicted.code == 0, predicted.err
    assert command("export", tmp_path / "run", "--output", tmp_path / "bundle").code == 0
    assert command("trials", tmp_path / "run", "--csv", tmp_path / "trials.csv").code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["data", "check", LONG],
        ["data", "textures", LONG],
        ["search", LONG, "--output", "out"],
        ["search", "experiment.yml", "--output", LONG],
        ["search", "images", "--output", LONG],
        ["init", LONG],
        ["predict", LONG, "images", "--output", "out"],
        ["predict", "images", LONG, "--output", "out"],
        ["trials", LONG],
        ["report", LONG],
        ["export", LONG, "--output", "out"],
        ["refine", LONG, LONG, "--output", LONG],
        ["trial", "--run", LONG, "--number", "0"],
        ["trial", "--data", "digits", "--abnormal", "photos", "--sample", LONG],
        ["trial", "--data", "folder", "--root", LONG, "--sample", "sample.json"],
        ["trial", "--data", "mnist", "--abnormal", "photos", "--root", LONG, "--sample", "sample.json"],
        ["launch", LONG],
        ["plugins", "check", "resnet18", "--weights", LONG],
    ],
    ids=lambda words: " ".join(words).replace(LONG, "LONG"),
)
@pytest.mark.parametrize("name", [LONG, f"no/{LONG}", "a\0b"], ids=["long", "long below", "null"])
def test_a_name_that_no_file_can_have_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("images/good").mkdir(parents=True)
    for i in range(12):
        Image.new("L", (12, 10), 20 + i).save(f"images/good/{i}.png")
    Path("sample.json").write_text("{}")
    Path("experiment.yml").write_text("{}")
    ended = command(*[word.replace(LONG, name) for word in words])
    assert ended.code == 2 and ended.err.count("\n") == 1, ended
    assert not Path("out").exists()


def test_every_command_prints_by_say() -> None:
    printing = re.compile(r"typer\.s?echo\(|(?<![.\w])(?<!def )print\(")
    files = Path(autoad_nni.cli.__file__).parent.glob("*.py")
    assert [path.name for path in files if printing.search(path.read_text())] == ["usage.py"]
