"""Compares search strategies on the recorded results of models that were trained.

A search of 200 trials takes seconds instead of an hour, so that strategies can be compared over 50 seeds. The tables
are made by `record`.
"""

from __future__ import annotations

import os

# Before NNI is imported: it would import pytorch_lightning, which takes seconds.
os.environ.setdefault("NNI_FRAMEWORK", "none")
