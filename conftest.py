"""What every test process needs before it imports anything, and where to begin."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

import pytest
from hypothesis import HealthCheck, settings

# Without it `import nni.nas` pulls in pytorch_lightning: seconds in every test process.
os.environ.setdefault("NNI_FRAMEWORK", "none")
# Small tensors on two busy cores are several times faster with one thread; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nobody's own cache is read or filled by a test; processes that tests start inherit it.
os.environ["AUTOAD_NNI_CACHE"] = tempfile.mkdtemp(prefix="autoad-nni-cache-")
atexit.register(shutil.rmtree, os.environ["AUTOAD_NNI_CACHE"], ignore_errors=True)

# The same examples here as where CI is set; no database that two processes write, no limit that a busy machine exceeds.
settings.register_profile(
    "same everywhere", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same everywhere")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with nnictl, by far the longest file, so that no other process waits for it in the end."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/engines/nnictl/"))
