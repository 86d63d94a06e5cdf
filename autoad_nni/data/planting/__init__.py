"""Defects planted into good images: on textures (:mod:`autoad_nni.data.textures`), and for sets that have none."""

from __future__ import annotations
