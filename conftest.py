"""What every test process needs before it imports anything, and how tests are spread over several."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import settings

# Without it `import nni.nas` pulls in pytorch_lightning: seconds in every test process.
os.environ.setdefault("NNI_FRAMEWORK", "none")
# Small tensors on two busy cores are several times faster with one thread; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nobody's own cache is read or filled by a test; processes that tests start inherit it.
os.environ["AUTOAD_NNI_CACHE"] = tempfile.mkdtemp(prefix="autoad-nni-cache-")
atexit.register(shutil.rmtree, os.environ["AUTOAD_NNI_CACHE"], ignore_errors=True)

# The same examples here as where CI is set; no database that two processes write, no limit that a busy machine exceeds.
settings.register_profile("same everywhere", derandomize=True, deadline=None)
settings.load_profile("same everywhere")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share a fixture of their module in one process, or each process would make its own."""
    for item in items:
        info = getattr(item, "_fixtureinfo", None)
        definitions = info.name2fixturedefs.values() if info else ()
        if any(found.scope == "module" for each in definitions for found in each):
            item.add_marker(pytest.mark.xdist_group(item.nodeid.partition("::")[0]))
