"""What a search in this process leaves and says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from run_command import command
from safetensors.torch import load_file
from small_experiment import HARDER, SPACE, TRIAL, best_of, history, members, tuner, write

import autoad_nni as ad
from autoad_nni import __version__
from autoad_nni.data import load_task
from autoad_nni.engines.in_process import InProcessSearch
from autoad_nni.engines.search import open_search
from autoad_nni.models.build import build_detector
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.runs.records import read_history
from autoad_nni.runs.winner import distinct, members_of
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial import run as trial_run
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.verdicts import RejectedTrial, Verdict

TRIALS = 8
STATE = ("iterations.jsonl", "journal.jsonl", "lock")


def test_the_history_has_a_line_per_trial(finished: Path) -> None:
    lines = history(finished)
    assert [line["number"] for line in lines] == list(range(TRIALS))
    for line in lines:
        assert set(line["sample"]) == set(SPACE)
        assert all(line["sample"][label] in SPACE[label] for label in SPACE)
        assert line["plugins"][f"distance {line['sample']['distance']}"] == f"autoad-nni {__version__}"
        assert set(line["validation"]) == {"auroc", "aupr_in", "aupr_out"}
        assert line["verdict"] == "ok" and line["reward"] == line["validation"]["auroc"]
        assert line["macs"] > 0 and line["parameters"] > 0 and line["detail"] == ""
    assert len({json.dumps(line["sample"]) for line in lines}) == TRIALS
    assert len({line["reward"] for line in lines}) > 2


def test_the_best_is_the_best_of_the_history(finished: Path) -> None:
    best, lines = best_of(finished), history(finished)
    winner = max(lines, key=lambda line: line["reward"])
    assert {name: value for name, value in best["trial"].items() if name not in ("seconds", "ms")} == winner
    assert set(best["test"]) == {"auroc", "aupr_in", "aupr_out"} and best["test_detail"] == ""
    assert best["test"] not in (best["validation"], best["trial"]["validation"])
    assert best["image_shape"] == [1, 8, 8]
    assert best["request"] == parse_request(HARDER.split()[2:]).options()
    search = best["search"]
    assert (search["experiment"], search["strategy"], search["seed"]) == ("small.yml", "autoad", 0)
    assert (search["summary"]["trials"], search["summary"]["verdicts"]) == (TRIALS, {"ok": TRIALS})
    assert search["summary"]["choices"]["hypothesis"] == {
        "reconstruction": {"trials": TRIALS, "ok": TRIALS, "best": winner["reward"]}
    }


def test_the_members_are_trials_of_the_history_the_best_first(finished: Path) -> None:
    best = best_of(finished)
    chosen = [member.to_json() for member in members_of(read_history(finished), 5)]
    assert best["members"] == chosen and best["trial"] == chosen[0]
    assert 1 < len(chosen) < 5 and chosen[0]["reward"] < 1, "or the tests below say little"
    assert best["validation"] not in [member["validation"] for member in chosen]
    low, high = best["interval"]
    assert low < best["validation"]["auroc"] < high and best["n_validation"] == [4, 84]


def test_the_winner_is_what_its_members_predict_on_average(finished: Path, file: Path) -> None:
    """Loaded, with the figures that the search had; and put together by hand."""
    best, model = best_of(finished), ad.load(finished)
    task = load_task(parse_request(read_experiment(file).trial_arguments).task)
    assert evaluate(model.scorer, task.validation) == best["validation"]
    assert evaluate(model.scorer, task.test) == best["test"]
    weights = load_file(finished / "best.safetensors")
    assert {name.partition("/")[0] for name in weights} == set(map(str, members(finished)))
    scores, maps = [], []
    for member in best["members"]:
        prefix = f"{member['number']}/"
        own = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        kept = load_file(finished / "state" / f"trial-{member['number']:04d}.safetensors")
        assert own.keys() == kept.keys() and all(torch.equal(own[name], kept[name]) for name in own)
        detector = build_detector(member["sample"], channels=task.channels)
        detector.load_state_dict(own)
        assert evaluate(Scorer(detector), task.validation) == member["validation"]
        prediction = predict(Scorer(detector), task.test.images)
        scores.append((prediction.score - own["normal_score"][0]) / own["normal_score"][1])
        maps.append((prediction.anomaly_map[:, 0] - own["normal_map"][0]) / own["normal_map"][1])
    together = model.predict(task.test.images)
    assert torch.allclose(together.score, sum(scores) / len(scores), rtol=1e-5, atol=1e-6)
    assert torch.allclose(together.anomaly_map, sum(maps) / len(maps), rtol=1e-5, atol=1e-6)


def test_the_winner_scores_the_same_in_a_new_process(finished: Path) -> None:
    code = (
        "import sys, json, torch, autoad_nni as ad; images = torch.linspace(0, 1, 320).view(5, 1, 8, 8); "
        f"print(json.dumps(ad.load({str(finished)!r}).predict(images).score.tolist()), 'nni' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    scores = ad.load(finished).predict(torch.linspace(0, 1, 320).view(5, 1, 8, 8)).score.tolist()
    assert done.stdout == f"{json.dumps(scores)} False\n"


def test_nothing_else_lies_in_the_run_folder(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "history.jsonl", "front.json", "best.json", "best.safetensors", "scores.json", "report.html", "started.json",
        "state", "tensorboard",
    }  # fmt: skip
    weights = [f"trial-{record.number:04d}.safetensors" for record in distinct(read_history(finished))[:5]]
    assert {path.name for path in (finished / "state").iterdir()} == {*weights, *STATE}


@pytest.mark.parametrize("most", [1, 2])
def test_the_winner_may_be_of_one_or_two(finished: Path, tmp_path: Path, most: int) -> None:
    """The same search otherwise."""
    run = tmp_path / "run"
    file = write(tmp_path / "small.yml", trialCommand=f"{HARDER} --members {most}")
    ended = command("search", file, "--output", run)
    assert (ended.code, ended.err) == (0, "") and history(run) == history(finished)
    best = best_of(run)
    numbers = members(finished)[:most]
    assert members(run) == numbers
    assert {path.name for path in (run / "state").iterdir()} == {
        *STATE, *(f"trial-{number:04d}.safetensors" for number in numbers)
    }  # fmt: skip
    assert {name.partition("/")[0] for name in load_file(run / "best.safetensors")} == set(map(str, numbers))
    figure = f"auroc {best['validation']['auroc']:.4f} on validation (95 % interval "
    assert f"best: {'trial' if most == 1 else 'mean of trials'} {', '.join(map(str, numbers))}, {figure}" in ended.out
    task = load_task(parse_request(HARDER.split()[2:]).task)
    scorer = ad.load(run).scorer
    assert isinstance(scorer, Scorer) == (most == 1)
    assert evaluate(scorer, task.validation) == best["validation"] and evaluate(scorer, task.test) == best["test"]
    assert (best["validation"] == best["trial"]["validation"]) or most == 2


def test_one_good_trial_is_a_winner_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", trialCommand=HARDER, maxTrialNumber=1)
    ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 0 and "best: trial 0, auroc " in ended.out
    best = best_of(tmp_path / "run")
    assert best["members"] == [best["trial"]] and best["validation"] == best["trial"]["validation"]
    assert isinstance(ad.load(tmp_path / "run").scorer, Scorer)


def test_the_journal_has_every_submission_and_every_end(finished: Path) -> None:
    events = [json.loads(line) for line in (finished / "state" / "journal.jsonl").read_text().splitlines()]
    assert Counter(event["event"] for event in events) == {"search": 1, "submit": TRIALS, "end": TRIALS}
    assert events[0]["strategy"] == "autoad"
    assert events[2]["record"]["number"] == 0 and events[2]["record"]["sample"] == events[1]["sample"]


def scalars_of(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_the_search_and_each_trial(finished: Path) -> None:
    rewards = [line["reward"] for line in history(finished)]
    search = scalars_of(finished / "tensorboard" / "search")
    assert {tag for tag in search if "/" not in tag} == {"reward", "best"}
    assert search["reward"] == [(i, pytest.approx(reward)) for i, reward in enumerate(rewards, 1)]
    assert search["best"] == [(i, pytest.approx(max(rewards[:i]))) for i in range(1, TRIALS + 1)]
    for trial, reward in enumerate(rewards):
        scalars = scalars_of(finished / "tensorboard" / f"trial-{trial:04d}")
        metrics = {f"validation/{name}" for name in ("auroc", "aupr_in", "aupr_out")}
        assert set(scalars) == {"loss/train", "reward", "ms", *metrics}
        assert scalars["reward"] == [(0, pytest.approx(reward))]
        assert scalars["validation/auroc"] == [(1, pytest.approx(reward))]


def test_what_the_strategy_tells_is_kept_and_shown(finished: Path, run: Path, file: Path) -> None:
    kept = [json.loads(line) for line in (finished / "state" / "iterations.jsonl").read_text().splitlines()]
    assert [row["iteration"] for row in kept] == [1]  # batches of five: of eight trials, one
    assert {"reward", "best", "baseline", "entropy", "intrinsic", "kl_prior", "kl_sharpening"} <= set(kept[0])
    rewards = {json.dumps(line["sample"]): line["reward"] for line in history(finished)[:5]}
    remembered = {json.dumps(entry["sample"]): entry["reward"] for entry in kept[0]["buffer"]}
    assert remembered == rewards and len(remembered) == 5  # the buffer has room for ten
    search = scalars_of(finished / "tensorboard" / "search")
    for name in ("reward", "buffer_min", "buffer_mean", "buffer_max"):
        assert [value for _, value in search[f"strategy/{name}"]] == pytest.approx([row[name] for row in kept])
    assert "strategy/buffer" not in search
    # A replayed iteration is not written again.
    before = (run / "state" / "iterations.jsonl").read_bytes()
    assert command("search", file, "--output", run, "--resume").code == 0
    assert (run / "state" / "iterations.jsonl").read_bytes() == before


def test_the_screen_shows_progress_the_best_model_and_where_it_is(finished: Path) -> None:
    out, best = (finished.parent / "stdout.txt").read_text(), best_of(finished)
    lines = re.findall(rf"^trial (\d)/{TRIALS}  best auroc (\S+)  0:00:\d\d", out, re.MULTILINE)
    assert [int(number) for number, _ in lines] == list(range(1, TRIALS + 1))
    assert lines[-1][1] == f"{best['trial']['reward']:.4f}"
    assert f"{TRIALS} trials: {TRIALS} ok" in out
    low, high = best["interval"]
    assert (
        f"best: mean of trials {', '.join(map(str, members(finished)))}, auroc {best['validation']['auroc']:.4f} on "
        f"validation (95 % interval {low:.3f} to {high:.3f}, 4 anomalous of 84 images)\n"
    ) in out
    assert f"\ntrial {best['trial']['number']}:\n  hypothesis: {best['trial']['sample']['hypothesis']}\n" in out
    assert f"auroc {best['test']['auroc']:.4f}" in out
    for label, value in best["trial"]["sample"].items():
        assert f"  {label}: {value}" in out
    assert out.endswith(f"written to {finished}/best.json\nreport: {finished}/report.html\n"), (
        "no pictures of digits among photographs"
    )


@pytest.mark.parametrize("number", [0, TRIALS - 1])
def test_a_trial_of_a_search_is_repeated_without_its_options(finished: Path, number: int) -> None:
    ended = command("trial", "--run", finished, "--number", number)
    assert ended.code == 0, ended
    repeated = json.loads(ended.out)
    del repeated["seconds"], repeated["ms"]
    assert {"number": number, **repeated} == history(finished)[number]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--number", TRIALS], f"has no trial {TRIALS}. Expected one of its trials: 0 to {TRIALS - 1}."),
        ([], "Expected --run and --number together."),
        (["--number", 0, "--epochs", 3], "--run comes with --epochs. Expected the sample and the options of that"),
        (["--number", 0, "--sample", "x.json"], "--run comes with --sample."),
    ],
)
def test_a_trial_of_a_search_that_cannot_be_repeated(finished: Path, words: list[Any], message: str) -> None:
    ended = command("trial", "--run", finished, *words)
    assert ended.code == 2 and message in ended.err and ended.err.count("\n") == 1


def test_a_folder_without_a_search_has_no_trial(tmp_path: Path) -> None:
    ended = command("trial", "--run", tmp_path, "--number", 0)
    assert ended.code == 2 and f"{tmp_path} holds no search." in ended.err and "Correct --run." in ended.err


def test_the_same_seed_gives_the_same_trials_and_another_one_others(finished: Path, file: Path, tmp_path: Path) -> None:
    assert command("search", file, "--output", tmp_path / "same", "--seed", 0, "--trials", 5).code == 0
    assert command("search", file, "--output", tmp_path / "other", "--seed", 1, "--trials", 5).code == 0
    assert history(tmp_path / "same") == history(finished)[:5]
    samples = [line["sample"] for line in history(tmp_path / "other")]
    assert samples != [line["sample"] for line in history(finished)[:5]]
    assert best_of(tmp_path / "other")["search"]["seed"] == 1


def test_a_search_in_which_no_trial_ends_well_says_so(tmp_path: Path) -> None:
    file = write(tmp_path / "x.yml", trialCommand=f"{TRIAL} --max-macs 1", maxTrialNumber=3)
    ended = command("search", file, "--output", tmp_path / "run")
    assert ended.code == 1
    assert "3 trials: 3 over_macs" in ended.out
    assert ended.err == (
        "autoad-nni: no trial ended well of 3 trials: 3 over_macs. Expected one with the verdict ok. Add --resume "
        "with a larger --trials, or raise --max-macs in trialCommand and start anew. "
        f"{tmp_path}/run/history.jsonl says why for each.\n"
    )
    assert not (tmp_path / "run" / "best.json").exists()
    for line in history(tmp_path / "run"):
        assert line["verdict"] == "over_macs" and line["reward"] == 0.0
        assert "the limit is 1." in line["detail"]
    written = (tmp_path / "run" / "history.jsonl").read_bytes()
    (tmp_path / "run" / "history.jsonl").unlink()
    assert command("search", file, "--output", tmp_path / "run", "--resume").code == 1
    assert (tmp_path / "run" / "history.jsonl").read_bytes() == written, "the journal keeps all of it"


def test_a_winner_that_fails_on_the_test_images_keeps_its_place(
    run: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As images of another kind can make it: validation was in order."""
    test = load_task(parse_request(HARDER.split()[2:]).task).test
    real = trial_run.figures_of

    def fail_on_test(prediction: Any, images: Any, *more: Any) -> dict[str, float]:
        if torch.equal(images.images, test.images):
            raise RejectedTrial(Verdict.NON_FINITE, "1 of 40 scores are infinite or undefined.")
        return real(prediction, images, *more)

    monkeypatch.setattr(trial_run, "figures_of", fail_on_test)
    (run / "best.json").unlink()  # or the test set would not be read again
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "")
    verdict = "non_finite: 1 of 40 scores are infinite or undefined."
    assert f"on test (read once, for this model): no figures, {verdict}" in ended.out
    best = best_of(run)
    assert best["test"] is None and best["test_detail"] == verdict and best["validation"] is not None
    again = command("search", file, "--output", run, "--resume")
    assert f"on test (read before, not again): no figures, {verdict}" in again.out and best_of(run) == best
    by_hand = command("trial", *HARDER.split()[2:], "--sample", run / "best.json", "--test")
    assert by_hand.code == 0 and json.loads(by_hand.out)["test_detail"] == verdict


def test_a_duration_ends_a_search_without_a_number_of_trials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, run = write(tmp_path / "x.yml", maxTrialNumber=None, maxExperimentDuration="100s"), tmp_path / "run"
    with monkeypatch.context() as clock:
        clock.setattr(InProcessSearch, "seconds_left", lambda it: 50.0 - 25 * it.folder.summary.verdicts.total())
        assert command("search", file, "--output", run).code == 0
    ended = history(run)
    assert len(ended) == 2
    write(file, maxTrialNumber=None, maxExperimentDuration="0.001s")
    again = command("search", file, "--output", run, "--resume")
    assert again.code == 0 and "2 trials ended before, in 0.0 minutes, of 1.67e-05: none is run" in again.out
    assert history(run) == ended
    search = open_search(read_experiment(file), output=run, minutes=1, resume=True)
    with closing(search.folder):
        spent = sum(record.seconds for record in read_history(run))
        assert search.seconds_before == spent > 0, "the time of earlier sessions counts"
        assert search.seconds_left() < 60 - spent


@pytest.mark.parametrize("strategy", ["random", "grid_search", "regularized_evolution"])
def test_the_other_strategies_run_the_same_file(tmp_path: Path, strategy: str) -> None:
    file = write(tmp_path / "x.yml", tuner=tuner(strategy=strategy), maxTrialNumber=3)
    assert command("search", file, "--output", tmp_path / "run").code == 0
    assert len(history(tmp_path / "run")) == 3


def test_a_relative_root_means_the_same_as_under_nnictl(tmp_path: Path) -> None:
    """Under nnictl trials start in the folder of the experiment file, wherever nnictl was called."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for kind, low, count in (("good", 0, 30), ("defect", 128, 6)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(low, low + 128, (8, 8), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / kind / f"{i}.png")
    file = write(
        tmp_path / "own.yml",
        trialCommand="autoad-nni trial --data folder --root images --epochs 1 --threads 1",
        maxTrialNumber=2,
    )
    assert not Path("images").exists()
    ended = command("search", file, "--output", tmp_path / "run")
    assert (ended.code, ended.err) == (0, "")
    assert len(history(tmp_path / "run")) == 2
    # Other images, other split: rewards that do not compare.
    (tmp_path / "images" / "good" / "7.png").unlink()
    ended = command("search", file, "--output", tmp_path / "run", "--trials", "3", "--resume")
    assert ended.code == 2 and "began with images with the digest" in ended.err and len(ended.err.splitlines()) == 1
    assert "the images have changed." in ended.err
    assert len(history(tmp_path / "run")) == 2
