from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import torch
from run_command import command
from safetensors.torch import load_file, save_file
from small_experiment import SPACE, TRIAL, history, space, tuner, write

import autoad_nni as ad
from autoad_nni import __version__
from autoad_nni.data import load_task
from autoad_nni.engines import in_process
from autoad_nni.engines.in_process import InProcessSearch
from autoad_nni.engines.search import open_search
from autoad_nni.models.build import build_detector
from autoad_nni.models.scoring import Scorer, predict
from autoad_nni.runs.folder import RunFolder
from autoad_nni.runs.one_trial import train_again
from autoad_nni.runs.records import read_history
from autoad_nni.runs.start import RunStart
from autoad_nni.runs.winner import distinct, members_of
from autoad_nni.searches.experiment_file import read_experiment
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial import run as trial_run
from autoad_nni.trial.evaluate import evaluate
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import RejectedTrial, Verdict

TRIALS = 8
# Of this split the winner is the mean of a few trials, none of which is perfect.
HARDER = TRIAL.replace("--limit 200", "--limit 400") + " --seed 1"

STATE = ("iterations.jsonl", "journal.jsonl", "lock")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("experiment") / "small.yml", trialCommand=HARDER)


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of a search that nobody disturbed; tests only read it."""
    run = tmp_path_factory.mktemp("runs") / "deep" / "finished"
    ended = command("search", file, "--output", run)
    assert (ended.code, ended.err) == (0, "")
    (run.parent / "stdout.txt").write_text(ended.out)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A copy of that folder to go on with."""
    return Path(shutil.copytree(finished, tmp_path / "run"))


def best_of(run: Path) -> dict[str, Any]:
    best: dict[str, Any] = json.loads((run / "best.json").read_text())
    return best


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


def members(run: Path) -> list[int]:
    """The numbers of the trials whose models make the winner, the best first."""
    return [member["number"] for member in best_of(run)["members"]]


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


def test_a_search_that_is_there_is_not_touched_without_resume(run: Path, file: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    ended = command("search", file, "--output", run)
    assert ended.code == 2
    assert ended.err == (
        f"autoad-nni: --output {run} holds a search already. Expected a new folder. "
        "Add --resume to go on with that search, or give another --output.\n"
    )
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("words", [["--resume"], []])
def test_a_folder_in_which_a_search_runs_is_not_touched(run: Path, file: Path, words: list[str]) -> None:
    journal = run / "state" / "journal.jsonl"
    with journal.open("ab") as other:
        other.write(b'{"event": "sub')  # what the other search is writing
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    start = RunStart.read(run)
    assert start is not None
    with closing(RunFolder(run, start, resume=True)):
        ended = command("search", file, "--output", run, *words)
        assert ended.code == 2 and ended.err.count("\n") == 1
        assert (f"another search runs in {run}." if words else "holds a search already") in ended.err
        assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    assert command("search", file, "--output", run, "--resume").code == 0


def test_resuming_a_finished_search_changes_nothing(run: Path, file: Path) -> None:
    before = {name: (run / name).read_bytes() for name in ("history.jsonl", "best.json", "best.safetensors")}
    assert command("search", file, "--output", run, "--resume").code == 0
    assert {name: (run / name).read_bytes() for name in before} == before


def test_the_test_set_is_read_once_in_the_life_of_a_search(
    run: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_again(*arguments: Any) -> Any:
        raise AssertionError("the test set is read again")

    before = best_of(run)
    monkeypatch.setattr("autoad_nni.runs.winner.evaluate_on_test", read_again)
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 0 and "on test (read before, not again): auroc" in ended.out
    assert best_of(run) == before


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


def test_more_trials_go_on_from_a_finished_search(finished: Path, file: Path, tmp_path: Path) -> None:
    """Also when the smaller budget ended within a batch of the strategy."""
    run = tmp_path / "run"
    assert command("search", file, "--output", run, "--trials", 4).code == 0
    assert history(run) == history(finished)[:4]
    assert best_of(run)["search"]["summary"]["trials"] == 4
    assert command("search", file, "--output", run, "--trials", TRIALS, "--resume").code == 0
    assert history(run) == history(finished)
    iterations = [(folder / "state" / "iterations.jsonl").read_text() for folder in (run, finished)]
    assert iterations[0] == iterations[1]
    assert best_of(run)["test"] == best_of(finished)["test"]
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()


def test_fewer_trials_than_there_are_forget_none(run: Path, finished: Path, file: Path) -> None:
    ended = command("search", file, "--output", run, "--trials", 1, "--resume")
    assert f"{TRIALS} trials ended before, --trials is 1: none is run\n" in ended.out
    assert ended.code == 0 and f"{TRIALS} trials: {TRIALS} ok" in ended.out
    assert "/1 " not in ended.out, "no trial is shown anew, and none as one of one"
    assert history(run) == history(finished) and best_of(run) == best_of(finished)


def test_the_same_seed_gives_the_same_trials_and_another_one_others(finished: Path, file: Path, tmp_path: Path) -> None:
    assert command("search", file, "--output", tmp_path / "same", "--seed", 0, "--trials", 5).code == 0
    assert command("search", file, "--output", tmp_path / "other", "--seed", 1, "--trials", 5).code == 0
    assert history(tmp_path / "same") == history(finished)[:5]
    samples = [line["sample"] for line in history(tmp_path / "other")]
    assert samples != [line["sample"] for line in history(finished)[:5]]
    assert best_of(tmp_path / "other")["search"]["seed"] == 1


def test_resume_in_a_folder_that_is_not_there_begins(file: Path, tmp_path: Path) -> None:
    """So the same command can be repeated whatever happened to the first one."""
    ended = command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 1)
    assert ended.code == 0 and f"no trial has ended in {tmp_path}/run yet: the search begins\n" in ended.out
    assert len(history(tmp_path / "run")) == 1
    ended = command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 2)
    assert ended.code == 0 and "1 trial ended before, going on to 2\n" in ended.out


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"tuner": tuner(seed=1)}, "seed = 0, this search has 1"),
        ({"tuner": tuner(strategy="random")}, 'strategy = "autoad", this search has "random"'),
        ({"searchSpace": space(distance=["l2", "l1"])}, "search_space, distance = "),
        ({"trialCommand": HARDER.replace("--seed 1", "--seed 2")}, "began with --seed 1, now it is --seed 2"),
        ({"trialCommand": f"{HARDER} --members 1"}, "began with --members its default, now it is --members 1"),
    ],
)
def test_resuming_another_search_is_refused(run: Path, tmp_path: Path, change: dict[str, Any], named: str) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    other = write(tmp_path / "other.yml", **{"trialCommand": HARDER, **change})
    ended = command("search", other, "--output", run, "--resume")
    assert ended.code == 2 and named in ended.err and ended.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("plugin", ["distance l2", "data set photos"])
def test_a_search_goes_on_with_the_plugins_it_began_with(run: Path, file: Path, plugin: str) -> None:
    start = run / "started.json"
    ours = f'"{plugin}": "autoad-nni {__version__}"'
    start.write_text(start.read_text().replace(ours, f'"{plugin}": "third-party 0.9"', 1))
    noun, _, name = plugin.rpartition(" ")
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert f"The {noun} '{name}' is of autoad-nni" in ended.err and "Expected third-party 0.9" in ended.err


def test_a_kill_between_the_journal_and_the_rest_loses_nothing(run: Path, finished: Path, file: Path) -> None:
    """The journal knows of the last trial; history and winner do not yet."""
    lines = (run / "history.jsonl").read_bytes().splitlines(keepends=True)
    (run / "history.jsonl").write_bytes(b"".join(lines[:-1]))
    (run / "best.json").unlink()
    (run / "best.safetensors").unlink()
    assert command("search", file, "--output", run, "--resume").code == 0
    assert (run / "history.jsonl").read_bytes() == (finished / "history.jsonl").read_bytes(), "times included"
    measured_anew = {"ms": None}  # of the winner
    assert {**best_of(run), **measured_anew} == {**best_of(finished), **measured_anew}
    assert (run / "best.safetensors").read_bytes() == (finished / "best.safetensors").read_bytes()
    assert [path.name for path in (run / "state").iterdir()] == [path.name for path in (finished / "state").iterdir()]


def test_a_kill_before_the_first_line_does_not_block_the_folder(file: Path, tmp_path: Path) -> None:
    (tmp_path / "run" / "state").mkdir(parents=True)
    assert command("search", file, "--output", tmp_path / "run", "--resume", "--trials", 1).code == 0


def test_a_journal_changed_by_hand_is_one_line(run: Path, file: Path) -> None:
    journal = run / "state" / "journal.jsonl"
    journal.write_text(journal.read_text().replace('{"event": "end"', '{"event": "bend"', 1))
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and "line 3 is" in ended.err and ended.err.count("\n") == 1


def test_a_record_that_the_strategy_contradicts_is_kept_and_the_search_goes_on(run: Path, file: Path) -> None:
    journal = run / "state" / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    flipped = {"l1": "l2", "l2": "l1"}[lines[1]["sample"]["distance"]]
    for line in lines:
        if line.get("id") == 0:
            line.get("record", line)["sample"]["distance"] = flipped
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = history(run)
    ended = command("search", file, "--output", run, "--resume", "--trials", len(before) + 2)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.count("now proposes another sample for trial 0 than it did") == 1
    assert history(run)[: len(before)] == before and len(history(run)) == len(before) + 2


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


def damage_file(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        content[-5] ^= 4
        path.write_bytes(content)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Fills with the numbers of the trials that are trained again."""
    numbers: list[int] = []

    def noting(record: TrialRecord, *arguments: Any) -> Any:
        numbers.append(record.number)
        return train_again(record, *arguments)

    monkeypatch.setattr(in_process, "train_again", noting)
    return numbers


def test_resuming_a_search_that_has_ended_reads_no_test_images_and_trains_nothing(
    run: Path, finished: Path, file: Path, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("finish", "run_in_folder", "choose_winner"):
        monkeypatch.setattr(in_process, name, None)
    for path in (run / "state").glob("trial-*"):
        path.unlink()
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "") and "read before, not again" in ended.out and trained == []
    for name in ("best.json", "best.safetensors", "history.jsonl"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()


@pytest.mark.parametrize("damage", ["gone", "cut", "empty", "a flipped bit"])
def test_one_model_whose_weights_are_lost_is_trained_again(
    run: Path, finished: Path, file: Path, trained: list[int], damage: str
) -> None:
    member = members(run)[-1]
    damage_file(run / "state" / f"trial-{member:04d}.safetensors", damage)
    damage_file(run / "best.safetensors", damage)
    ended = command("search", file, "--output", run, "--resume")
    assert (ended.code, ended.err) == (0, "") and "read before, not again" in ended.out
    assert ended.out.count(f"the weights of trial {member} were lost or damaged: it was trained again, and sco") == 1
    assert "scores as before." in ended.out and trained == [member]
    for name in ("best.json", "best.safetensors", "history.jsonl"):
        assert (run / name).read_bytes() == (finished / name).read_bytes()
    assert (
        Path(run, "state", f"trial-{member:04d}.safetensors").read_bytes()
        == (finished / "state" / f"trial-{member:04d}.safetensors").read_bytes()
    )


def test_lost_weights_stop_no_search_that_goes_on(run: Path, file: Path, trained: list[int]) -> None:
    for path in (run / "state").glob("trial-*"):
        damage_file(path, "a flipped bit")
    n_before = len(history(run))
    ended = command("search", file, "--output", run, "--resume", "--trials", n_before + 2)
    assert (ended.code, ended.err) == (0, "") and len(history(run)) == n_before + 2
    assert trained and len(trained) == len(set(trained)) and set(trained) <= set(range(n_before))
    assert best_of(run)["test"] is not None
    ad.load(run)


def test_lost_weights_that_cannot_be_made_anew_are_one_line(
    run: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in [*(run / "state").glob("trial-*"), run / "best.safetensors"]:
        path.unlink()

    def fails(*arguments: Any) -> Any:
        raise RuntimeError("boom,\nin two lines")

    monkeypatch.setattr(in_process, "train_again", fails)
    ended = command("search", file, "--output", run, "--resume")
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert "cannot be trained again: RuntimeError: boom, in two lines. Expected" in ended.err


@pytest.mark.parametrize("place", [0.001, 0.3, 0.6, 0.99])
def test_a_flipped_bit_in_the_winner_is_refused(run: Path, place: float) -> None:
    weights = run / "best.safetensors"
    content = bytearray(weights.read_bytes())
    content[int(place * len(content))] ^= 1
    weights.write_bytes(content)
    with pytest.raises(ad.AutoADError, match=r"^the weights .* cannot be read: it .*(checksum|damaged)"):
        ad.load(run)


@pytest.mark.parametrize("damage", ["gone", "cut", "without a member", "of another model"])
def test_weights_of_the_winner_that_are_damaged_are_named_and_put_together_again(
    run: Path, finished: Path, file: Path, damage: str
) -> None:
    weights = run / "best.safetensors"
    whole = load_file(weights)
    if damage == "gone":
        weights.unlink()
    elif damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-1])
    elif damage == "without a member":
        last = f"{members(run)[-1]}/"
        save_file({name: value for name, value in whole.items() if not name.startswith(last)}, weights)
    else:
        save_file({name: value.repeat(2) if value.ndim == 1 else value for name, value in whole.items()}, weights)
    with pytest.raises(ad.AutoADError) as caught:
        ad.load(run)
    assert str(caught.value).startswith(f"the weights {weights} cannot be read: ") and "\n" not in str(caught.value)
    assert command("search", file, "--output", run, "--resume").code == 0
    assert weights.read_bytes() == (finished / "best.safetensors").read_bytes() and best_of(run) == best_of(finished)


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
