"""Each fault that ``doctor`` looks for is made, and found; on a sound installation it finds none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path

import pytest
from cli.run_command import command

from autoad_nni.doctor import machine, packages, plugins, server
from autoad_nni.doctor.findings import Finding, Level
from autoad_nni.registry import Registry


def worst(check: Callable[[], Iterator[Finding]]) -> tuple[Level, str]:
    """The level of the worst finding and its text."""
    order = [Level.OK, Level.NOTE, Level.WARNING, Level.FAILURE]
    found = max(check(), key=lambda finding: order.index(finding.level))
    return found.level, f"{found.what} -> {found.advice}"


def test_a_sound_installation_has_no_failure() -> None:
    result = command("doctor")
    assert result.code == 0, result.out
    assert "no failures" in result.out and "plugins can be imported" in result.out
    assert "contrast, efficientnet_lite0" in result.out


@pytest.mark.slow
def test_a_failure_ends_with_1(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOAD_NNI_CACHE_MB", "much")
    result = command("doctor")
    assert result.code == 1
    assert "FAIL     AUTOAD_NNI_CACHE_MB is 'much'." in result.out and "1 failure, " in result.out


@pytest.mark.parametrize(
    ("version", "what"), [("82.0", "setuptools is 82.0, autoad-nni needs <81,>=65"), (None, "is not installed")]
)
def test_a_package_of_a_wrong_version(monkeypatch: pytest.MonkeyPatch, version: str | None, what: str) -> None:
    true = metadata.version

    def changed(name: str) -> str:
        if name == "setuptools":
            if version is None:
                raise metadata.PackageNotFoundError(name)
            return version
        return true(name)

    monkeypatch.setattr(metadata, "version", changed)
    level, text = worst(packages.required_packages)
    assert level is Level.FAILURE and what in text and "pip install 'setuptools<81,>=65'" in text


@pytest.mark.slow
def test_packages_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "torchvision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    (tmp_path / "pkg_resources.py").write_text("raise ModuleNotFoundError('No module named pkg_resources')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failures = [f"{each.what} -> {each.advice}" for each in packages.imports() if each.level is Level.FAILURE]
    assert any("operator torchvision::nms" in each and "--upgrade torch torchvision" in each for each in failures)
    assert any("nnictl cannot be imported" in each and "'setuptools<81'" in each for each in failures)
    assert not any(each.startswith("torch cannot") for each in failures)


def test_another_installation_first_on_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    other = tmp_path / "autoad-nni"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    level, text = worst(server.commands)
    assert level is Level.WARNING and f"on PATH is {other}" in text and "activate" in text


def test_a_cache_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AUTOAD_NNI_CACHE_MB", raising=False)
    monkeypatch.setenv("AUTOAD_NNI_CACHE", "/proc/cache")
    level, text = worst(machine.cache)
    assert level is Level.WARNING and "the cache" in text and "/proc" in text


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/proc")
    level, text = worst(machine.disk)
    assert level is Level.FAILURE and "this folder, /proc" in text


def test_a_broken_plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = metadata.EntryPoint("torn", "no_such_module:Torn", "autoad_nni.hypotheses")
    monkeypatch.setattr(plugins, "REGISTRIES", (Registry("none", noun="hypothesis", entry_points=lambda: [broken]),))
    level, text = worst(plugins.installed_plugins)
    assert level is Level.FAILURE and "no_such_module" in text and "hypothesis torn" in text


def test_extractors_without_weights_are_named() -> None:
    noted = {finding.what.split()[2]: finding.what for finding in plugins.extractors() if finding.level is Level.NOTE}
    assert {"resnet18", "wide_resnet50_2"} <= noted.keys()
    assert "--weights FILE" in noted["resnet18"] or "--weights=FILE" in noted["resnet18"]


LISTENING = """
import socket, subprocess, sys
from autoad_nni.doctor import server
code = "import socket, sys, time; s = socket.socket(); s.bind((sys.argv[4], 0)); s.listen(); print(1, flush=True); "
words = [sys.executable, "-c", code + "time.sleep(60)", "nni_node/main.js", "--experiment-id", "abc123", sys.argv[1]]
process = subprocess.Popen(words, stdout=subprocess.PIPE)
try:
    process.stdout.readline()
    [found] = [each for each in server.open_servers() if f"process {process.pid}," in each.what]
    print(found.level.value, found.what, "->", found.advice)
finally:
    process.kill()
"""


@pytest.mark.parametrize(
    ("address", "level", "said"),
    [("127.0.0.1", "ok", "this machine only"), ("0.0.0.0", "warning", "autoad-nni launch --resume abc123")],
)
def test_a_server_that_others_reach_is_named(address: str, level: str, said: str) -> None:
    """In a network of its own, so that nobody reaches it while the test runs."""
    alone = ["unshare", "-n"] if address == "0.0.0.0" else []
    if alone and (shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True).returncode):
        pytest.skip("unshare -n needs root")
    ended = subprocess.run([*alone, sys.executable, "-c", LISTENING, address], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith(level) and "experiment abc123" in ended.stdout and said in ended.stdout
