from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path

import pytest

from autoad_nni.errors import AutoADError
from autoad_nni.registry import DATASETS, HYPOTHESES, LOSSES, SEARCH_SPACES, STRATEGIES, Origin, Registry


def distribution(folder: Path, name: str, version: str, entries: dict[str, str]) -> Distribution:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "\n".join(f"{key} = {value}" for key, value in entries.items())
    (info / "entry_points.txt").write_text(f"[things]\n{lines}\n")
    return PathDistribution(info)


def registry(*distributions: Distribution) -> Registry:
    def entry_points() -> Iterable[EntryPoint]:
        return [entry for dist in distributions for entry in dist.entry_points]

    return Registry("things", noun="thing", entry_points=entry_points)


def test_names_are_sorted_and_loading_gives_the_object(tmp_path: Path) -> None:
    things = registry(distribution(tmp_path, "one", "1.2", {"square_root": "math:sqrt", "factorial": "math:factorial"}))
    assert things.names() == ("factorial", "square_root")
    assert things.load("square_root")(9) == 3
    assert things.problem("square_root") is None


def test_origin_tells_distribution_and_version_without_import(tmp_path: Path) -> None:
    things = registry(distribution(tmp_path, "Acme_Plugins", "4.5.6", {"lazy": "no_such_module_anywhere:Thing"}))
    assert things.origin("lazy") == Origin("acme-plugins", "4.5.6", "no_such_module_anywhere:Thing")


def test_two_distributions_with_one_name_are_an_error_for_that_name_only(tmp_path: Path) -> None:
    things = registry(
        distribution(tmp_path, "first-plugin", "1", {"pi": "math:pi", "e": "math:e"}),
        distribution(tmp_path, "second-plugin", "1", {"pi": "cmath:pi"}),
    )
    assert things.names() == ("e", "pi")
    assert things.load("e") == pytest.approx(2.718281828)
    for ask in (things.load, things.origin):
        with pytest.raises(AutoADError, match=r"'pi' is registered by first-plugin and by second-plugin\. .*Uninstall"):
            ask("pi")
    assert "first-plugin and by second-plugin" in str(things.problem("pi"))


def test_one_distribution_seen_twice_is_no_clash_and_the_first_counts(tmp_path: Path) -> None:
    things = registry(
        distribution(tmp_path / "editable", "my-plugin", "2", {"pi": "math:pi"}),
        distribution(tmp_path / "site", "My.Plugin", "1", {"pi": "math:e"}),
    )
    assert things.load("pi") == pytest.approx(3.14159265)
    assert things.origin("pi").version == "2"


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("no_such_module_anywhere:Thing", "ModuleNotFoundError: No module named 'no_such_module_anywhere'"),
        ("math:no_such_attribute", "AttributeError"),
        ("broken_plugin_module:Thing", "RuntimeError: two lines"),
    ],
)
def test_a_broken_plugin_is_listed_with_its_reason_and_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, reason: str
) -> None:
    (tmp_path / "broken_plugin_module.py").write_text("raise RuntimeError('two\\nlines')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    things = registry(distribution(tmp_path, "acme", "1", {"bad": target, "good": "math:pi"}))
    assert things.names() == ("bad", "good")
    assert things.load("good") == pytest.approx(3.14159265)
    with pytest.raises(AutoADError) as raised:
        things.load("bad")
    message = str(raised.value)
    assert message.startswith(f"The thing 'bad' of acme is broken: {target} gave {reason}")
    assert "\n" not in message
    assert things.problem("bad") == message


@pytest.mark.parametrize("typed", ["fashion_mnits", "Fashion-MNIST", "fashionmnist"])
def test_an_unknown_name_gets_the_nearest_and_what_is_installed(tmp_path: Path, typed: str) -> None:
    things = registry(distribution(tmp_path, "acme", "1", {"fashion_mnist": "math:pi", "photos": "math:e"}))
    with pytest.raises(AutoADError) as raised:
        things.load(typed)
    assert str(raised.value) == (
        f"Unknown thing '{typed}'. Installed: fashion_mnist, photos. Did you mean 'fashion_mnist'?"
    )


def test_an_unknown_name_near_to_nothing_suggests_none(tmp_path: Path) -> None:
    things = registry(distribution(tmp_path, "acme", "1", {"photos": "math:e"}))
    with pytest.raises(AutoADError, match=r"^Unknown thing 'xyz'\. Installed: photos\. Use one of these"):
        things.origin("xyz")


def test_an_empty_group_says_how_to_install() -> None:
    with pytest.raises(AutoADError, match=r"nothing is registered in the entry-point group things.*Install autoad-nni"):
        registry().load("any")


def test_an_entry_point_without_distribution_still_loads() -> None:
    things = Registry("things", entry_points=lambda: [EntryPoint("pi", "math:pi", "things")])
    assert things.load("pi") == pytest.approx(3.14159265)
    assert things.origin("pi") == Origin("the module math", "unknown", "math:pi")


def test_the_built_ins_are_registered_by_the_installed_distribution() -> None:
    assert {"reconstruction"} <= set(HYPOTHESES.names())
    assert {"l1", "l2", "l21"} <= set(LOSSES.names())
    assert {"autoad", "random", "regularized_evolution", "tpe", "grid_search"} <= set(STRATEGIES.names())
    assert {"autoencoder"} <= set(SEARCH_SPACES.names())
    assert {"fashion_mnist", "digits", "photos", "folder"} <= set(DATASETS.names())
    assert HYPOTHESES.origin("reconstruction").distribution == "autoad-nni"


def test_listing_imports_neither_torch_nor_nni_nor_a_plugin() -> None:
    code = (
        "import sys; from autoad_nni.registry import LOSSES, STRATEGIES; LOSSES.names(); STRATEGIES.origin('autoad');"
        "print([m for m in ('torch', 'nni', 'autoad_nni.losses', 'autoad_nni_strategies') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plugin_that_exits_when_it_is_imported_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "exits_at_once.py").write_text("import sys\nsys.exit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    things = Registry("things", entry_points=lambda: [EntryPoint("pi", "exits_at_once:Pi", "things")])
    with pytest.raises(AutoADError, match="is broken: exits_at_once:Pi gave SystemExit: 0"):
        things.load("pi")


@pytest.mark.parametrize(
    ("metadata", "entry_points"),
    [
        (None, b"[autoad_nni.losses]\ndamaged = x:Y\n"),
        (b"Metadata-Version: 2.1\nVersion: 1.0\n", b"[autoad_nni.losses]\ndamaged = x:Y\n"),
        (b"Metadata-Version: 2.1\nName: damaged\nVersion: 1.0\n", b"[autoad_nni.losses]\nno equals sign\n"),
        (b"Metadata-Version: 2.1\nName: damaged\nVersion: 1.0\n", b"\xff\xfe\x00"),
    ],
)
def test_a_damaged_distribution_harms_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metadata: bytes | None, entry_points: bytes
) -> None:
    info = tmp_path / "damaged-1.0.dist-info"
    info.mkdir()
    if metadata is not None:
        (info / "METADATA").write_bytes(metadata)
    (info / "entry_points.txt").write_bytes(entry_points)
    monkeypatch.syspath_prepend(tmp_path)
    losses = Registry("autoad_nni.losses", noun="distance")
    assert {"l1", "l2", "l21", "ssim"} <= set(losses.names())
    assert losses.load("l1").__name__ == "L1Distance"
