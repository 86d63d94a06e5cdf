"""Tasks at instance level: a normal set of images against one or several abnormal ones.

``load_task(TaskOptions(data="digits", abnormal=("photos",)))`` gives tensors that are ready for training. Sets of
images are plugins (entry-point group ``autoad_nni.datasets``) that derive from :class:`ImageSource`.

Where each rule is: names of folders in ``layout``, what is in a folder in ``scan``, how many images a task needs and
which image goes where in ``plan`` and ``split``, file types in ``files``, how pixels are read in ``decode``, ``depth``
and ``masks``. ``check`` decodes everything and lists what is wrong.
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
