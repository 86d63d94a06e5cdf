"""The process in which part of a check runs: new for each call, and nothing is shared with this one but the code."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from autoad_nni.testing import new_process
from autoad_nni.testing.new_process import in_new_process

calls = 0


def value(plugin: Callable[[], float]) -> Tensor:
    return torch.tensor([plugin()])


def one() -> int:
    return 1


def number_of_calls() -> int:
    global calls
    calls += 1
    return calls


def process_and_parent() -> list[int]:
    return [os.getpid(), os.getppid()]


def seed() -> int:
    return torch.initial_seed()


def hash_of_a_word() -> int:
    return hash("a word") % 2**31


def threads() -> list[int]:
    return [torch.get_num_threads(), len(psutil.Process().threads())]


def length_of_the_variable() -> int:
    return len(os.environ["VARIABLE"])


def files_around() -> int:
    return len(os.listdir())


def talk_and_read() -> int:
    print("[0, [4.0]]")
    os.write(1, b"[0, [5.0]]\n")
    return len(sys.stdin.read())


def fail() -> None:
    raise ValueError("not today")


def leave() -> None:
    sys.exit(3)


def die() -> None:
    psutil.Process().kill()


def the_server() -> subprocess.Popen[str]:
    server = new_process._server
    assert server is not None
    return server._process


def test_state_of_the_process_is_not_carried_over() -> None:
    assert value(number_of_calls).item() == 1
    assert value(number_of_calls).item() == 2
    assert [in_new_process(value, number_of_calls).item() for _ in range(2)] == [1, 1]


def test_each_call_has_a_process_of_its_own_below_one_that_stays() -> None:
    first, second = (in_new_process(value, process_and_parent)[0].tolist() for _ in range(2))
    assert first[0] != second[0]
    assert first[1] == second[1] == the_server().pid


def test_seed_hashes_and_threads() -> None:
    assert in_new_process(value, seed).item() == 0
    assert in_new_process(value, hash_of_a_word).item() != hash_of_a_word()
    assert in_new_process(value, threads)[0].tolist() == [1, 1]


def test_environment_and_folder_are_those_of_the_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for word in ("a", "abc"):
        monkeypatch.setenv("VARIABLE", word)
        Path(word).touch()
        assert in_new_process(value, length_of_the_variable).item() == len(word)
        assert in_new_process(value, files_around).item() == len(list(tmp_path.iterdir()))


def test_a_plugin_that_prints_and_reads_disturbs_nothing() -> None:
    assert in_new_process(value, talk_and_read).item() == 0
    assert in_new_process(value, one).item() == 1


def imported(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> Any:
    """A module that is written and imported under the same name as the last one."""
    folder.mkdir(exist_ok=True)
    (folder / "module_of_a_test.py").write_text(source)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "module_of_a_test", raising=False)
    return importlib.import_module("module_of_a_test")


def test_a_module_is_read_at_each_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was edited, and another of the same name in another folder."""
    made = []
    for folder, source in (("a", "def f(): return 5"), ("a", "def f(): return 5 + 1"), ("b", "def f(): return 7")):
        module = imported(tmp_path / folder, monkeypatch, source)
        made.append((module.f(), in_new_process(value, module.f).item()))
    assert made == [(5, 5), (6, 6), (7, 7)]


@pytest.mark.parametrize(
    ("plugin", "reason"),
    [
        (fail, r"ended with 1: ValueError: not today$"),
        (leave, r"ended with 1: SystemExit: 3$"),
        (die, r"ended with -9: no output$"),
    ],
)
def test_the_reason_of_a_failure_is_named_and_the_next_call_succeeds(plugin: Callable[[], float], reason: str) -> None:
    in_new_process(value, one)
    before = the_server().pid
    with pytest.raises(AssertionError, match=reason):
        in_new_process(value, plugin)
    assert in_new_process(value, one).item() == 1 and the_server().pid == before


def test_a_server_that_was_killed_is_replaced() -> None:
    in_new_process(value, one)
    server = the_server()
    server.kill()
    server.wait(120)
    assert in_new_process(value, one).item() == 1 and the_server().pid != server.pid


@pytest.fixture
def no_fork(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(new_process, "_server", None)
    monkeypatch.setattr(new_process, "_FORKS", False)
    end = "new_process._serve()"
    assert new_process._SERVER.endswith(end)
    monkeypatch.setattr(new_process, "_SERVER", new_process._SERVER.replace(end, f"new_process._FORKS = False; {end}"))
    yield
    assert new_process._server is not None
    new_process._server.end()


@pytest.mark.slow
def test_where_no_process_can_be_forked_each_is_started(no_fork: None) -> None:
    assert value(number_of_calls).item() >= 1 and in_new_process(value, number_of_calls).item() == 1
    first = the_server().pid
    with pytest.raises(AssertionError, match=r"ended with 1: ValueError: not today$"):
        in_new_process(value, fail)
    assert the_server().pid != first


def test_a_process_that_the_server_does_not_belong_to_starts_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    in_new_process(value, one)
    server = new_process._server
    assert server is not None and server.is_usable()
    monkeypatch.setattr(server, "_owner", os.getppid())
    assert not server.is_usable()
