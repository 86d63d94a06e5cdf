"""The version, for modules that must not import the public face."""

from __future__ import annotations

__all__ = ["__version__"]

__version__ = "0.1.0"
