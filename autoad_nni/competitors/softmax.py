"""MSP and ODIN: how sure a classifier of the normal classes is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from autoad_nni.competitors.base import Competitor
from autoad_nni.competitors.classifier import accuracy, check_classes, share_classifier
from autoad_nni.data import LabelledImages, Task
from autoad_nni.metrics.image import auroc
from autoad_nni.models.scoring import Prediction

__all__ = ["Msp", "Odin", "odin_score", "odin_scores"]

# The ranges of Liang et al. (Section 4.3 and Appendix), thinned out.
TEMPERATURES: Final = (1.0, 10.0, 100.0, 1000.0)
EPSILONS: Final = (0.0, 0.0005, 0.001, 0.0014, 0.002, 0.004, 0.01, 0.02)
_CHOSEN_ON = 1000


class Msp(Competitor):
    """Maximum softmax probability: one minus what the classifier gives its first choice.

    Args:
        epochs: Passes over the training images.
        seed: Of the classifier.

    Attributes:
        accuracy: Of the classifier on validation's normal images, in [0, 1]; set by `fit`.

    The score is that of pytorch-ood 0.4's ``MaxSoftmax`` plus 1.

    Reference: Hendrycks and Gimpel, A baseline for detecting misclassified and out-of-distribution examples in neural
    networks, ICLR 2017.

    Example:
        >>> from autoad_nni.data import TaskOptions, load_task
        >>> task = load_task(TaskOptions(data="digits", abnormal=("uniform",)))
        >>> method = Msp(epochs=2).fit(task)
        >>> method.predict(task.test.images[:5]).score.shape, method.accuracy > 0.5
        (torch.Size([5]), True)
    """

    needs_classes: ClassVar[bool] = True
    has_map: ClassVar[bool] = False

    def __init__(self, *, epochs: int = 10, seed: int = 0) -> None:
        self.epochs, self.seed = epochs, seed
        self.network: nn.Module = nn.Identity()
        self.accuracy = float("nan")

    def fit(self, task: Task) -> Self:
        """Train the classifier."""
        known, classes = check_classes(task)
        classifier = share_classifier(task.train, classes, epochs=self.epochs, seed=self.seed)
        self.network, self.shared_seconds = classifier.network, classifier.seconds if classifier.shared else 0.0
        held = task.validation
        if held.classes is not None:
            normal = (held.labels == 0) & torch.isin(held.classes, known)
            self.accuracy = accuracy(self.network, held.images[normal], torch.searchsorted(known, held.classes[normal]))
        return self

    def predict(self, images: Tensor) -> Prediction:
        """Score images; the map is zero."""
        return _without_map(images, self._scores(images))

    def _scores(self, images: Tensor) -> Tensor:
        return odin_score(self.network, images, temperature=1.0, epsilon=0.0)


class Odin(Msp):
    """ODIN: the softmax at a temperature, of images that are moved a little towards their likeliest class.

    Args:
        temperature: None: the best on validation.
        epsilon: How far each pixel is moved, in [0, 1]; None: the best on validation, together with the temperature.
        epochs: As for `Msp`.
        seed: As for `Msp`.

    Differs from / not given by the paper: it gives neither the classifier nor how T and epsilon are chosen. Liang et
    al. choose them by the false-positive rate at 95 % true positives on held-out images of each out-of-distribution
    set; here by AUROC on at most 1,000 images of validation. Pixels are moved in [0, 1] before standardization, and are
    not clipped, as there.

    Differs from pytorch-ood 0.4's ``ODIN``: its score is the negated share, not one minus it, and is computed in the
    precision of the logits, not in double. With the same T and epsilon both give the same score up to this;
    ``norm_std`` is not needed, as the classifier standardizes images itself. It chooses neither T nor epsilon.

    Reference: Liang, Li and Srikant, Enhancing the reliability of out-of-distribution image detection in neural
    networks, ICLR 2018, Eq. 1 to 3.
    """

    def __init__(
        self, *, temperature: float | None = None, epsilon: float | None = None, epochs: int = 10, seed: int = 0
    ) -> None:
        super().__init__(epochs=epochs, seed=seed)
        self.temperature, self.epsilon = temperature, epsilon

    def fit(self, task: Task) -> Self:
        """Train the classifier, and choose what is not given."""
        super().fit(task)
        if self.temperature is None or self.epsilon is None:
            held = _some_of(task.validation)
            epsilons = EPSILONS if self.epsilon is None else (self.epsilon,)
            figures: dict[tuple[float, float], float] = {}
            for temperature in TEMPERATURES if self.temperature is None else (self.temperature,):
                scores = odin_scores(self.network, held.images, temperature=temperature, epsilons=epsilons)
                for epsilon, each in zip(epsilons, scores, strict=True):
                    figures[temperature, epsilon] = auroc(held.labels.numpy(), each.numpy())
            self.temperature, self.epsilon = max(figures, key=lambda setting: figures[setting])
        return self

    def _scores(self, images: Tensor) -> Tensor:
        assert self.temperature is not None and self.epsilon is not None  # fit has chosen them
        return odin_score(self.network, images, temperature=self.temperature, epsilon=self.epsilon)


def odin_score(network: nn.Module, images: Tensor, *, temperature: float, epsilon: float) -> Tensor:
    r"""Return ODIN's score, higher for images that the classifier is less sure of.

    .. math:: 1 - \max_i S_i(\tilde{x}; T), \quad
        \tilde{x} = x + \varepsilon \, \mathrm{sign}(\nabla_x \log S_{\hat{y}}(x; T))

    where S is the softmax of the logits divided by T. At T = 1 and epsilon = 0 it is MSP's. It is computed in double
    precision: at T = 1000 the softmax of ten classes differs from 0.1 by little.

    Args:
        network: Images to logits.
        images: In [0, 1].
        temperature: T, above 0.
        epsilon: 0 or more.

    Shape:
        images ``(n, channels, height, width)``; the result ``(n,)`` float64, in [0, 1).
    """
    return odin_scores(network, images, temperature=temperature, epsilons=(epsilon,))[0]


def odin_scores(network: nn.Module, images: Tensor, *, temperature: float, epsilons: Sequence[float]) -> Tensor:
    """Return `odin_score` for several epsilons: where images are moved to depends on the temperature alone.

    Shape:
        images ``(n, channels, height, width)``; the result ``(len(epsilons), n)`` float64.
    """
    parts = [_odin_scores(network, part, temperature, epsilons) for part in torch.split(images, 256)]
    return torch.cat(parts, 1)


def _odin_scores(network: nn.Module, images: Tensor, temperature: float, epsilons: Sequence[float]) -> Tensor:
    sign = _sign(network, images, temperature) if any(epsilons) else torch.zeros_like(images)
    with torch.no_grad():
        logits = [network(images + epsilon * sign).double() for epsilon in epsilons]
    return torch.stack([1 - F.softmax(each / temperature, 1).amax(1) for each in logits])


def _sign(network: nn.Module, images: Tensor, temperature: float) -> Tensor:
    """The direction in which the share of the likeliest class grows."""
    moved = images.detach().requires_grad_()
    with torch.enable_grad():
        likeliest = F.log_softmax(network(moved) / temperature, 1).amax(1)
        (gradient,) = torch.autograd.grad(likeliest.sum(), moved)
    return gradient.sign()


def _some_of(held: LabelledImages) -> LabelledImages:
    """The first normal and the first anomalous images, at most `_CHOSEN_ON`; they were drawn at random."""
    anomalous = torch.flatten((held.labels == 1).nonzero())[: _CHOSEN_ON // 2]
    normal = torch.flatten((held.labels == 0).nonzero())[: _CHOSEN_ON - len(anomalous)]
    rows = torch.cat([normal, anomalous])
    return LabelledImages(held.images[rows], held.labels[rows])


def _without_map(images: Tensor, scores: Tensor) -> Prediction:
    return Prediction(scores, images.new_zeros(len(images), 1, *images.shape[2:]))
