from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from installed import install, seen
from run_command import command

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
    return install(folder, "plugins-of-a-test", "3.4", ENTRY_POINTS, plugins_of_a_test=MODULE)


@pytest.fixture
def installed(site: Path) -> Iterator[None]:
    with seen(site):
        yield


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


def test_show_takes_the_first_line_of_the_plugins_own_words(installed: None) -> None:
    assert "  description:  Mean square.\n" in command("plugins", "show", "good").out
    assert "  description:  none; it has no docstring\n" in command("plugins", "show", "signed").out


def test_show_names_the_problem_of_one_that_is_broken(installed: None) -> None:
    ended = command("plugins", "show", "absent")
    assert (ended.code, ended.err) == (0, "")
    assert "  problem:      The distance 'absent' of plugins-of-a-test is broken" in ended.out
    ended = command("plugins", "show", "l1")
    assert "  problem:      The distance 'l1' is registered by autoad-nni and by plugins-of-a-test." in ended.out


def test_show_shows_a_name_of_two_kinds_twice(installed: None) -> None:
    heads = [line for line in command("plugins", "show", "digits").out.splitlines() if line[0] != " "]
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


@pytest.mark.slow
def test_check_prints_a_line_per_check_and_ends_with_0(installed: None) -> None:
    ended = command("plugins", "check", "good")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[0] == "distance good, plugins-of-a-test 3.4"
    assert lines[-1] == "  12 checks, all passed."
    assert len(lines) == 1 + 12 + 1
    assert all(line.startswith("  ok    ") for line in lines[1:-1])


def test_check_names_what_fails_and_ends_with_1(installed: None) -> None:
    ended = command("plugins", "check", "signed")
    assert (ended.code, ended.err) == (1, "")
    failed = [line for line in ended.out.splitlines() if "FAIL" in line]
    assert failed[0].startswith("  FAIL  it is never negative. Expected: Neither map nor score is ever negative")
    assert ended.out.splitlines()[-1] == f"  12 checks, {len(failed)} failed."


def test_check_refuses_one_that_is_broken(installed: None) -> None:
    ended = command("plugins", "check", "absent")
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith("autoad-nni: The distance 'absent' of plugins-of-a-test is broken")
    assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [("autoencoder", ["search space", "architecture"]), ("photos", ["data set"])],
)
def test_check_loads_a_plugin_of_a_kind_that_has_no_contract(name: str, kinds: list[str]) -> None:
    ended = command("plugins", "check", name)
    assert (ended.code, ended.err) == (0, "")
    article = {"architecture": "an"}
    assert ended.out.splitlines() == [
        line
        for kind in kinds
        for line in (
            f"{kind} {name}, autoad-nni {__version__}",
            "  ok    it can be loaded",
            f"  There are no contract checks for {article.get(kind, 'a')} {kind}.",
        )
    ]
