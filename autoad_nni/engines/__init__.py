"""What runs the trials of a search: this process, or NNI's manager."""

from __future__ import annotations

import autoad_nni.nni_framework  # noqa: F401
