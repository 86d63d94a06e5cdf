from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from toys import Blank

from autoad_nni.data import LabelledImages, Task, TaskOptions, load_task
from autoad_nni.errors import AutoADError
from autoad_nni.metrics.image import auroc
from autoad_nni.models.build import build_detector
from autoad_nni.models.detector import Detector
from autoad_nni.models.distances.l1 import L1Distance
from autoad_nni.models.ensemble import Ensemble
from autoad_nni.models.hypotheses.reconstruction import ReconstructionHypothesis
from autoad_nni.models.readings import WHOLE, Reading
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.models.training import TrainingSettings
from autoad_nni.runs.records import KnownResult
from autoad_nni.runs.winner import (
    best_known,
    calibration_of,
    check_false_alarm_rate,
    choose_winner,
    distinct,
    finish,
    held_out_scores,
    join_weights,
    load_members,
    members_of,
    save_weights,
    write_members,
)
from autoad_nni.trial.record import TrialRecord
from autoad_nni.trial.request import TrialRequest
from autoad_nni.trial.run import run_trial
from autoad_nni.trial.settings import TrialSettings
from autoad_nni.verdicts import Verdict
from autoad_nni_search_spaces import FeatureSpace

LAYER: dict[str, Any] = {"channels": 3, "kernel": 3, "pooling": "max", "pooling_kernel": 1, "normalization": "batch"}
SAMPLE = {"hypothesis": "density", "distance": "l2", **{f"layer1_{key}": LAYER[key] for key in LAYER}}
SAMPLE["layer1_activation"] = "tanh"
REQUEST = TrialRequest.from_options(data="digits", abnormal="photos")


def trial(number: int, reward: float, *, known: str = "", verdict: Verdict = Verdict.OK) -> TrialRecord:
    return TrialRecord(
        number=number,
        sample=SAMPLE,
        verdict=verdict,
        reward=reward if verdict is Verdict.OK else 0.0,
        validation={"auroc": reward},
        known=known,
        fingerprint=f"{number:08x}",  # no two are the same model
    )


class White(nn.Module):
    """Reconstructs white: what `toys.Blank` finds anomalous is normal."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(images), images.flatten(1)


def detector(autoencoder: nn.Module) -> Detector:
    return Detector(autoencoder, ReconstructionHypothesis(), L1Distance())


def task() -> Task:
    """Grey images; the anomalous ones are brighter, but for one on validation. Sums of their values are exact."""

    def of(*brightness: int) -> Tensor:
        return torch.tensor(brightness).view(-1, 1, 1, 1).expand(-1, 1, 8, 8) / 16

    labels = torch.tensor([0] * 5 + [1] * 3, dtype=torch.uint8)
    validation = LabelledImages(of(1, 2, 3, 4, 5, 3, 8, 9), labels)
    test = LabelledImages(of(1, 2, 3, 9, 5, 6, 4, 8), labels)
    return Task(name="grey", train=of(1, 2, 3, 4), validation=validation, test=test)


@pytest.mark.parametrize("number", [1, 2, 5, 50])
def test_members_are_the_best_few_trials_that_ended_well(number: int) -> None:
    drawn = random.Random(number)
    records = [trial(i, drawn.choice([0.4, 0.5, 0.52, 0.54, 0.56])) for i in range(30)]
    records += [trial(30, 0.9, verdict=Verdict.OVER_TIME), TrialRecord.crashed(31, SAMPLE, "RuntimeError: boom")]
    drawn.shuffle(records)
    members = members_of(records, number)
    assert 1 <= len(members) <= number and all(member.ok for member in members)
    ranked = sorted((record for record in records if record.ok), key=lambda record: (-record.reward, record.number))
    assert members == ranked[: len(members)], "of equals the earliest, the best first"
    assert members_of(members, number) == members, "those that are kept would be chosen again"


def test_one_model_tried_twice_is_one_member() -> None:
    first, second = trial(0, 0.9), trial(1, 0.9)
    again = replace(first, number=2, sample={**SAMPLE, "distance": "l1"})
    assert members_of([first, second, again], 5) == distinct([again, second, first]) == [first, second]
    otherwise = replace(again, fingerprint="ffffffff")  # with the same figures: validation is easy
    assert distinct([first, second, otherwise]) == [first, second, otherwise]
    unknown = [replace(record, fingerprint="") for record in (first, second, again)]
    assert members_of(unknown, 5) == unknown, "of trials that report by themselves nothing is known"


def test_without_a_good_trial_there_are_no_members_and_no_known_method() -> None:
    records = [trial(0, 0.0, verdict=Verdict.OVER_MACS, known="padim")]
    assert members_of(records, 5) == [] and best_known(records) is None
    assert members_of([], 5) == [] and best_known([]) is None


def test_the_best_known_method_is_the_earliest_of_equals() -> None:
    records = [trial(0, 0.5, known="pca"), trial(1, 0.7, known="padim"), trial(2, 0.7, known="knn"), trial(3, 0.9)]
    assert best_known(records) == best_known(records[::-1]) == records[1]


def test_joined_weights_are_those_of_the_members(tmp_path: Path) -> None:
    torch.manual_seed(0)
    models = {number: build_detector(SAMPLE, channels=1) for number in (3, 1, 12)}
    for number, model in models.items():
        save_weights(model, tmp_path / f"{number}.safetensors")
    join_weights({number: tmp_path / f"{number}.safetensors" for number in models}, tmp_path / "joined.safetensors")
    write_members(models, tmp_path / "written.safetensors")
    assert (tmp_path / "joined.safetensors").read_bytes() == (tmp_path / "written.safetensors").read_bytes()
    before = torch.get_rng_state()
    loaded = load_members(
        [trial(number, 0.5) for number in models],
        tmp_path / "joined.safetensors",
        channels=1,
        settings=TrialSettings(),
    )
    assert torch.equal(torch.get_rng_state(), before)
    for model, again in zip(models.values(), loaded, strict=True):
        assert not again.training
        state = again.state_dict()
        assert state.keys() == model.state_dict().keys()
        assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert len(load_file(tmp_path / "joined.safetensors")) == 3 * len(models[3].state_dict())


@pytest.mark.parametrize("hypothesis", ["density", "cluster", "centroid", "reconstruction"])
@pytest.mark.parametrize("channels", [3, 64])
def test_a_trained_model_predicts_the_same_when_it_is_loaded(tmp_path: Path, hypothesis: str, channels: int) -> None:
    """However it is read; with fewer and with more channels than components of local codes."""
    settings = TrialSettings(training=TrainingSettings(epochs=1), threads=1)
    images = load_task(TaskOptions(data="digits", abnormal=("photos",), limit=100))
    sample = {**SAMPLE, "hypothesis": hypothesis, "layer1_channels": channels, "layer1_pooling_kernel": 3}
    trained = run_trial(sample, images, settings)
    assert trained.detector is not None
    write_members({0: trained.detector}, tmp_path / "weights.safetensors")
    [loaded] = load_members([trained.record], tmp_path / "weights.safetensors", channels=1, settings=settings)
    for reading in [WHOLE, *trained.detector.reader.readings()]:
        trained.detector.reader.reading = loaded.reader.reading = reading
        expected, found = (predict(Scorer(each), images.test.images) for each in (trained.detector, loaded))
        assert torch.equal(found.score, expected.score) and torch.equal(found.anomaly_map, expected.anomaly_map)


@pytest.mark.parametrize("number", [1, 4])
def test_weights_of_another_trial_do_not_stand_in(tmp_path: Path, number: int) -> None:
    """1 begins as 12 does."""
    path = tmp_path / "weights.safetensors"
    write_members({12: build_detector(SAMPLE, channels=1)}, path)
    with pytest.raises(AutoADError, match=rf"^the weights {path} cannot be read: .*Missing key") as caught:
        load_members([trial(number, 0.5)], path, channels=1, settings=TrialSettings())
    assert "\n" not in str(caught.value)


def test_a_model_is_not_used_with_features_of_other_weights(tmp_path: Path) -> None:
    settings = TrialSettings(space="features", threads=1)
    images = load_task(TaskOptions(data="digits", abnormal=("photos",), limit=100))
    sample = {**FeatureSpace.known["padim"], "enlargement": 1, "projection": "16"}
    trained = run_trial(sample, images, settings)
    assert trained.detector is not None
    write_members({0: trained.detector}, tmp_path / "weights.safetensors")
    key = "weights efficientnet_lite0"
    other = replace(trained.record, plugins={**trained.record.plugins, key: "efficientnet_lite0 abc"})
    with pytest.raises(AutoADError, match=rf"^The {key} are efficientnet_lite0 \w+. Expected efficientnet_lite0 abc,"):
        load_members([other], tmp_path / "weights.safetensors", channels=1, settings=settings)
    load_members([trained.record], tmp_path / "weights.safetensors", channels=1, settings=settings)


def test_the_result_of_two_models_and_a_known_method(tmp_path: Path) -> None:
    images, members = task(), [(trial(4, 0.9), detector(Blank())), (trial(2, 0.8), detector(Blank()))]
    winner = choose_winner(members, trial(0, 0.3, known="white"), images, REQUEST)
    assert winner.members == members and isinstance(winner.scorer, Ensemble)
    result = finish(tmp_path, winner, (trial(0, 0.3, known="white"), detector(White())), images, REQUEST)
    validation, test = ([1, 2, 3, 4, 5, 3, 8, 9], [1, 2, 3, 9, 5, 6, 4, 8])
    assert result.validation is not None and result.test is not None and result.test_detail == ""
    assert result.validation["auroc"] == auroc(images.validation.labels, validation)
    assert result.test["auroc"] == auroc(images.test.labels, test) == 11 / 15
    assert result.known is not None and result.known.test is not None
    assert result.known.trial.known == "white" and result.known.test["auroc"] == pytest.approx(4 / 15)
    assert result.interval is not None and result.interval[0] < result.validation["auroc"] < result.interval[1]
    assert result.n_validation == (3, 8)
    assert result.calibration is not None and result.calibration.rate is None
    assert result.calibration.normal == (4 / 16,), "of the training image that was held out"
    assert result.calibration.defects == (3 / 16, 8 / 16, 9 / 16), "of validation"
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"], "no pictures of photographs among digits"


def test_a_known_method_that_is_the_winner_itself_is_not_tested_again(tmp_path: Path) -> None:
    model = Blank()
    alone = trial(0, 0.9, known="blank"), detector(model)
    winner = choose_winner([alone], alone[0], task(), REQUEST)
    result = finish(tmp_path, winner, alone, task(), REQUEST)
    assert result.known == KnownResult(alone[0], result.test)
    assert [len(batch) for batch in model.seen] == [1, 8, 8, 1], "for its memory, validation, test, threshold"


def of_rank(n_train: int, rate: float) -> str:
    images = replace(task(), train=torch.rand(n_train, 1, 8, 8))
    try:
        check_false_alarm_rate(rate, images)
    except AutoADError as error:
        return str(error)
    winner = choose_winner([(trial(0, 0.9), detector(Blank()))], None, images, REQUEST)
    calibration = calibration_of(winner, images, replace(REQUEST, false_alarm_rate=rate))
    assert calibration.default().rate == rate
    return f"{len(calibration.normal)} images"


def test_a_rate_that_is_accepted_before_training_is_possible_after_it() -> None:
    assert of_rank(99, 0.05) == "19 images" and of_rank(4000, 0.01) == "400 images", "at most 500"
    assert of_rank(95, 0.05) == "19 images"
    assert of_rank(94, 0.05).startswith(
        "false_alarm_rate is 0.05, which takes scores of 19 normal images; there are 18."
    )
    check_false_alarm_rate(None, task())


def test_scores_for_thresholds_are_those_that_predict_gives(tmp_path: Path) -> None:
    """Of a mean of models, each in its own units, and read by place: but for one image's part in the statistics."""
    images = load_task(TaskOptions(data="digits", abnormal=("photos",), limit=700))
    settings = TrialSettings(training=TrainingSettings(epochs=1), threads=1)
    scorers = []
    for hypothesis in ("density", "centroid"):
        trained = run_trial({**SAMPLE, "hypothesis": hypothesis, "layer1_pooling_kernel": 3}, images, settings).detector
        assert trained is not None
        trained.reader.reading = Reading("distance", by_place=True, pooling="top5")
        scorers.append(Scorer(trained))
    together, held_out = Ensemble(scorers), images.train[4::5]
    expected = predict(together, held_out).score
    found = held_out_scores(together, images, settings)
    assert torch.corrcoef(torch.stack([found, expected]))[0, 1] > 0.95 and found.mean() > expected.mean()
    for scorer in scorers:
        scorer.detector.reader.reading = WHOLE
    assert torch.allclose(held_out_scores(together, images, settings), predict(together, held_out).score, atol=1e-5)


def test_members_that_put_the_mean_behind_the_known_method_are_left_out() -> None:
    """Blank finds the brighter image of a pair anomalous, White the darker one."""
    good, bad = (trial(0, 13.5 / 15), detector(Blank())), (trial(3, 1.5 / 15), detector(White()))
    known = trial(1, 0.8, known="blank")
    assert choose_winner([good, good, bad], known, task(), REQUEST).members == [good, good, bad]
    assert choose_winner([good, good, bad, bad], known, task(), REQUEST).members == [good, good, bad]
    winner = choose_winner([good, bad, bad], known, task(), REQUEST)
    assert winner.members == [good] and isinstance(winner.scorer, Scorer)
    assert torch.equal(winner.validation.score, predict(winner.scorer, task().validation.images).score)
    better = replace(known, reward=0.95)  # no mean is as good as this; neither is the best trial, which stays
    assert choose_winner([good, good, bad], better, task(), REQUEST).members == [good]


def test_of_planted_defects_the_mean_need_not_reach_the_known_method() -> None:
    good, bad = (trial(0, 13.5 / 15), detector(Blank())), (trial(3, 1.5 / 15), detector(White()))
    known = trial(1, 0.95, known="patchcore")
    request = TrialRequest.from_options(data="digits", anomalies="planted")
    assert choose_winner([good, good, bad], known, task(), request).members == [good, good, bad]


def test_known_methods_are_members_whatever_planted_defects_say_of_them() -> None:
    best = [trial(i, 0.9 - i / 1000) for i in range(6)]
    padim, patchcore, pca = trial(6, 0.5, known="padim"), trial(7, 0.4, known="patchcore"), trial(8, 0.6, known="pca")
    failed = trial(9, 0.0, known="contrast_mixture", verdict=Verdict.OVER_TIME)
    records = [*best, padim, patchcore, pca, failed]
    assert members_of(records, 5, with_trusted=True) == [*best[:5], patchcore, padim]
    assert members_of(records, 5) == best[:5]
    assert members_of(records, 1, with_trusted=True) == best[:1], "one model was asked for"
    first = replace(padim, reward=0.91)
    assert members_of([*best, first, patchcore], 5, with_trusted=True) == [first, *best[:4], patchcore]


def test_members_that_cancel_out_are_left_out() -> None:
    members = [(trial(0, 0.9), detector(Blank())), (trial(1, 0.9), detector(White()))]
    assert choose_winner(members, None, task(), REQUEST).members == members[:1]
