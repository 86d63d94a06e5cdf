"""The notebook runs from beginning to end in a fresh kernel, and what is stored in it is what it shows."""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode
from traitlets.config import Config

NOTEBOOK = Path(__file__).parents[2] / "examples/from_folder_to_decision.ipynb"


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(cell: NotebookNode) -> set[str]:
    """What a cell shows, without what it says: ``stdout``, MIME types of results and pictures."""
    kinds: set[str] = set()
    for output in cell.outputs:
        kinds |= {output.name} if output.output_type == "stream" else set(output.get("data", ["error"]))
    return kinds - {"stderr"}


@pytest.fixture
def stored() -> NotebookNode:
    return nbformat.read(NOTEBOOK, as_version=4)


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home with nothing in it, a command of this environment, and no way to the network."""
    with tempfile.TemporaryDirectory(prefix="nb-") as folder:  # a socket's path has 107 characters at most
        for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "TMPDIR"):
            monkeypatch.setenv(name, folder)
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
            monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
        monkeypatch.setenv("PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
        yield Path(folder)


@pytest.mark.notebook
@pytest.mark.timeout(1800)
def test_it_runs_in_a_fresh_kernel(stored: NotebookNode, home: Path) -> None:
    fresh = nbformat.from_dict(stored)
    for cell in code_cells(fresh):
        cell.outputs, cell.execution_count = [], None
    # Kernels talk over sockets in the file system, not over ports: nothing listens on the network.
    over_files = Config({"KernelManager": {"transport": "ipc", "ip": str(home / "kernel")}})
    resources = {"metadata": {"path": str(home)}}
    NotebookClient(fresh, timeout=900, kernel_name="python3", resources=resources, config=over_files).execute()
    assert [shown(cell) for cell in code_cells(fresh)] == [shown(cell) for cell in code_cells(stored)]


def test_what_is_stored_was_executed_in_order_without_errors(stored: NotebookNode) -> None:
    cells = code_cells(stored)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not any("error" in shown(cell) for cell in cells)
    assert any("image/png" in shown(cell) for cell in cells)


def test_what_is_stored_is_small_and_has_no_paths_of_a_machine(stored: NotebookNode) -> None:
    text = NOTEBOOK.read_text(encoding="utf-8")
    assert len(text) < 500_000
    pictures_left_out = re.sub(r'"image/png": "[^"]*"', "", text)
    assert not re.search(r"/(?:tmp|home|root|work|usr|opt|var)/", pictures_left_out)


def test_its_links_lead_to_pages_and_headings(stored: NotebookNode) -> None:
    links = [link for cell in stored.cells for link in re.findall(r"\]\(([^)\s]+)\)", cell.source)]
    assert len(links) > 5
    for link in links:
        file, _, anchor = link.partition("#")
        page = (NOTEBOOK.parent / file).read_text(encoding="utf-8")
        headings = re.findall(r"^#+ (.*)$", page, re.MULTILINE)
        anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
        assert not anchor or anchor in anchors, link
