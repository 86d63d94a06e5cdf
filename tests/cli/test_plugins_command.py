from __future__ import annotations

from pathlib import Path

import pytest
from run_command import command, run

from autoad_nni import __version__

MODULE = '''
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.distances.base import Distance

class Good(Distance):
    """Mean square.

    More words.
    """

    def map(self, reconstruction, images):
        print("a plugin that talks")
        return (reconstruction - images).square().mean(1, keepdim=True)

class Signed(Distance):
    def map(self, reconstruction, images):
        return (reconstruction - images).mean(1, keepdim=True)
'''
ENTRY_POINTS = """[autoad_nni.losses]
good = plugins_of_a_test:Good
signed = plugins_of_a_test:Signed
absent = plugins_of_a_test:Absent
l1 = plugins_of_a_test:Good
digits = plugins_of_a_test:Good
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an installed distribution; its 'l1' is taken, and 'digits' is a data set's name too."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "plugins_of_a_test.py").write_text(MODULE)
    # What lies around where the command runs must not matter.
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (folder / "conftest.py").write_text("raise RuntimeError('not yours')\n")
    info = folder / "plugins_of_a_test-3.4.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugins-of-a-test\nVersion: 3.4\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def test_show_tells_where_a_plugin_comes_from_and_what_it_is() -> None:
    assert command("plugins", "show", "l2") == (
        0,
        "distance l2\n"
        "  group:        autoad_nni.losses\n"
        f"  distribution: autoad-nni {__version__}\n"
        "  target:       autoad_nni.models.distances.l2:L2Distance\n"
        "  description:  Mean squared difference, :math:`s = \\frac{1}{chw} \\sum (\\hat{x} - x)^2`.\n",
        "",
    )


def test_show_takes_the_first_line_of_the_plugins_own_words(site: Path) -> None:
    assert "  description:  Mean square.\n" in run("plugins", "show", "good", python_path=site).out
    assert "  description:  none; it has no docstring\n" in run("plugins", "show", "signed", python_path=site).out


def test_show_names_the_problem_of_one_that_is_broken(site: Path) -> None:
    ended = run("plugins", "show", "absent", python_path=site)
    assert (ended.code, ended.err) == (0, "")
    assert "  problem:      The distance 'absent' of plugins-of-a-test is broken" in ended.out
    ended = run("plugins", "show", "l1", python_path=site)
    assert "  problem:      The distance 'l1' is registered by autoad-nni and by plugins-of-a-test." in ended.out


def test_show_shows_a_name_of_two_kinds_twice(site: Path) -> None:
    heads = [line for line in run("plugins", "show", "digits", python_path=site).out.splitlines() if line[0] != " "]
    assert heads == ["distance digits", "data set digits"]


@pytest.mark.parametrize("verb", ["show", "check"])
def test_an_unknown_name_gets_the_nearest_of_all_kinds(verb: str) -> None:
    ended = command("plugins", verb, "Fashion-MNITS")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err == (
        "autoad-nni: Unknown plugin 'Fashion-MNITS'. Expected the name of an installed one. Did you mean "
        "'fashion_mnist' (data set)? 'autoad-nni plugins list' shows all.\n"
    )
    ended = command("plugins", verb, "qqq")
    assert "Did you mean" not in ended.err
    assert len(ended.err.splitlines()) == 1


def test_check_prints_a_line_per_check_and_ends_with_0(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(site)
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    ended = run("plugins", "check", "good", python_path=site)
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "distance good, plugins-of-a-test 3.4"
    assert lines[-1] == "  11 checks, all passed."
    assert len(lines) == 14
    assert all(line.startswith("  ok    ") for line in lines[1:-1])


def test_check_names_what_fails_and_ends_with_1(site: Path) -> None:
    ended = run("plugins", "check", "signed", python_path=site)
    assert (ended.code, ended.err) == (1, "")
    failed = [line for line in ended.out.splitlines() if "FAIL" in line]
    assert failed[0].startswith("  FAIL  it is never negative. Expected: Neither map nor score is ever negative")
    assert ended.out.splitlines()[-1] == f"  11 checks, {len(failed)} failed."


def test_check_refuses_one_that_is_broken(site: Path) -> None:
    ended = run("plugins", "check", "absent", python_path=site)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("autoad-nni: The distance 'absent' of plugins-of-a-test is broken")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "kind"), [("autoad", "strategy"), ("autoencoder", "search space"), ("photos", "data set")]
)
def test_check_loads_a_plugin_of_a_kind_that_has_no_contract(name: str, kind: str) -> None:
    ended = command("plugins", "check", name)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines() == [
        f"{kind} {name}, autoad-nni {__version__}",
        "  ok    it can be loaded",
        f"  There are no contract tests for a {kind}.",
    ]
