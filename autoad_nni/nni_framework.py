"""Import this before NNI: then NNI does not import pytorch_lightning with its model spaces.

That would take seconds, and it is not required here. Whoever has imported ``nni.nas`` before keeps the framework that
it was imported with. The level of NNI's logger, which its import sets, stays as it was.
"""

from __future__ import annotations

import logging
import sys

__all__: list[str] = []

if "nni.nas" not in sys.modules:
    _level = logging.getLogger("nni").level
    from nni.common.framework import set_default_framework

    set_default_framework("none")
    logging.getLogger("nni").setLevel(_level)
