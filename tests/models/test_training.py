from __future__ import annotations

import math
import time
from typing import ClassVar

import pytest
import torch
from torch import Tensor, nn

from autoad_nni.errors import AutoADError
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l2 import L2Distance
from autoad_nni.models.hypotheses.base import Hypothesis
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.models.training import TrainingSettings, fit
from autoad_nni.verdicts import RejectedTrial, Verdict


class Autoencoder(nn.Module):
    """Records the batches it is trained on; can be slow or break."""

    def __init__(self, *, seconds: float = 0.0, broken_after: float = math.inf) -> None:
        super().__init__()
        self.layer = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.back = nn.ConvTranspose2d(4, 1, 3, padding=1)
        self.batches: list[Tensor] = []
        self.seconds, self.broken_after = seconds, broken_after

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        time.sleep(self.seconds)
        if self.training:
            self.batches.append(images.clone())
        code = self.norm(torch.tanh(self.layer(images)))
        factor = math.nan if len(self.batches) > self.broken_after else 1.0
        return self.back(code) * factor, code.flatten(1)


class Recording(Hypothesis):
    needs_codes: ClassVar[bool] = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[tuple[int, ...], bool]] = []

    def fit(self, codes: Tensor) -> None:
        self.seen.append((tuple(codes.shape), codes.requires_grad))

    def regularizer(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(())

    def score(self, codes: Tensor) -> Tensor:
        return codes.new_zeros(len(codes))


def detector(hypothesis: Hypothesis | None = None, *, seconds: float = 0.0, broken_after: float = math.inf) -> Detector:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        autoencoder = Autoencoder(seconds=seconds, broken_after=broken_after)
    return Detector(autoencoder, hypothesis or ReconstructionHypothesis(), L2Distance())


def batches(model: Detector) -> list[Tensor]:
    assert isinstance(model.autoencoder, Autoencoder)
    return model.autoencoder.batches


def numbered_images(n: int) -> Tensor:
    return (torch.arange(n, dtype=torch.float32) / n).view(n, 1, 1, 1).expand(n, 1, 8, 8).contiguous()


IMAGES = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def test_training_lowers_the_loss_and_reports_it_per_epoch() -> None:
    model = detector()
    losses: list[tuple[int, float]] = []
    settings = TrainingSettings(epochs=8, batch_size=8, learning_rate=0.01)
    fit(model, IMAGES, settings=settings, seed=0, on_epoch=lambda epoch, loss: losses.append((epoch, loss)))
    assert [epoch for epoch, _ in losses] == list(range(1, 9))
    assert losses[-1][1] < 0.5 * losses[0][1]
    assert not model.training


def test_equals_a_hand_written_loop_with_torch_optim_adam() -> None:
    settings = TrainingSettings(epochs=4, batch_size=16, learning_rate=0.02)
    model, twin = detector(), detector()
    fit(model, IMAGES, settings=settings, seed=5)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.02, betas=(0.9, 0.999), fused=True)
    generator = torch.Generator().manual_seed(5)
    steps = 0
    for _ in range(4):
        order = torch.randperm(40, generator=generator)
        for chosen in order.split(16):  # type: ignore[no-untyped-call]
            # 12 steps: the rate falls at 6 and at 9.
            optimizer.param_groups[0]["lr"] = 0.02 * (1 if steps < 6 else 0.1 if steps < 9 else 0.01)
            optimizer.zero_grad()
            twin.loss(IMAGES[chosen]).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps += 1
    for name, value in twin.state_dict().items():
        torch.testing.assert_close(model.state_dict()[name], value, msg=name)


def test_each_epoch_sees_every_image_once_in_another_order() -> None:
    model = detector()
    fit(model, numbered_images(20), settings=TrainingSettings(epochs=2, batch_size=6), seed=0)
    seen = torch.cat([batch[:, 0, 0, 0] for batch in batches(model)]) * 20
    first, second = seen[:20].round().int().tolist(), seen[20:].round().int().tolist()
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second != list(range(20))


@pytest.mark.parametrize(
    ("settings", "n_images", "batch_size", "epochs"),
    [
        ({}, 100_000, 64, 5),  # 1,563 steps in each
        ({}, 12_800, 64, 5),
        ({}, 12_736, 64, 6),  # 199 steps in each
        ({}, 512, 64, 125),
        ({}, 300, 38, 125),
        ({}, 10, 8, 500),  # a second batch of 2
        ({}, 9, 8, 1000),  # one of a single image is left out
        ({}, 1, 8, 1000),
        ({"steps": 30}, 300, 38, 5),
        ({"steps": 100}, 300, 38, 13),
        ({"steps": 100, "epochs": 1}, 300, 38, 13),
        ({"steps": 100, "epochs": 20}, 300, 38, 20),
        ({"steps": 100, "batch_size": 64}, 300, 64, 20),
        ({"epochs": 5}, 300, 64, 5),
        ({"epochs": 1}, 10, 64, 1),
        ({"epochs": 3, "batch_size": 16}, 300, 16, 3),
    ],
)
def test_how_long_training_lasts(settings: dict[str, int], n_images: int, batch_size: int, epochs: int) -> None:
    schedule = TrainingSettings(**settings).schedule(n_images)  # type: ignore[arg-type]
    assert (schedule.batch_size, schedule.epochs) == (batch_size, epochs)


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ({"epochs": 3}, (1, 1, 1)),
        ({"epochs": 40}, (1,) * 40),
        ({"steps": 64}, (1,) * 8),
        ({"steps": 80}, (1,) * 10),
        ({"steps": 88}, (1,) * 9 + (2,)),
        ({"steps": 100}, (1, 1, 1, 2, 1, 1, 2, 1, 1, 2)),
        ({"steps": 1000}, (12, 13) * 5),
        ({"steps": 400, "epochs": 20}, (2, 3) * 10),
    ],
)
def test_many_epochs_form_10_rounds_or_as_many_as_epochs_are_given(
    settings: dict[str, int], rounds: tuple[int, ...]
) -> None:
    assert TrainingSettings(**settings).schedule(300).rounds == rounds  # type: ignore[arg-type]


def test_a_training_by_steps_makes_them_and_fits_and_reports_10_times() -> None:
    hypothesis, reports = Recording(), list[int]()
    model = detector(hypothesis)
    settings = TrainingSettings(steps=61)  # 40 images: 5 batches of 8, 13 epochs
    fit(model, IMAGES, settings=settings, seed=0, on_epoch=lambda number, loss: reports.append(number))
    assert [len(batch) for batch in batches(model)[5:]] == [8] * 65  # the first 5: codes for the first fit
    assert len(hypothesis.seen) == 11
    assert reports == list(range(1, 11))


def test_the_loss_of_a_round_is_the_mean_over_its_epochs() -> None:
    one, ten, losses = detector(), detector(), dict[int, list[float]]()
    for model, settings in ((one, {"epochs": 20}), (ten, {"steps": 100, "epochs": 1})):
        kept = losses.setdefault(len(losses), [])
        fit(
            model,
            IMAGES,
            settings=TrainingSettings(batch_size=8, **settings),  # type: ignore[arg-type]
            seed=0,
            on_epoch=lambda number, loss, kept=kept: kept.append(loss),  # type: ignore[misc]
        )
    pairs = [(first + second) / 2 for first, second in zip(losses[0][::2], losses[0][1::2], strict=True)]
    assert losses[1] == pytest.approx(pairs)


@pytest.mark.parametrize(
    ("n_images", "batch_size", "sizes"),
    [(9, 4, [4, 4]), (10, 4, [4, 4, 2]), (3, 4, [3]), (1, 4, [1]), (5, 4, [4]), (3, 1, [1, 1, 1])],
)
def test_a_last_batch_of_one_image_is_left_out(n_images: int, batch_size: int, sizes: list[int]) -> None:
    model = detector()
    fit(model, numbered_images(n_images), settings=TrainingSettings(epochs=1, batch_size=batch_size), seed=0)
    assert [len(batch) for batch in batches(model)] == sizes


def test_same_seed_same_weights_and_another_seed_others() -> None:
    states = []
    for seed in (1, 1, 2):
        model = detector()
        fit(model, IMAGES, settings=TrainingSettings(epochs=2, batch_size=8), seed=seed)
        states.append(torch.cat([value.flatten() for value in model.state_dict().values()]))
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_the_global_random_state_is_neither_read_nor_changed() -> None:
    results = []
    for state in (10, 20):
        torch.manual_seed(state)
        before = torch.get_rng_state()
        model = detector()
        fit(model, IMAGES, settings=TrainingSettings(epochs=1), seed=1)
        results.append(predict(Scorer(model), IMAGES).score)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(*results)


def test_a_hypothesis_gets_codes_before_the_first_epoch_and_after_each() -> None:
    hypothesis = Recording()
    settings = TrainingSettings(epochs=2, batch_size=16)
    fit(detector(hypothesis), IMAGES, settings=settings, seed=0)
    assert hypothesis.seen == [((40, 4 * 8 * 8), False)] * 3


@pytest.mark.parametrize("needs_codes", [True, False])
def test_a_hypothesis_hears_before_each_epoch_how_much_of_the_training_is_over(needs_codes: bool) -> None:
    calls: list[tuple[str, float]] = []

    class Hearing(Recording):
        def fit(self, codes: Tensor) -> None:
            calls.append(("fit", 0.0))

        def begin_epoch(self, progress: float) -> None:
            calls.append(("epoch", progress))

    Hearing.needs_codes = needs_codes
    fit(detector(Hearing()), IMAGES, settings=TrainingSettings(epochs=4), seed=0)
    assert [progress for what, progress in calls if what == "epoch"] == [0, 0.25, 0.5, 0.75]
    assert [what for what, _ in calls] == (["fit", "epoch"] * 4 + ["fit"] if needs_codes else ["epoch"] * 4)


def test_between_epochs_some_images_are_enough_and_at_the_end_it_is_all() -> None:
    hypothesis = Recording()
    images = torch.rand(4100, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    fit(detector(hypothesis), images, settings=TrainingSettings(epochs=2, batch_size=512), seed=0)
    assert [shape[0] for shape, _ in hypothesis.seen] == [2050, 2050, 4100]
    assert not any(with_gradient for _, with_gradient in hypothesis.seen)


def test_the_first_codes_are_those_of_training_mode() -> None:
    """Batch normalization does not scale yet in evaluation mode: its running statistics are 0 and 1."""

    class Scale(Recording):
        def fit(self, codes: Tensor) -> None:
            self.seen.append(((), bool(codes.std() > 0.5)))

    model = detector(hypothesis := Scale())
    with torch.no_grad():
        model.autoencoder.get_parameter("layer.weight").mul_(0.1)
    fit(model, IMAGES, settings=TrainingSettings(epochs=1), seed=0)
    assert hypothesis.seen[0] == ((), True)


def test_a_code_that_is_not_finite_is_a_verdict() -> None:
    model = detector(Recording())
    with torch.no_grad():
        model.autoencoder.get_parameter("norm.weight").fill_(math.inf)
    with pytest.raises(RejectedTrial) as caught:
        fit(model, IMAGES, settings=TrainingSettings(epochs=1), seed=0)
    assert caught.value.verdict is Verdict.NON_FINITE


def test_a_hypothesis_that_needs_none_gets_no_codes() -> None:
    class Frugal(Recording):
        needs_codes: ClassVar[bool] = False

    hypothesis = Frugal()
    fit(detector(hypothesis), IMAGES, settings=TrainingSettings(epochs=2), seed=0)
    assert hypothesis.seen == []


@pytest.mark.parametrize("broken_after", [0, 3, 60])
def test_a_loss_that_is_not_a_number_is_a_verdict(broken_after: int) -> None:
    model = detector(broken_after=broken_after)
    with pytest.raises(RejectedTrial, match="The training loss became nan") as raised:
        fit(model, IMAGES, settings=TrainingSettings(epochs=40, batch_size=2), seed=0)
    assert raised.value.verdict is Verdict.NON_FINITE
    assert len(batches(model)) <= broken_after + 50


def test_a_score_that_is_not_a_number_is_a_verdict() -> None:
    images = IMAGES.clone()
    images[7] = math.inf
    with pytest.raises(RejectedTrial, match=r"1 of 40 scores") as raised:
        predict(Scorer(detector()), images)
    assert raised.value.verdict is Verdict.NON_FINITE


class Clock:
    """Each reading is a second later."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


def test_a_run_on_the_way_to_twice_the_limit_is_stopped_after_a_tenth(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", Clock())
    model = detector()
    with pytest.raises(RejectedTrial, match=r"200 s expected after 10 of 200 steps; the limit is 99 s") as raised:
        fit(model, IMAGES, settings=TrainingSettings(epochs=10, batch_size=2), seed=0, max_seconds=99)
    assert raised.value.verdict is Verdict.OVER_TIME
    assert len(batches(model)) == 10


def test_a_run_somewhat_over_the_limit_is_stopped_at_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", Clock())
    model = detector()
    with pytest.raises(RejectedTrial, match=r"121\.0 s after 121 of 200 steps; the limit is 120 s"):
        fit(model, IMAGES, settings=TrainingSettings(epochs=10, batch_size=2), seed=0, max_seconds=120)


def test_the_time_of_a_hypothesis_before_the_first_step_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "perf_counter", Clock())
    model = detector(Recording())
    message = r"4\.0 s, codes of 6 of 40 training images computed; the limit is 3\.5 s"
    with pytest.raises(RejectedTrial, match=message) as raised:
        fit(model, IMAGES, settings=TrainingSettings(epochs=1, batch_size=2), seed=0, max_seconds=3.5)
    assert raised.value.verdict is Verdict.OVER_TIME


def test_a_run_within_the_limit_ends_and_a_slow_first_step_is_no_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)

    class Warming(Autoencoder):
        def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
            clock.now += 100 if not self.batches else 0
            return super().forward(images)

    model = Detector(Warming(), ReconstructionHypothesis(), L2Distance())
    settings = TrainingSettings(epochs=5, batch_size=4)
    fit(model, IMAGES, settings=settings, seed=0, max_seconds=200)  # 50 steps of 100 s would be 5000 s
    assert len(batches(model)) == 50


def test_scoring_is_limited_too() -> None:
    with pytest.raises(RejectedTrial) as raised:
        predict(Scorer(detector(seconds=0.02), batch_size=1), IMAGES, max_seconds=0.1)
    assert raised.value.verdict is Verdict.OVER_TIME


def test_scores_do_not_depend_on_the_batch_size_and_the_mode_is_restored() -> None:
    model = detector().train()
    whole = predict(Scorer(model, batch_size=40), IMAGES).score
    assert model.training
    assert whole.shape == (40,)
    assert whole.dtype == torch.float32
    assert not whole.requires_grad
    for batch_size in (1, 7, 39, 256):
        torch.testing.assert_close(predict(Scorer(model, batch_size=batch_size), IMAGES).score, whole)
    torch.testing.assert_close(whole, model.eval()(IMAGES).distance.detach())


def test_no_training_images_is_an_error() -> None:
    with pytest.raises(AutoADError, match="0 images"):
        fit(detector(), torch.empty(0, 1, 8, 8), settings=TrainingSettings(), seed=0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epochs": 0}, r"^epochs is 0\. Expected 1 or more\. Give for instance epochs=5\.$"),
        ({"steps": 0}, r"^steps is 0\. Expected 1 or more\. Give for instance steps=1000\.$"),
        ({"batch_size": 0}, r"^batch_size is 0\."),
        ({"batch_size": -3}, r"^batch_size is -3\. Expected 1 or more\. Give for instance batch_size=64\.$"),
        ({"learning_rate": 0.0}, r"^learning_rate is 0\.0\. Expected a positive number\."),
        ({"learning_rate": math.nan}, r"^learning_rate is nan\."),
        ({"beta1": 1.0}, r"^beta1 is 1\.0\. Expected 0 <= beta1 < 1\."),
    ],
)
def test_settings_out_of_range_are_errors(values: dict[str, float], message: str) -> None:
    with pytest.raises(AutoADError, match=message):
        TrainingSettings(**values)  # type: ignore[arg-type]


def test_only_epochs_and_steps_are_options_of_the_command() -> None:
    with pytest.raises(AutoADError) as caught:
        TrainingSettings(epochs=0)
    assert caught.value.on_command_line() == "--epochs is 0. Expected 1 or more. Give for instance --epochs 5."
    with pytest.raises(AutoADError) as caught:
        TrainingSettings(steps=-1)
    assert caught.value.on_command_line() == "--steps is -1. Expected 1 or more. Give for instance --steps 1000."
    with pytest.raises(AutoADError) as caught:
        TrainingSettings(batch_size=0)
    assert caught.value.on_command_line() == str(caught.value)


def test_the_papers_constants() -> None:
    settings = TrainingSettings.paper(epochs=7)
    assert (settings.epochs, settings.batch_size, settings.learning_rate, settings.beta1) == (7, 64, 0.1, 0.9)
