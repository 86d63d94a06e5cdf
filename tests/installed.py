"""A distribution of plugins, installed by hand into a folder, and seen by this process for a while."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from autoad_nni.registry import REGISTRIES


def install(site: Path, name: str, version: str, entry_points: str, **modules: str) -> Path:
    """Write the metadata and the modules (name to source) of a distribution into the folder, and return it."""
    info = site / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(entry_points)
    for module, source in modules.items():
        (site / f"{module}.py").write_text(source)
    return site


@contextmanager
def seen(site: Path) -> Iterator[None]:
    """Put the folder on the path; afterwards it is forgotten, with what was imported from it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        _read_again()
        yield
    here = {path.stem for path in site.iterdir()}
    for name in [name for name in sys.modules if name.partition(".")[0] in here]:
        del sys.modules[name]
    _read_again()


def _read_again() -> None:
    for registry in REGISTRIES:
        registry.__dict__.pop("_table", None)
