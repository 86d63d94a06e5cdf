"""What every test process needs before it imports anything."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

# Without it `import nni.nas` pulls in pytorch_lightning: seconds in every test process.
os.environ.setdefault("NNI_FRAMEWORK", "none")
# Small tensors on two busy cores are several times faster with one thread; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Nobody's own cache is read or filled by a test; processes that tests start inherit it.
os.environ["AUTOAD_NNI_CACHE"] = tempfile.mkdtemp(prefix="autoad-nni-cache-")
atexit.register(shutil.rmtree, os.environ["AUTOAD_NNI_CACHE"], ignore_errors=True)
