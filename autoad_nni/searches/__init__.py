"""A search: its space, its journal, its strategy. Knows no engine.

Of the packages here only this one and `autoad_nni.engines` import NNI.
"""

from __future__ import annotations

import autoad_nni.nni_framework  # noqa: F401
