"""Modules whose buffers take their shape when they are fitted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["FittedModule"]


class FittedModule(nn.Module):
    """A module with buffers that are empty until it is fitted; a saved state gives them their shape, too."""

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any, **kwargs: Any) -> None:
        for name, buffer in self._buffers.items():
            saved = state_dict.get(prefix + name)
            if buffer is not None and isinstance(saved, Tensor) and saved.shape != buffer.shape:
                self._buffers[name] = torch.empty_like(saved, device=buffer.device)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._fitted()

    def _fitted(self) -> None:
        """Called when a saved state was loaded; does nothing unless a subclass overrides it."""
