"""AutoAD on NNI: searches the best anomaly-detection model for an image data set.

Importing this package imports neither torch nor nni; the submodules do, where they need them.
"""

from __future__ import annotations

from autoad_nni.errors import AutoADError

__all__ = ["AutoADError", "__version__"]

__version__ = "0.1.0"
