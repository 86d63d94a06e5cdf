"""Versions of Python and of the packages, and whether those that must work together do."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from typing import TYPE_CHECKING

from autoad_nni.doctor.findings import Finding, Level

if TYPE_CHECKING:
    from packaging.specifiers import SpecifierSet

__all__ = ["extras", "imports", "required_packages"]

_DISTRIBUTION = "autoad-nni"
# Imported in a process of their own: a compiled package of the wrong version can end it.
_IMPORTS = {
    "nni": "import nni",
    "nnictl": "import nni.tools.nnictl.nnictl",
    "torch": "import torch; torch.ones(2) + 1",
    "torchvision": "import torchvision; torchvision.ops.nms",
    "tensorboard": "import tensorboard.backend.event_processing.event_accumulator",
}
_ADVICE = {
    "nnictl": "nnictl imports pkg_resources, which setuptools 81 removed: pip install 'setuptools<81'",
    "torchvision": "torch and torchvision must be of one release: pip install --upgrade torch torchvision",
}


def required_packages() -> Iterator[Finding]:
    """Compare what is installed with what autoad-nni asks for."""
    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

    found = metadata.metadata(_DISTRIBUTION)
    wanted = SpecifierSet(found["Requires-Python"] or "")
    python = platform.python_version()
    if wanted.contains(python, prereleases=True):
        yield Finding(Level.OK, f"autoad-nni {found['Version']}, Python {python}")
    else:
        yield Finding(
            Level.FAILURE, f"Python {python}, autoad-nni needs {wanted}", "Make an environment with Python 3.11."
        )
    requirements = [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or ()]
    needed = [each for each in requirements if each.marker is None or each.marker.evaluate({"extra": ""})]
    wrong = [finding for each in needed if (finding := _compared(each.name, each.specifier)) is not None]
    if not wrong:
        yield Finding(Level.OK, f"all {len(needed)} required packages are installed in versions that were bounded")
    yield from wrong


def _compared(name: str, specifier: SpecifierSet) -> Finding | None:
    install = f"pip install '{name}{specifier}'"
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(Level.FAILURE, f"{name} is not installed, autoad-nni needs {specifier}", install)
    if specifier.contains(version, prereleases=True):
        return None
    return Finding(Level.FAILURE, f"{name} is {version}, autoad-nni needs {specifier}", install)


def imports() -> Iterator[Finding]:
    """Import what a search and NNI's server need; where that fails, each alone, to name what it is."""
    if _fault_of("; ".join(_IMPORTS.values())) is not None:
        for name, code in _IMPORTS.items():
            reason = _fault_of(code)
            if reason is not None:
                advice = _ADVICE.get(name, f"pip install --force-reinstall {name}")
                yield Finding(Level.FAILURE, f"{name} cannot be imported: {reason}", advice)
    names = ("torch", "torchvision", "nni", "numpy", "setuptools")
    yield Finding(Level.OK, ", ".join(f"{name} {_version(name)}" for name in names))


def _fault_of(code: str) -> str | None:
    """Why a new process cannot run the code; None if it can."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import os; os.environ['NNI_FRAMEWORK'] = 'none'; {code}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=300,
    )
    if ended.returncode == 0:
        return None
    said = ended.stderr.strip().splitlines()
    return said[-1] if said else f"exit code {ended.returncode}"


def extras() -> Iterator[Finding]:
    """Name the extras of which a package is missing."""
    from packaging.requirements import Requirement

    found = metadata.metadata(_DISTRIBUTION).get_all("Provides-Extra") or []
    requirements = [Requirement(line) for line in metadata.requires(_DISTRIBUTION) or ()]
    for extra in sorted(set(found) - {"dev"}):
        belonging = [each for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
        needed = [each for each in belonging if each.marker and not each.marker.evaluate({"extra": ""})]
        missing = [each.name for each in needed if _compared(each.name, each.specifier) is not None]
        if missing:
            what = f"the extra {extra} is not installed: {', '.join(missing)}"
            yield Finding(Level.NOTE, what, f"If you want it: pip install 'autoad-nni[{extra}]'")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
