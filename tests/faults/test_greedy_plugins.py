"""Plugins that take all memory, all files or all the stack: their trial has crashed, the next one is as ever."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

import pytest
from cli.small_experiment import history, space, tuner, write
from faults import forked
from installed import install

pytestmark = [pytest.mark.faults, pytest.mark.timeout(600)]

MODULE = '''
import threading
import time

import torch

from autoad_nni.models.distances.l2 import L2Distance

KEPT = []


class Tensors(L2Distance):
    """Takes memory from torch until there is none."""

    def map(self, reconstruction, images):
        taken = []
        while True:
            taken.append(torch.ones(1 << 24))


class Bytes(L2Distance):
    """Takes memory from Python until there is none."""

    def map(self, reconstruction, images):
        taken = []
        while True:
            taken.append(bytearray(1 << 26))


class Files(L2Distance):
    """Opens files until the system refuses, and leaves them to be closed."""

    def map(self, reconstruction, images):
        opened = []
        while True:
            opened.append(open("/dev/null"))


class Recurses(L2Distance):
    """Calls itself."""

    def map(self, reconstruction, images):
        return self.map(reconstruction, images)


class Prints(L2Distance):
    """Fails with a message of a megabyte, in many lines."""

    def map(self, reconstruction, images):
        raise ValueError("long\\n" * 200_000)
'''
NAMES = ("tensors", "bytes", "files", "recurses", "prints")
ENTRY_POINTS = "[autoad_nni.losses]\n" + "".join(f"{name} = greedy:{name.title()}\n" for name in NAMES)
MORE_BYTES = 1 << 30


def limited() -> None:
    """Let the process take a gigabyte more than it has, and 200 files."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    for limit, value in (
        (resource.RLIMIT_AS, pages * resource.getpagesize() + MORE_BYTES),
        (resource.RLIMIT_NOFILE, 200),
    ):
        resource.setrlimit(limit, (value, resource.getrlimit(limit)[1]))


@pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is limited on Linux only")
def test_a_trial_that_takes_everything_has_crashed_and_the_next_one_is_as_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = install(tmp_path / "site", "greedy", "1.0", ENTRY_POINTS, greedy=MODULE)
    monkeypatch.syspath_prepend(str(site))
    values = {label: [entry["_value"][-1]] for label, entry in space().items()}
    ordered = tuner(strategy="grid_search", strategy_args={"shuffle": False})
    records = {}
    for name, distances in (("alone", ["l2"]), ("beside", [*NAMES, "l2"])):
        file = write(
            tmp_path / f"{name}.yml",
            searchSpace=space(**{**values, "distance": distances}),
            tuner=ordered,
            maxTrialNumber=len(distances),
        )
        ended = forked.run("search", file, "--output", tmp_path / name, before=limited)
        assert ended.code == 0 and ended.err == "", ended.err[:2000]
        records[name] = history(tmp_path / name)
    crashed = {line["sample"]["distance"]: line["detail"] for line in records["beside"][:-1]}
    assert all(line["verdict"] == "crashed" for line in records["beside"][:-1]) and tuple(crashed) == NAMES
    parts = ("memory", "MemoryError", "Too many open files", "RecursionError", "ValueError: long long")
    for part, detail in zip(parts, crashed.values(), strict=True):
        assert part in detail and "\n" not in detail and len(detail) < 2010, detail[:200]
    assert records["beside"][-1] == {**records["alone"][0], "number": len(NAMES)}
