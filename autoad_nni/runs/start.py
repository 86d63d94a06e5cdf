"""What a search began with: which images, which options of its trials, which plugins; kept in its folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from autoad_nni.data import ImageShape, Task
from autoad_nni.errors import AutoADError
from autoad_nni.storing import read_made, write_json
from autoad_nni.trial.plugins import PluginVersions, check_plugins
from autoad_nni.trial.request import TrialRequest

__all__ = ["STARTED", "RunStart"]

STARTED: Final = "started.json"


@dataclass(frozen=True, kw_only=True)
class RunStart:
    """What a search began with; rewards of trials that began with something else do not compare.

    Attributes:
        request: The options of its trials.
        images: Digest of the images, labels and masks.
        image_shape: Channels, height and width.
        plugins: Every plugin that the search may use, in which version.
        metadata: The name of its experiment file, its strategy and seed.
    """

    request: TrialRequest
    images: str
    image_shape: tuple[int, int, int]
    plugins: PluginVersions
    metadata: Mapping[str, Any]

    @classmethod
    def of(cls, request: TrialRequest, task: Task, plugins: PluginVersions, **metadata: Any) -> RunStart:
        """Make the start of a search from its loaded images."""
        shape = (task.channels, task.height, task.width)
        return cls(request=request, images=task.digest(), image_shape=shape, plugins=plugins, metadata=metadata)

    def write(self, folder: Path) -> None:
        """Write it into the folder of a search; what is there already stays.

        Raises:
            StorageError: If the disk refuses.
        """
        if not os.path.exists(folder / STARTED):
            content = {"request": self.request.options(), "images": self.images, "image_shape": list(self.image_shape)}
            write_json(folder / STARTED, {**content, "plugins": self.plugins, **self.metadata})

    @classmethod
    def read(cls, folder: Path) -> RunStart | None:
        """Read what `write` wrote; None for a folder without it, such as that of an experiment of plain nnictl.

        Raises:
            AutoADError: If the file was changed by hand.
        """
        try:
            return read_made(
                folder / STARTED,
                cls._from_json,
                "what the search began with, as JSON. Restore the file, or remove it.",
            )
        except FileNotFoundError:
            return None

    @classmethod
    def _from_json(cls, content: Any) -> RunStart:
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
        known = {"request", "images", "image_shape", "plugins"}
        channels, height, width = ImageShape.from_json(content["image_shape"])
        return cls(
            request=TrialRequest.from_options(**content["request"]),
            images=str(content["images"]),
            image_shape=(channels, height, width),
            plugins={plugin: str(version) for plugin, version in content["plugins"].items()},
            metadata={name: value for name, value in content.items() if name not in known},
        )

    def check_same(self, now: RunStart, folder: Path) -> None:
        """Raise unless a search goes on as it began: same plugins, options and images.

        Competitors may be others: no reward depends on them.

        Args:
            now: What the search is to go on with.
            folder: Of the search; for the message.

        Raises:
            AutoADError: For the first difference.
        """
        check_plugins(self.plugins)
        old, new = self.request.options(), now.request.options()
        for name in dict.fromkeys([*new, *old]):
            if name != "competitors" and old.get(name) != new.get(name):
                raise _differs(folder, f"[[{name}={_shown(old, name)}]]", f"[[{name}={_shown(new, name)}]]")
        if self.images != now.images:
            raise _differs(folder, f"images with the digest {self.images}", f"{now.images}: the images have changed")


def _shown(options: Mapping[str, Any], name: str) -> Any:
    value = options.get(name, "its default")
    return ",".join(value) if isinstance(value, list) else value


def _differs(folder: Path, old: str, new: str) -> AutoADError:
    return AutoADError(
        f"the search in {folder} began with {old}, now it is {new}. Expected the same: rewards would not compare. Put "
        "the old one back, or start anew with another output folder."
    )
