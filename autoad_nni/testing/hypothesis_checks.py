"""What every hypothesis has to keep to, one function per promise; the docstring is what a failure says.

Codes are vectors of whole images or, with features and for maps, of all locations: up to 20,000 in `fit`, 1,024 at a
time in `score`. A hypothesis is not told which, and treats all alike.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.testing.checking import Factory, check, expect, expect_equal, loaded
from autoad_nni.testing.new_process import in_new_process
from autoad_nni.testing.trained_detector import expect_training

__all__ = ["HYPOTHESIS_CHECKS", "results_on_fixed_codes"]


def training_codes(n: int = 300, d: int = 8, *, seed: int = 0) -> Tensor:
    """Three clouds of codes, not around zero, ``(n, d)``."""
    generator = torch.Generator().manual_seed(seed)
    centres = 3 + torch.randn(3, d, generator=torch.Generator().manual_seed(99))
    return centres[torch.arange(n) % 3] + 0.5 * torch.randn(n, d, generator=generator)


def fitted(plugin: Factory[Hypothesis], codes: Tensor) -> Hypothesis:
    """A fresh hypothesis that knows training codes, as training would leave it."""
    torch.manual_seed(0)
    hypothesis = plugin().to(codes.device)
    if hypothesis.needs_codes:
        with torch.no_grad():
            hypothesis.fit(codes)
    return hypothesis.eval()


def results(hypothesis: Hypothesis, codes: Tensor) -> Tensor:
    """Scores, and the regularizer as the last number, ``(batch + 1,)``."""
    with torch.no_grad():
        return torch.cat([hypothesis.score(codes), hypothesis.regularizer(codes)[None]])


def results_on_fixed_codes(plugin: Factory[Hypothesis]) -> Tensor:
    """The same computation in every process."""
    return results(fitted(plugin, training_codes()), training_codes(50, seed=1))


@check
def is_a_hypothesis(plugin: Factory[Hypothesis]) -> None:
    """The plugin can be made without arguments, is an autoad_nni.Hypothesis, and max_code_size >= 1."""
    hypothesis = plugin()
    expect(isinstance(hypothesis, Hypothesis), f"a {type(hypothesis).__name__}")
    expect(hypothesis.max_code_size >= 1, f"max_code_size {hypothesis.max_code_size}")


@check
def scores_are_one_number_per_code(plugin: Factory[Hypothesis]) -> None:
    """score(codes) gives one number per code, (batch,), of the codes' dtype and on their device."""
    devices = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    for device, dtype in itertools.product(devices, (torch.float32, torch.float64)):
        codes = training_codes().to(device, dtype)
        scores = fitted(plugin, codes).score(codes[:7])
        expect(scores.shape == (7,), f"shape {tuple(scores.shape)} for 7 codes")
        expect(scores.dtype == codes.dtype, f"{scores.dtype} for codes of {codes.dtype}")
        expect(scores.device == codes.device, f"scores on {scores.device} for codes on {codes.device}")


@check
def regularizer_is_a_number_with_a_gradient(plugin: Factory[Hypothesis]) -> None:
    """regularizer(codes) gives one finite number, (), of the codes' dtype, with a gradient to them; or zero, always."""
    for dtype in (torch.float32, torch.float64):
        hypothesis = fitted(plugin, training_codes().to(dtype)).train()
        codes = (2 * training_codes(64, seed=1)).to(dtype).requires_grad_()
        value = hypothesis.regularizer(codes)
        expect(value.shape == (), f"shape {tuple(value.shape)}")
        expect(value.dtype == dtype, f"{value.dtype} for codes of {dtype}")
        expect(bool(torch.isfinite(value)), f"{value.item()}")
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        gradient = torch.zeros_like(codes) if codes.grad is None else codes.grad
        expect(bool(torch.isfinite(gradient).all()), "a gradient that is infinite or undefined")
        expect(value.item() == 0 or bool(gradient.any()), f"{value.item():.4g} without a gradient to the codes")


@check
def numbers_are_finite_whatever_the_codes(plugin: Factory[Hypothesis]) -> None:
    """Scores, regularizer and its gradient are finite for codes that are all alike, tiny (1e-6) and huge (1e4)."""
    ordinary = training_codes(100)
    kinds = {"zero": 0 * ordinary, "alike": 0 * ordinary + 5, "tiny": 1e-6 * ordinary, "huge": 1e4 * ordinary}
    for kind, codes in kinds.items():
        hypothesis = fitted(plugin, codes)
        expect(bool(torch.isfinite(hypothesis.score(codes)).all()), f"{kind} codes give scores that are not finite")
        batch = codes[:64].clone().requires_grad_()
        value = hypothesis.train().regularizer(batch)
        expect(bool(torch.isfinite(value)), f"{kind} codes give the regularizer {value.item()}")
        if value.requires_grad:
            value.backward()  # type: ignore[no-untyped-call]
        gradient = torch.zeros_like(batch) if batch.grad is None else batch.grad
        expect(bool(torch.isfinite(gradient).all()), f"{kind} codes give a gradient that is not finite")


@check
def codes_of_every_size_are_accepted(plugin: Factory[Hypothesis]) -> None:
    """fit() and score() take 1, 2 or hundreds of codes, of 1, 2 or max_code_size numbers each."""
    for d in sorted({1, min(2, plugin().max_code_size), plugin().max_code_size}):
        for n in (1, 2, 300):
            codes = training_codes(n, d)
            try:
                scores = fitted(plugin, codes).score(codes)
            except Exception as error:
                expect(False, f"{type(error).__name__} for {n} codes of {d} numbers: {error}")
            expect(len(scores) == n, f"{len(scores)} scores for {n} codes of {d} numbers")


@check
def codes_far_away_score_higher(plugin: Factory[Hypothesis]) -> None:
    """Codes far from all training codes score higher; a hypothesis without codes (needs_codes = False) scores zero."""
    codes = training_codes()
    directions = torch.nn.functional.normalize(torch.randn(50, 8, generator=torch.Generator().manual_seed(2)), dim=1)
    far = codes.mean(0) + 20 * codes.std() * directions
    hypothesis = fitted(plugin, codes)
    scores = hypothesis.score(torch.cat([codes, far])).detach()
    if hypothesis.needs_codes:
        share = (scores[300:, None] > scores[None, :300]).double().mean().item()
        expect(share >= 0.95, f"only {share:.0%} of the pairs of a far code and a training code are in that order")
    else:
        expect(not scores.any(), f"scores up to {scores.abs().max().item():.4g}; set needs_codes = True")


@check
def scores_do_not_depend_on_the_batch(plugin: Factory[Hypothesis]) -> None:
    """The score of a code is the same alone and among others."""
    hypothesis, codes = fitted(plugin, training_codes()), training_codes(20, seed=1)
    alone = torch.cat([hypothesis.score(code[None]) for code in codes])
    expect_equal(alone, hypothesis.score(codes), "scores one by one, and all at once")


@check
def the_scale_of_the_codes_does_not_matter(plugin: Factory[Hypothesis]) -> None:
    """Codes a thousand times smaller or larger give the same regularizer, and the same scores in another unit."""
    codes, new = training_codes(), training_codes(50, seed=1)
    wanted = results(fitted(plugin, codes), new)
    for scale in (1e-3, 1e3):
        got = results(fitted(plugin, scale * codes), scale * new)
        where = f"for codes times {scale:g}, and for the codes as they are"
        expect_equal(_in_units(got[:-1]), _in_units(wanted[:-1]), f"scores {where}", tolerance=0.05)
        gap = (got[-1] - wanted[-1]).abs().item()
        expect(gap <= 0.01 + 0.05 * wanted[-1].abs().item(), f"regularizer {where}: {got[-1]:.4g} and {wanted[-1]:.4g}")


def _in_units(scores: Tensor) -> Tensor:
    deviation = scores.std()
    return (scores - scores.mean()) / torch.where(deviation > 0, deviation, 1.0)


@check
def a_loaded_one_goes_on_as_the_saved_one(plugin: Factory[Hypothesis]) -> None:
    """A fresh object with the saved state (safetensors) gives the same results, also when both then train on."""
    hypothesis, codes = fitted(plugin, training_codes()), training_codes(50, seed=1)
    _train(hypothesis, n_batches=100)
    fresh = loaded(hypothesis, plugin())
    pairs = [("", results(fresh.eval(), codes), results(hypothesis.eval(), codes))]
    for now, n_batches in (("after 100 more batches", 100), ("after 50 more", 50)):
        with torch.random.fork_rng(devices=[]):
            got = _train(fresh, n_batches)
        pairs.append((f"in training, {now}", got, _train(hypothesis, n_batches)))
        pairs.append((now, results(fresh.eval(), codes), results(hypothesis.eval(), codes)))
    for one in (fresh, hypothesis):
        _refit(one, training_codes(200, seed=2))
    pairs.append(("after another fit()", results(fresh, codes), results(hypothesis, codes)))
    for now, got, wanted in pairs:
        expect_equal(got, wanted, f"scores and regularizer of the loaded and of the saved object {now}".rstrip())


def _train(hypothesis: Hypothesis, n_batches: int) -> Tensor:
    """The regularizers of training batches."""
    hypothesis.train()
    batches = torch.split(training_codes(8 * n_batches, seed=3), 8)
    with torch.no_grad():
        return torch.stack([hypothesis.regularizer(batch) for batch in batches])


def _refit(hypothesis: Hypothesis, codes: Tensor) -> None:
    if hypothesis.needs_codes:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            hypothesis.fit(codes)


@check
def a_new_process_gives_the_same(plugin: Factory[Hypothesis]) -> None:
    """The same codes and seed give the same scores and regularizer in another process."""
    wanted = results_on_fixed_codes(plugin)
    expect_equal(in_new_process(results_on_fixed_codes, plugin), wanted, "results in a new process, and in this one")


@check
def a_detector_trains_with_it(plugin: Factory[Hypothesis]) -> None:
    """In a detector trained on handwritten digits, the weights move and the scores of the images differ."""
    expect_training(plugin(), L2Distance())


HYPOTHESIS_CHECKS = (
    is_a_hypothesis,
    scores_are_one_number_per_code,
    regularizer_is_a_number_with_a_gradient,
    numbers_are_finite_whatever_the_codes,
    codes_of_every_size_are_accepted,
    codes_far_away_score_higher,
    scores_do_not_depend_on_the_batch,
    the_scale_of_the_codes_does_not_matter,
    a_loaded_one_goes_on_as_the_saved_one,
    a_new_process_gives_the_same,
    a_detector_trains_with_it,
)
