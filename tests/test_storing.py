from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.storing import StorageError, check_new_folder, new_folder


def test_a_folder_appears_when_all_is_in_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "bundle"
    with new_folder(target) as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "a").write_text("a")
        assert not target.exists() and folder.parent == target.parent
    assert (target / "inner" / "a").read_text() == "a" and list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_nothing_is_left_of_one_that_failed(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), new_folder(tmp_path / "bundle") as folder:
        (folder / "a").write_text("a")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_made_in_the_meantime_stays(tmp_path: Path) -> None:
    def late() -> None:
        with new_folder(tmp_path / "bundle") as folder:
            (folder / "a").write_text("late")
            (tmp_path / "bundle").mkdir()
            (tmp_path / "bundle" / "a").write_text("first")

    with pytest.raises(StorageError, match=r"bundle cannot be written: Directory not empty"):
        late()
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (tmp_path / "bundle" / "a").read_text() == "first"


def test_a_kill_leaves_no_half_of_it(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, autoad_nni.storing as storing\n"
        "with storing.new_folder(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'a').write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "bundle")])
    assert done.returncode == -signal.SIGKILL and not (tmp_path / "bundle").exists()
    with new_folder(tmp_path / "bundle") as folder:
        (folder / "a").write_text("whole")
    assert (tmp_path / "bundle" / "a").read_text() == "whole"


def test_a_folder_must_be_new_or_empty(tmp_path: Path) -> None:
    check_new_folder(tmp_path / "none")
    check_new_folder(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(AutoADError, match=rf"^output {tmp_path}/file is a file\. Expected a folder"):
        check_new_folder(tmp_path / "file")
    with pytest.raises(AutoADError, match=rf"^output {tmp_path} holds files\. Expected a new or empty folder"):
        check_new_folder(tmp_path)
    assert os.listdir(tmp_path) == ["file"]
