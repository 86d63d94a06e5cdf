from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
import typer
import yaml
from run_command import command

from autoad_nni import __version__, registry
from autoad_nni.cli import _make_app
from autoad_nni.searches.spaces import to_search_space
from autoad_nni_search_spaces import FeatureSpace

HEAVY = {"torch", "nni", "numpy", "sklearn", "skimage", "torchvision", "tensorboard", "pytorch_lightning"}


def imported_by(code: str) -> set[str]:
    """Which of the heavy modules a new process has imported after ``code``."""
    environment = {name: value for name, value in os.environ.items() if name != "NNI_FRAMEWORK"}
    script = f"import sys\n{code}\nprint(*sorted({HEAVY} & set(sys.modules)))"
    words = [sys.executable, "-c", script]
    out = subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout
    return set(out.splitlines()[-1].split())


def leaving(*words: str) -> str:
    """Code that runs the command and goes on where it would have ended the process."""
    return f"""
import autoad_nni.cli
try:
    autoad_nni.cli.main({list(words)})
except SystemExit as left:
    assert not left.code
"""


def test_importing_the_package_imports_neither_torch_nor_nni() -> None:
    assert imported_by("import autoad_nni") == set()


def test_help_and_lists_come_without_torch() -> None:
    code = leaving("--help") + leaving("search", "--help") + leaving("plugins", "list")
    assert imported_by(code) & {"torch", "nni", "sklearn", "skimage", "torchvision"} == set()


@pytest.mark.slow
def test_a_trial_imports_no_lightning() -> None:
    """Seconds in every trial; nor does what loads a model, without the environment variable."""
    code = "from autoad_nni import load\n" + leaving("space") + "import autoad_nni.engines.in_process"
    assert imported_by(code) & {"pytorch_lightning", "sklearn", "torchvision", "tensorboard"} == set()


def test_the_version() -> None:
    assert command("--version") == (0, f"autoad-nni {__version__}\n", "")


def test_python_m_is_the_same_command() -> None:
    out = subprocess.run([sys.executable, "-m", "autoad_nni", "--version"], capture_output=True, text=True)
    assert (out.returncode, out.stdout, out.stderr) == (0, f"autoad-nni {__version__}\n", "")


def test_help_names_every_command() -> None:
    ended = command("--help")
    assert ended.code == 0
    for name in ("search", "trial", "launch", "space", "plugins"):
        assert f" {name} " in ended.out


def words_of_all_commands(group: Any, *words: str) -> list[tuple[str, ...]]:
    below = getattr(group, "commands", None)
    return [words] if below is None else [w for name in below for w in words_of_all_commands(below[name], *words, name)]


COMMANDS = words_of_all_commands(typer.main.get_command(_make_app(["trial"])))


def command_named(words: tuple[str, ...]) -> Any:
    found: Any = typer.main.get_command(_make_app(["trial"]))
    for word in words:
        found = found.commands[word]
    return found


@pytest.mark.parametrize("words", COMMANDS)
def test_every_option_is_described(words: tuple[str, ...]) -> None:
    assert [option.name for option in command_named(words).params if not option.help] == []


@pytest.mark.parametrize("words", COMMANDS)
def test_help_keeps_what_stands_in_brackets(words: tuple[str, ...]) -> None:
    """Rich takes [refine] for a style, and drops it."""
    described = command_named(words)
    raw = " ".join([described.help, *(getattr(parameter, "help", None) or "" for parameter in described.params)])
    shown = command(*words, "--help").out
    for word in raw.replace("\\[", "[").split():
        assert "[" not in word or word in shown, word


def test_help_says_what_to_install_for_refine() -> None:
    assert ("refine",) in COMMANDS
    assert "pip install 'autoad-nni[refine]'" in " ".join(command("refine", "--help").out.split())


def test_plugins_are_listed_with_their_distribution() -> None:
    lines = command("plugins", "list").out.splitlines()
    groups = (registry.HYPOTHESES, registry.LOSSES, registry.STRATEGIES, registry.SEARCH_SPACES, registry.DATASETS)
    for group in groups:
        assert f"{group.group}:" in lines
        for name in group.names():
            assert f"  {name:<22} autoad-nni {__version__}" in lines


@pytest.mark.parametrize("layers", [1, 3])
def test_the_space_is_printed_as_json_that_is_yaml(layers: int) -> None:
    ended = command("space", "--layers", layers)
    search_space = json.loads(ended.out)
    assert yaml.safe_load(ended.out) == search_space
    assert len(search_space) == 2 + 6 * layers
    assert all(entry["_type"] == "choice" for entry in search_space.values())
    assert search_space["layer1_channels"]["_value"] == [3, 8, 16, 32, 64, 128, 256]
    assert search_space["layer1_normalization"]["_value"] == ["none", "batch", "instance"]
    assert search_space["distance"]["_value"] == [
        "l1",
        "l2",
        "l21",
        "ssim",
    ]  # l21_ssim is installed, and outside the default
    assert len(ended.out.splitlines()) == 2 + len(search_space), "a label a line"


def test_a_space_without_layers_is_printed_too() -> None:
    printed = command("space", "features")
    assert (printed.code, printed.err) == (0, "")
    assert json.loads(printed.out) == to_search_space(FeatureSpace())
    sample = json.loads(command("space", "features", "--random", "--seed", 3).out)
    assert set(sample) == set(json.loads(printed.out))
    assert command("space", "features", "--layers", 5).out == printed.out


def test_a_random_sample_lies_in_the_space_and_depends_on_the_seed() -> None:
    search_space = json.loads(command("space").out)
    samples = [json.loads(command("space", "--random", "--seed", seed).out) for seed in (0, 0, 1)]
    assert samples[0] == samples[1] != samples[2]
    for sample in samples:
        assert set(sample) == set(search_space)
        assert all(value in search_space[label]["_value"] for label, value in sample.items())
