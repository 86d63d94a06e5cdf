from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from full_disk import largest_file
from run_command import command, start
from small_experiment import TRIAL, history, write


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    ended = command("search", write(folder / "x.yml", maxTrialNumber=4), "--output", folder / "run")
    assert ended.code == 0 and ended.out.endswith(f"report: {folder}/run/report.html\n"), ended
    return folder / "run"


def test_a_page_is_written_again_and_elsewhere(finished: Path, tmp_path: Path) -> None:
    first = (finished / "report.html").read_text()
    assert "4 trials" in first and "19 anomalous images" not in first
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "report.html").unlink()
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    ended = command("report", tmp_path / "run", "--output", tmp_path / "page.html")
    assert (ended.code, ended.out, ended.err) == (0, f"written to {tmp_path}/page.html\n", "")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before
    assert command("report", tmp_path / "run").out == f"written to {tmp_path}/run/report.html\n"
    assert "The hardest test images" in (tmp_path / "run" / "report.html").read_text()


def test_of_a_set_among_others_nothing_is_drawn(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert "anomalous images" in page and "normal images" in page and "<img" not in page
    assert "Pictures are drawn for sets with defects of their own only" in page


@pytest.mark.slow
def test_a_search_that_runs_can_be_looked_at(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", maxTrialNumber=500, trialCommand=TRIAL)
    process = start("search", file, "--output", tmp_path / "run")
    try:
        assert process.stdout is not None
        while "trial 2/500" not in (line := process.stdout.readline()):
            assert line or process.poll() is None
        ended = command("report", tmp_path / "run")
        assert ended.code == 0, ended
    finally:
        process.kill()
        process.communicate()
    assert "The search has not ended" in (tmp_path / "run" / "report.html").read_text()
    assert len(history(tmp_path / "run")) >= 2
    assert command("report", tmp_path / "run").code == 0, "a search that was killed, too"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "there is no folder nowhere, nor does NNI know an experiment of that id. Expected a folder"),
        (["."], ". holds no search. Expected a folder that"),
        (["RUN", "--output", "."], "--output . is a folder. Expected a file. Give for instance report.html."),
        (["RUN", "--output", "no/page.html"], "no/page.html cannot be written: No such file or directory. Expected"),
    ],
)
def test_mistakes_are_one_line(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = command("report", *[finished if word == "RUN" else word for word in words])
    assert ended.code == 2 and ended.out == "" and ended.err.count("\n") == 1
    assert ended.err.startswith(f"autoad-nni: {message}"), ended.err


def test_on_a_full_disk_the_old_page_stays(finished: Path) -> None:
    before = (finished / "report.html").read_bytes()
    with largest_file(5000):
        ended = command("report", finished)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert ended.err.startswith(f"autoad-nni: {finished}/report.html cannot be written: File too large.")
    assert (finished / "report.html").read_bytes() == before and not list(finished.rglob(".*unfinished"))
