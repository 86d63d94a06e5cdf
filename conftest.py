"""What every test process needs before it imports anything."""

from __future__ import annotations

import os

# Without it `import nni.nas` pulls in pytorch_lightning: seconds in every test process.
os.environ.setdefault("NNI_FRAMEWORK", "none")
# Small tensors on two busy cores are several times faster with one thread; set before torch is imported.
os.environ.setdefault("OMP_NUM_THREADS", "1")
