"""A search: its space, its journal, its strategy. Knows no engine.

Of the packages here only this one and `autoad_nni.engines` import NNI.
"""

from __future__ import annotations

import sys

if "nni.nas" not in sys.modules:
    # NNI would import pytorch_lightning with its model spaces, which takes seconds and is not required here. Whoever
    # has imported nni.nas before keeps the framework that it was imported with.
    from nni.common.framework import set_default_framework

    set_default_framework("none")
