from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autoad_nni.errors import AutoADError
from autoad_nni.searches.experiment_file import Experiment, read_experiment
from autoad_nni.searches.trial_command import command_path

ADVISOR = "autoad_nni.bridge.StrategyAdvisor"
SPACE = {"distance": {"_type": "choice", "_value": ["l1", "l2"]}}
CONTENT: dict[str, Any] = {
    "trialCommand": "autoad-nni trial --data digits --abnormal photos",
    "maxTrialNumber": 4,
    "trainingService": {"platform": "local"},
    "tuner": {"className": ADVISOR, "codeDirectory": ".", "classArgs": {"strategy": "random", "seed": 3}},
    "searchSpace": SPACE,
}
DEFAULTS = {
    "strategy": "autoad",
    "strategy_args": {},
    "seed": 0,
    "space": "autoencoder",
    "known": False,
    "halving": None,
}
Reader = Callable[..., Experiment]


@pytest.fixture
def read(tmp_path: Path) -> Reader:
    """Reads an experiment file with some keys changed; None takes the key out."""

    def read_changed(**changes: Any) -> Experiment:
        content = {key: value for key, value in {**CONTENT, **changes}.items() if value is not None}
        path = tmp_path / "x.yml"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        return read_experiment(path)

    return read_changed


def fault(read: Callable[[], object], path: Path) -> str:
    """The one-line message behind the path."""
    with pytest.raises(AutoADError) as caught:
        read()
    message = str(caught.value)
    assert "\n" not in message and message.endswith((".", "}}."))
    return message.removeprefix(f"{path}: ").removeprefix(str(path))


def test_a_whole_file(read: Reader, tmp_path: Path) -> None:
    file = read()
    assert file.name == str(tmp_path / "x.yml") and file.folder == tmp_path
    assert file.search_space == SPACE
    assert file.trial_arguments == ["--data", "digits", "--abnormal", "photos"]
    assert file.trial_folder == tmp_path
    assert (file.max_trials, file.max_seconds) == (4, None)
    assert file.advisor_arguments == {**DEFAULTS, "strategy": "random", "seed": 3}
    assert file.tuner_name is None


@pytest.mark.parametrize("path", sorted(Path("experiments").glob("*.yml")), ids=str)
def test_the_files_that_we_ship(path: Path) -> None:
    file = read_experiment(path)
    assert file.advisor_arguments is not None and file.max_trials is not None and file.max_trials >= 12
    lines = path.read_text().splitlines()
    for key in ("trialCommand", "maxTrialNumber"):
        (line,) = [line for line in lines if line.startswith(f"{key}: ")]
        assert yaml.safe_load(line)[key] == yaml.safe_load(path.read_text())[key], "on one line"


def test_class_args_have_defaults(read: Reader) -> None:
    file = read(tuner={"className": ADVISOR, "codeDirectory": "."})
    assert file.advisor_arguments == DEFAULTS


@pytest.mark.parametrize(
    ("tuner", "name"),
    [
        ({"name": "TPE", "classArgs": {"optimize_mode": "maximize"}}, "TPE"),
        ({"className": "my.T", "codeDirectory": "."}, "my.T"),
    ],
)
def test_another_tuner_is_read_for_nnictl(read: Reader, tuner: dict[str, Any], name: str) -> None:
    file = read(tuner=tuner)
    assert file.advisor_arguments is None and file.tuner_name == name


def test_the_trial_folder_is_relative_to_the_file(read: Reader, tmp_path: Path) -> None:
    assert read(trialCodeDirectory="../code").trial_folder == tmp_path / "../code"
    assert read(trialCodeDirectory="/abs").trial_folder == Path("/abs")


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [(None, None), (90, 90), (1.5, 1.5), ("90s", 90), ("30m", 1800), ("2h", 7200), ("1.5h", 5400), ("1d", 86400),
     ("2H", 7200), (" 2 h", 7200)],
)  # fmt: skip
def test_durations(read: Reader, duration: Any, seconds: float | None) -> None:
    assert read(maxExperimentDuration=duration).max_seconds == seconds


@pytest.mark.parametrize(
    "duration", ["soon", "2 weeks", "-1h", "0s", 0, -5, True, float("nan"), float("inf"), [1], "h"]
)
def test_a_duration_that_is_none(read: Reader, tmp_path: Path, duration: Any) -> None:
    message = fault(lambda: read(maxExperimentDuration=duration), tmp_path / "x.yml")
    assert message == (
        f"maxExperimentDuration is {duration!r}. Expected seconds above 0, or a number with s, m, h or d. "
        "Write for instance 2h."
    )


@pytest.mark.parametrize("number", [0, -1, 1.5, "4", True, [4]])
def test_a_number_of_trials_that_is_none(read: Reader, tmp_path: Path, number: Any) -> None:
    message = fault(lambda: read(maxTrialNumber=number), tmp_path / "x.yml")
    assert message == f"maxTrialNumber is {number!r}. Expected a whole number of 1 or more. Correct it."


def test_no_number_of_trials_is_no_limit(read: Reader) -> None:
    assert read(maxTrialNumber=None).max_trials is None


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("autoad-nni trial --data digits", ["--data", "digits"]),
        ("autoad-nni   trial", []),
        ("python -m autoad_nni trial --data x", ["--data", "x"]),
        (f"{sys.executable} -m autoad_nni trial --data x", ["--data", "x"]),
        ("autoad-nni trial --data folder --root 'my images/a b'", ["--data", "folder", "--root", "my images/a b"]),
        ('autoad-nni trial --root "trial run"', ["--root", "trial run"]),
    ],
)
def test_trial_commands(read: Reader, command: str, words: list[str]) -> None:
    assert read(trialCommand=command).trial_arguments == words


def test_a_trial_command_means_what_it_means_to_the_shell(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/a b")
    monkeypatch.setenv("IMAGES", "/images")
    for written, words in (
        ("--root $IMAGES/x", ["--root", "/images/x"]),
        ('--root "${HOME}/x"', ["--root", "/home/a b/x"]),
        ("--root '$IMAGES/x'", ["--root", "$IMAGES/x"]),
        ("--root ~/x", ["--root", "/home/a b/x"]),
        ("--root x~", ["--root", "x~"]),
    ):
        assert read(trialCommand=f"autoad-nni trial {written}").trial_arguments == words
    file = read(trialCommand="OMP_NUM_THREADS=1 WHERE=$IMAGES/x autoad-nni trial --data digits")
    assert file.trial_environment == {"OMP_NUM_THREADS": "1", "WHERE": "/images/x"}
    assert file.trial_arguments == ["--data", "digits"]
    assert read().trial_environment == {}


@pytest.mark.parametrize(
    ("command", "start", "advice"),
    [
        (None, "trialCommand is None. Expected a command.", "Write trialCommand: autoad-nni trial --data NAME"),
        ("  ", "trialCommand is '  '. Expected a command.", "Write trialCommand:"),
        (["autoad-nni", "trial"], "trialCommand is ['autoad-nni', 'trial']. Expected a command.", "Write"),
        (7, "trialCommand is 7. Expected a command.", "Write"),
        ("autoad-nni trial --root 'a b", "trialCommand cannot be split into words: No closing", "Close the quotes."),
        ("no-such-program trial --data digits", "trialCommand starts with 'no-such-program', which is not found on",
         "Activate the environment in which autoad-nni is installed."),
        ("OMP_NUM_THREADS=1", "trialCommand starts with '', which is not found on", "Activate the environment"),
        ("python train.py", "trialCommand is 'python train.py'. Expected 'autoad-nni trial' with its options.",
         "Another program can run under nnictl, not here."),
        ("autoad-nni search x.yml", "trialCommand is 'autoad-nni search x.yml'. Expected 'autoad-nni", "not here"),
    ],
)  # fmt: skip
def test_trial_commands_that_cannot_run(read: Reader, tmp_path: Path, command: Any, start: str, advice: str) -> None:
    message = fault(lambda: read(trialCommand=command), tmp_path / "x.yml")
    assert message.startswith(start) and advice in message


def test_the_command_is_looked_for_beside_this_python_first(read: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A virtual environment that is not activated works."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert command_path() == f"{Path(sys.executable).parent}{os.pathsep}/nowhere"
    assert read().trial_arguments


@pytest.mark.parametrize("tuner", [None, "TPE", {}, {"classArgs": {}}, {"className": ""}])
def test_no_tuner(read: Reader, tmp_path: Path, tuner: Any) -> None:
    message = fault(lambda: read(tuner=tuner), tmp_path / "x.yml")
    assert message.startswith(
        f"tuner is {'missing' if tuner is None else repr(tuner)}. Expected a mapping with className or name."
    )


def test_nnictl_needs_a_code_directory(read: Reader, tmp_path: Path) -> None:
    message = fault(lambda: read(tuner={"className": ADVISOR}), tmp_path / "x.yml")
    assert message == "tuner has no codeDirectory. Expected one: nnictl stops without it. Add codeDirectory: . to it."


@pytest.mark.parametrize("arguments", ["autoad", ["autoad"], {"strategie": "autoad"}, {"batch_size": 5}])
def test_class_args_that_are_none(read: Reader, tmp_path: Path, arguments: Any) -> None:
    tuner = {**CONTENT["tuner"], "classArgs": arguments}
    message = fault(lambda: read(tuner=tuner), tmp_path / "x.yml")
    assert message == (
        f"tuner.classArgs is {arguments!r}. Expected keys out of strategy, strategy_args, seed, space, known, halving. "
        "Correct it."
    )


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("strategy", 5, "a name, for instance autoad"),
        ("strategy", ["autoad"], "a name, for instance autoad"),
        ("strategy_args", 5, "a mapping, for instance {batch_size: 5}"),
        ("strategy_args", None, "a mapping, for instance {batch_size: 5}"),
        ("strategy_args", ["seed"], "a mapping, for instance {batch_size: 5}"),
        ("seed", None, "a whole number from 0 to 2^32 - 1"),
        ("seed", -1, "a whole number from 0 to 2^32 - 1"),
        ("seed", 1.0, "a whole number from 0 to 2^32 - 1"),
        ("seed", True, "a whole number from 0 to 2^32 - 1"),
        ("seed", 2**32, "a whole number from 0 to 2^32 - 1"),
        ("space", {"autoencoder": 3}, "a name, for instance autoencoder"),
        ("known", "yes", "true or false"),
        ("known", 1, "true or false"),
    ],
)
def test_class_args_of_the_wrong_type(read: Reader, tmp_path: Path, key: str, value: Any, expected: str) -> None:
    tuner = {**CONTENT["tuner"], "classArgs": {key: value}}
    message = fault(lambda: read(tuner=tuner), tmp_path / "x.yml")
    assert message == f"tuner.classArgs.{key} is {value!r}. Expected {expected}. Correct it."


@pytest.mark.parametrize(("space", "shown"), [(None, "null"), ({}, "{}"), ([1], "[1]"), ("x", '"x"'), (0, "0")])
def test_no_search_space(read: Reader, tmp_path: Path, space: Any, shown: str) -> None:
    message = fault(lambda: read(searchSpace=space), tmp_path / "x.yml")
    assert message == (
        f"searchSpace is {shown}. Expected a mapping of labels to choices, or {{space: NAME}}. "
        "'autoad-nni space' writes one."
    )


@pytest.mark.parametrize("write", [json.dumps, yaml.safe_dump])
def test_a_search_space_file_is_relative_to_the_experiment_file(
    read: Reader, tmp_path: Path, write: Callable[[Any], str]
) -> None:
    (tmp_path / "spaces").mkdir()
    (tmp_path / "spaces" / "space.json").write_text(write(SPACE))
    assert read(searchSpace=None, searchSpaceFile="spaces/space.json").search_space == SPACE
    assert read(searchSpace=None, searchSpaceFile=str(tmp_path / "spaces/space.json")).search_space == SPACE


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (None, "there is no searchSpaceFile"),
        (b"{", " is not YAML: while parsing"),
        (b"\xff\xfe\x00\x01", " is not YAML: "),
        (b"[1]", "searchSpace is [1]. Expected a mapping of labels to choices,"),
        (b"", "searchSpace is null."),
    ],
)
def test_search_space_files_that_hold_none(read: Reader, tmp_path: Path, content: bytes | None, start: str) -> None:
    if content is not None:
        (tmp_path / "space.json").write_bytes(content)
    message = fault(lambda: read(searchSpace=None, searchSpaceFile="space.json"), tmp_path / "x.yml")
    assert message.removeprefix(str(tmp_path / "space.json")).startswith(start)


@pytest.mark.parametrize(
    ("content", "start"),
    [
        (b"tuner: [", " is not YAML: while parsing a flow node"),
        (b"a: 1\n b: 2\n", " is not YAML: mapping values are not allowed"),
        (b"a: \tb: c: d", " is not YAML: "),
        (b"a: 1\nb: 2\na: 3\n", ' is not YAML: the key a stands twice in "<unicode string>", line 3, column 1'),
        (b"a: {b: 2, b: 2}\n", " is not YAML: the key b stands twice"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", " is not YAML: "),
        (b"\x00\x01\x02", " is not YAML: unacceptable character"),
        (b"!!python/object/apply:os.system [ls]", " is not YAML: could not determine a constructor"),
        (b"when: 2024-13-45", " is not YAML: month must be in 1..12. Expected YAML or JSON. Correct the file."),
        (b"- a\n- b\n", " holds a list. Expected a mapping with the keys of an NNI experiment. Start from a file in"),
        (b"just text", " holds a str. Expected a mapping"),
        (b"", " is empty. Expected a mapping"),
        (b"3", " holds a int. Expected a mapping"),
    ],
)
def test_files_that_are_no_experiment(tmp_path: Path, content: bytes, start: str) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    assert fault(lambda: read_experiment(path), path).startswith(start)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.yml"
    path.write_text("a: 1")

    def refuse(*arguments: object, **keywords: object) -> str:  # root may read everything
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_text", refuse)
    message = fault(lambda: read_experiment(path), path)
    assert message == " cannot be read: Permission denied. Expected YAML or JSON. Give read access to the file."


@pytest.mark.parametrize("name", ["none.yml", "."])
def test_there_is_no_such_file(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        AutoADError, match=r" does not exist\. Expected an experiment file \(YAML\)\. Check the path\.$"
    ):
        read_experiment(tmp_path / name)
