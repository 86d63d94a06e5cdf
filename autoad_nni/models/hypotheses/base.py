"""The base class of hypotheses."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from autoad_nni.models.fitted import FittedModule
from autoad_nni.models.in_parts import in_parts

__all__ = ["Hypothesis", "score_in_parts"]

_AT_A_TIME = 1024


class Hypothesis(FittedModule):
    r"""A statement of where normal images lie in latent space, used in training and in the score.

    With the codes :math:`z = f(x)` of an autoencoder and a distance :math:`\mathrm{DIST}`, the detector minimises the
    mean of :math:`\mathrm{DIST}(\hat{x}, x)` plus :meth:`regularizer`, and scores an image by
    :math:`\mathrm{DIST}(\hat{x}, x)` plus :meth:`score`, each divided by its standard deviation on normal images
    (Eq. 2 of the paper, DEFINEREG; the division is ours, see :class:`autoad_nni.models.scoring.Scorer`).

    A subclass defines :meth:`regularizer` and :meth:`score`, nearly always :meth:`fit`, and :meth:`begin_epoch` if it
    changes in the course of training. State lives in buffers, so that it is saved with the model and moves with it; a
    buffer may be empty at first and take its shape in :meth:`fit`. A hypothesis must not depend on the scale of the
    codes or on their size d: an autoencoder's codes lie anywhere between 1e-3 and 1e3, with 1 to `max_code_size`
    numbers each.

    Shape:
        - codes: ``(batch, d)``, one for each image: the flattened output of the encoder, where longer than
          `max_code_size` averaged down to that size; or one for each location of each image
    """

    needs_codes: ClassVar[bool] = True
    """Whether the codes matter; if False, `fit` need not be called, and the score is the distance as it is."""

    max_code_size: ClassVar[int] = 256
    """The most numbers that one code can have."""

    def fit(self, codes: Tensor) -> None:
        """Estimate the statistics from codes of training images, ``(n, d)``.

        Called without gradients: before the first epoch, between epochs, and once more when training has ended; of many
        epochs, rounds of several count as one here (:class:`autoad_nni.models.training.Schedule`). The last call gets
        the codes of all training images from the trained encoder, in evaluation mode; the others may get
        those of a part of the images. All codes are finite; n is at least 1, and d is the same in every call.
        """

    def begin_epoch(self, progress: float) -> None:
        """Prepare for a training epoch; does nothing unless a subclass overrides it.

        Called before each epoch, or round of epochs, after the :meth:`fit` that precedes it.

        Args:
            progress: The share of the training that is over, from 0 before the first epoch; less than 1.
        """

    @abstractmethod
    def regularizer(self, codes: Tensor) -> Tensor:
        """Return the scalar that is added to the training loss of a batch; weighted, of the order of 0.1."""

    @abstractmethod
    def score(self, codes: Tensor) -> Tensor:
        """Return the hypothesis's term of each score, ``(batch,)``, in any unit; higher is more anomalous.

        The score of a code does not depend on the others in its batch.
        """


def score_in_parts(hypothesis: Hypothesis, codes: Tensor) -> Tensor:
    """Return a hypothesis's scores of any number of codes, ``(batch,)``: a batch of images has many locations.

    Args:
        hypothesis: Sees at most 1,024 codes at a time.
        codes: ``(batch, d)``.
    """
    return in_parts(hypothesis.score, codes, _AT_A_TIME)
