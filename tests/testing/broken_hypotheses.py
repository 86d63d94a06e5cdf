"""A sound toy, and toys that break one promise each, most of them in a way that happens."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoad_nni.models.hypotheses.base import Hypothesis


class Sound(Hypothesis):
    """Squared distance to the mean of the training codes, in units of their variance."""

    centre: Tensor
    variance: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centre", torch.empty(0))
        self.register_buffer("variance", torch.ones(()))

    def fit(self, codes: Tensor) -> None:
        self.centre = codes.mean(0)
        variance = codes.var(0, correction=0).mean()
        self.variance = torch.where(variance > 0, variance, 1.0)

    def regularizer(self, codes: Tensor) -> Tensor:
        return 0.1 * Sound.score(self, codes).mean()

    def score(self, codes: Tensor) -> Tensor:
        return (codes - self.centre).square().mean(1) / self.variance


class NoSubclass(nn.Module):
    needs_codes = False
    max_code_size = 256

    def begin_epoch(self, progress: float) -> None:
        pass

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(())

    def score(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(len(codes))


class DetachedRegularizer(Sound):
    def regularizer(self, codes: Tensor) -> Tensor:
        return super().regularizer(codes).detach()


class UnguardedDivision(Sound):
    def fit(self, codes: Tensor) -> None:
        super().fit(codes)
        if len(codes) > 1:
            self.variance = codes.var(0).mean()


class FiveNeighbours(Sound):
    """Asks for five codes where there may be one."""

    def fit(self, codes: Tensor) -> None:
        codes.topk(5, 0)
        super().fit(codes)


class UpsideDown(Sound):
    def score(self, codes: Tensor) -> Tensor:
        return -super().score(codes)


class SecretCodes(Sound):
    """Scores by codes, but says that it needs none, so it is never fitted."""

    needs_codes = False

    def score(self, codes: Tensor) -> Tensor:
        return codes.amax(1) / codes.norm(dim=1).clamp(min=1e-30)

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(())


class BatchMean(Sound):
    def score(self, codes: Tensor) -> Tensor:
        scores = super().score(codes)
        return scores - scores.mean()


class FixedWidth(Sound):
    """A kernel as wide as 1, whatever the codes."""

    def score(self, codes: Tensor) -> Tensor:
        return -torch.exp(-(codes - self.centre).square().mean(1))


class PlainAttribute(Sound):
    def fit(self, codes: Tensor) -> None:
        super().fit(codes)
        self.mean = codes.mean(0)

    def score(self, codes: Tensor) -> Tensor:
        return (codes - self.mean).square().mean(1) / self.variance


class ForgetsItsBatches(Sound):
    """Warms up over the first batches, and counts them where no file keeps the number."""

    n_batches = 0

    def regularizer(self, codes: Tensor) -> Tensor:
        self.n_batches += self.training
        return super().regularizer(codes) * (0.5 if self.n_batches < 120 else 1.0)


class AlwaysFloat32(Sound):
    def score(self, codes: Tensor) -> Tensor:
        return super().score(codes).float()


class HashSeed(Sound):
    """Weighs codes at random, by a seed that differs from process to process."""

    def score(self, codes: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(hash("toy") % 2**31)
        weights = torch.rand(codes.shape[1], generator=generator).to(codes)
        return (weights * (codes - self.centre).square()).mean(1) / self.variance


class GraphOfTheLastBatch(Sound):
    """Keeps a running mean with its gradient, and walks back into a batch that is gone."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("running", torch.zeros(()))

    def regularizer(self, codes: Tensor) -> Tensor:
        self.running = 0.9 * self.running + super().regularizer(codes)
        return self.running


class Column(Sound):
    def score(self, codes: Tensor) -> Tensor:
        return super().score(codes)[:, None]


# Toy to the check that it fails.
BROKEN = {
    NoSubclass: "is_a_hypothesis",
    DetachedRegularizer: "regularizer_is_a_number_with_a_gradient",
    UnguardedDivision: "numbers_are_finite_whatever_the_codes",
    FiveNeighbours: "codes_of_every_size_are_accepted",
    UpsideDown: "codes_far_away_score_higher",
    SecretCodes: "codes_far_away_score_higher",
    BatchMean: "scores_do_not_depend_on_the_batch",
    FixedWidth: "the_scale_of_the_codes_does_not_matter",
    PlainAttribute: "a_loaded_one_goes_on_as_the_saved_one",
    ForgetsItsBatches: "a_loaded_one_goes_on_as_the_saved_one",
    AlwaysFloat32: "scores_are_one_number_per_code",
    HashSeed: "a_new_process_gives_the_same",
    GraphOfTheLastBatch: "a_detector_trains_with_it",
}
