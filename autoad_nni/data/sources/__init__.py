"""The built-in sets of images, each registered by an entry point like a third party's."""

from __future__ import annotations
