"""Tasks at instance level: a normal set of images against one or several abnormal ones.

``load_task(TaskOptions(data="digits", abnormal=("photos",)))`` gives tensors that are ready for training. Sets of
images are plug-ins (entry-point group ``autoad_nni.datasets``); :class:`ImageSource` is the role they fill.
"""

from __future__ import annotations

from autoad_nni.data.image_shape import ImageShape, to_image_shape
from autoad_nni.data.options import TaskOptions
from autoad_nni.data.source import Catalogue, ImageSource, SourceOptions
from autoad_nni.data.task import LabelledImages, Task, load_task

__all__ = [
    "Catalogue",
    "ImageShape",
    "ImageSource",
    "LabelledImages",
    "SourceOptions",
    "Task",
    "TaskOptions",
    "load_task",
    "to_image_shape",
]
