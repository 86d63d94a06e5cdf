"""A plugin of one test: the paper's search space, but with names for some of its samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from installed import install

NARROW: dict[str, Any] = {
    "hypothesis": "reconstruction",
    "distance": "l1",
    "layer1_channels": 3,
    "layer1_kernel": 1,
    "layer1_pooling": "max",
    "layer1_pooling_kernel": 1,
    "layer1_normalization": "none",
    "layer1_activation": "elu",
}
WIDE = {**NARROW, "distance": "l2", "layer1_channels": 8, "layer1_kernel": 3, "layer1_activation": "tanh"}
KNOWN: dict[str, dict[str, Any]] = {
    "wide": WIDE,
    "dropped": {**WIDE, "layer1_channels": 256},
    "narrow": NARROW,
    "wide_again": WIDE,
    "deeper": {**WIDE, **{label.replace("1", "2"): value for label, value in WIDE.items() if label[:5] == "layer"}},
}
"""Of these a space of one layer without 256 channels has two, ``wide`` and ``narrow``; ``wide_again`` is no third."""

_ENTRY_POINTS = """[autoad_nni.search_spaces]
named = named_space_of_a_test:NamedSpace
[autoad_nni.architectures]
named = autoad_nni.models.autoencoder:build_autoencoder
"""


def install_named_space(site: Path, known: Any = KNOWN) -> Path:
    """Install the search space ``named`` into the folder, and return it; `installed.seen` shows it to this process."""
    source = (
        "import json\n"
        "from autoad_nni_search_spaces import AutoencoderSpace\n\n\n"
        "class NamedSpace(AutoencoderSpace):\n"
        '    """The paper\'s, with known methods."""\n\n'
        f"    known = json.loads({json.dumps(known)!r})\n\n"
        "    def __init__(self, n_layers=3, **more):\n"
        "        super().__init__(n_layers=n_layers, **more)\n"
    )
    return install(site, "named-space", "1.0", _ENTRY_POINTS, named_space_of_a_test=source)
