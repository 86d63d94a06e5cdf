from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from feature_samples import sample_of
from run_command import Ended, command, run
from small_experiment import SAMPLE, TRIAL, tuner, write

from autoad_nni import __version__
from autoad_nni.models.readings import Reading

WORDS = TRIAL.split()[2:]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "sample.json"
    path.write_text(json.dumps(SAMPLE))
    return path


def metrics_of(ended: Ended) -> dict[str, Any]:
    assert ended.code == 0, ended
    metrics: dict[str, Any] = json.loads(ended.out)
    assert metrics.pop("seconds") >= 0
    assert (metrics.pop("ms") is None) == (metrics["verdict"] not in ("ok", "over_ms"))
    return metrics


@pytest.fixture(scope="module")
def plain(sample: Path) -> dict[str, Any]:
    return metrics_of(command("trial", *WORDS, "--sample", sample))


def test_the_metrics_of_a_trial(plain: dict[str, Any]) -> None:
    parts = {"sample", "verdict", "reward", "validation", "macs", "parameters", "plugins", "reading", "detail", "known"}
    assert set(plain) == parts | {"fingerprint"} and set(plain["validation"]) == {"auroc", "aupr_in", "aupr_out"}
    assert len(plain["fingerprint"]) == 8
    assert plain["sample"] == SAMPLE and plain["detail"] == plain["known"] == "" and plain["reading"] != ""
    assert plain["plugins"]["hypothesis reconstruction"] == f"autoad-nni {__version__}"
    assert plain["verdict"] == "ok" and plain["reward"] == plain["validation"]["auroc"]
    # 3 x 3 kernels from 1 to 3 channels and back, on 8 x 8 pixels, and a bias each.
    assert (plain["macs"], plain["parameters"]) == (64 * 54, 54 + 3 + 1)


def test_the_figures_of_each_epoch_come_on_stderr(sample: Path) -> None:
    ended = command("trial", *WORDS, "--epochs", 3, "--sample", sample)
    epochs = [json.loads(line) for line in ended.err.splitlines()]
    assert len(epochs) == 3
    assert all(set(epoch) == {"default", "loss", "auroc", "aupr_in", "aupr_out"} for epoch in epochs)
    assert epochs[-1]["auroc"] == metrics_of(ended)["validation"]["auroc"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]


@pytest.mark.slow
def test_a_new_process_gives_the_same_metrics(sample: Path, plain: dict[str, Any]) -> None:
    assert metrics_of(run("trial", *WORDS, "--sample", sample)) == plain


def test_another_seed_gives_other_metrics(sample: Path, plain: dict[str, Any]) -> None:
    assert metrics_of(command("trial", *WORDS, "--seed", 1, "--sample", sample)) != plain


def test_the_test_set_is_read_on_demand_only(sample: Path, plain: dict[str, Any]) -> None:
    tested = metrics_of(command("trial", *WORDS, "--sample", sample, "--test"))
    assert set(tested.pop("test")) == {"auroc", "aupr_in", "aupr_out"}
    assert tested == plain and "test" not in plain


@pytest.mark.parametrize("reward", ["auroc", "aupr_in", "aupr_out"])
def test_the_reward_is_the_metric_that_was_asked_for(sample: Path, plain: dict[str, Any], reward: str) -> None:
    metrics = metrics_of(command("trial", *WORDS, "--reward", reward, "--sample", sample))
    assert metrics["reward"] == plain["validation"][reward]
    assert {**metrics, "reward": plain["reward"]} == plain


def test_a_model_that_costs_too_much_is_refused_before_training(sample: Path) -> None:
    ended = command("trial", *WORDS, "--max-macs", 64 * 54 - 1, "--sample", sample, "--test")
    assert ended.err == ""
    metrics = metrics_of(ended)
    assert len(metrics.pop("plugins")) == 5
    assert metrics == {
        "sample": SAMPLE,
        "reward": 0.0,
        "validation": {},
        "macs": 64 * 54,
        "parameters": 58,
        "verdict": "over_macs",
        "reading": "",
        "known": "",
        "fingerprint": "",
        "detail": "3,456 multiply-adds for one image, the limit is 3,455.",
    }
    assert metrics_of(command("trial", *WORDS, "--max-macs", 64 * 54, "--sample", sample))["verdict"] == "ok"


def test_a_recorded_sample_runs_with_the_recorded_plugins_only(
    sample: Path, plain: dict[str, Any], tmp_path: Path
) -> None:
    recorded = {"sample": json.loads(sample.read_text()), "plugins": dict(plain["plugins"])}
    file = tmp_path / "best.json"
    file.write_text(json.dumps(recorded))
    assert metrics_of(command("trial", *WORDS, "--sample", file)) == plain
    recorded["plugins"]["hypothesis reconstruction"] = "autoad-nni 0.0.1"
    file.write_text(json.dumps(recorded))
    ended = command("trial", *WORDS, "--sample", file)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert (
        "The hypothesis 'reconstruction' is of autoad-nni" in ended.err and "pip install autoad-nni==0.0.1" in ended.err
    )


def test_a_trial_that_takes_too_long_is_stopped(sample: Path) -> None:
    metrics = metrics_of(command("trial", *WORDS, "--max-seconds", 1e-6, "--sample", sample))
    assert (metrics["reward"], metrics["verdict"]) == (0.0, "over_time")


def test_the_paper_preset_trains_differently(sample: Path, plain: dict[str, Any]) -> None:
    assert metrics_of(command("trial", *WORDS, "--preset", "paper", "--sample", sample)) != plain


def test_images_are_resized(sample: Path) -> None:
    assert metrics_of(command("trial", *WORDS, "--image-size", 16, "--sample", sample))["macs"] == 256 * 54


def test_a_sample_may_lie_in_a_best_json(sample: Path, plain: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "best.json").write_text(json.dumps({"trial": {"number": 3, "reward": 0.5, "sample": SAMPLE}}))
    assert metrics_of(command("trial", *WORDS, "--sample", tmp_path / "best.json")) == plain


def test_a_sample_drawn_by_space_runs(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text(command("space", "--layers", 1, "--random", "--seed", 3).out)
    ended = command("trial", *WORDS, "--max-macs", 10_000_000, "--sample", tmp_path / "sample.json")
    assert metrics_of(ended)["verdict"] in ("ok", "constant_score", "non_finite", "over_macs")


def test_nothing_is_left_in_the_working_directory(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("trial", *WORDS, "--sample", sample).code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_sample_of_another_search_space_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "sample.json").write_text(json.dumps({"hypothesis": "memory", "distance": "l2", "extractor": "pixels"}))
    ended = command("trial", *WORDS, "--sample", tmp_path / "sample.json")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "Unknown label 'extractor'. Expected:" in ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--patch", "8"], "--patch is given for a model of features, whose locations are its windows. Expected whole"),
        (["--space", "autoencoder"], "Unknown label 'extractor'. Expected: hypothesis, distance and layer1_"),
    ],
)
def test_a_sample_of_features_where_it_cannot_run(tmp_path: Path, words: list[str], message: str) -> None:
    file = tmp_path / "sample.json"
    file.write_text(json.dumps(sample_of()))
    ended = command("trial", *WORDS, "--space", "features", *words, "--sample", file)
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"autoad-nni: {message}") and ended.err.count("\n") == 1
    with_it = write(
        tmp_path / "x.yml",
        trialCommand=" ".join([TRIAL, "--space features", *words]),
        tuner=tuner(space="features", strategy="random"),
        searchSpace={label: {"_type": "choice", "_value": [value]} for label, value in sample_of().items()},
    )
    ended = command("search", with_it, "--output", tmp_path / "run")
    assert ended.code == 2 and ended.err.count("\n") == 1 and not (tmp_path / "run").exists()


def test_a_trial_of_features_says_its_reading(tmp_path: Path) -> None:
    file = tmp_path / "sample.json"
    file.write_text(json.dumps(sample_of("padim", stages="4")))
    metrics = metrics_of(command("trial", *WORDS, "--space", "features", "--sample", file, "--test"))
    assert metrics["verdict"] == "ok" and Reading.parse(metrics["reading"]).name == metrics["reading"]
    assert metrics["plugins"]["feature extractor pixels"] == f"autoad-nni {__version__}"
    assert set(metrics["test"]) == {"auroc", "aupr_in", "aupr_out"}
