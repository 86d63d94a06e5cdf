"""Workers as jobs of a cluster that is not there: four commands stand in for Slurm, submitit is real."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import pytest
from cli.run_command import command
from cli.small_experiment import history, write

from autoad_nni.data import load_task
from autoad_nni.engines.workers.worker import _load
from autoad_nni.errors import AutoADError
from autoad_nni.runs.start import RunStart
from autoad_nni.trial.request import TrialRequest

COMMANDS = {
    # Starts a job at once, in a session of its own, and keeps its script.
    "sbatch": """
id=$(($(ls "$JOBS" | grep -c '[.]sh$') + 1))
cp "$1" "$JOBS/$id.sh"
SLURM_JOB_ID=$id SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0 SLURM_PROCID=0 SLURM_LOCALID=0 \\
    setsid bash "$1" > "$JOBS/$id.log" 2>&1 &
echo $! > "$JOBS/$id.pid"
echo "Submitted batch job $id"
""",
    "srun": """
while [[ $1 == --* ]]; do case $1 in --output | --error) shift 2 ;; *) shift ;; esac; done
exec "$@"
""",
    "sacct": """
echo "JobID|State|NodeList"
for id in "$@"; do
    [[ -f $JOBS/$id.pid ]] || continue
    if kill -0 "$(cat "$JOBS/$id.pid")" 2> /dev/null; then echo "$id|RUNNING|here"; else echo "$id|FAILED|here"; fi
done
""",
    "scancel": """
touch "$JOBS/$1.cancelled"
kill -KILL -- -"$(cat "$JOBS/$1.pid")"
""",
}


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    pytest.importorskip("submitit")
    programs, folder = tmp_path / "bin", tmp_path / "jobs"
    programs.mkdir()
    folder.mkdir()
    for name, body in COMMANDS.items():
        (programs / name).write_text(f"#!/bin/bash\nJOBS={shlex.quote(str(folder))}{body}")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    return folder


@pytest.mark.slow
def test_a_search_whose_workers_are_jobs(jobs: Path, tmp_path: Path) -> None:
    options = ["--cluster", "slurm", "--cluster-option", "slurm_partition=short", "--cluster-option", "timeout_min=30"]
    file = write(tmp_path / "x.yml", maxTrialNumber=4)
    ended = command("search", file, "--output", tmp_path / "run", "--workers", "2", *options)
    assert (ended.code, ended.err) == (0, "")
    assert sorted(line["number"] for line in history(tmp_path / "run")) == [0, 1, 2, 3]
    scripts = [path.read_text() for path in jobs.glob("*.sh")]
    assert len(scripts) == 2 and all("#SBATCH --partition=short" in script for script in scripts)
    assert all("#SBATCH --time=30" in script for script in scripts)
    assert len(list(jobs.glob("*.cancelled"))) == 2
    assert not (tmp_path / "run" / "state" / "workers").exists()


def test_without_slurm_or_submitit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["search", write(tmp_path / "x.yml"), "--output", tmp_path / "run", "--workers", "1", "--cluster", "slurm"]
    ended = command(*words)
    assert ended.code == 2 and ended.err.count("\n") == 1
    assert ended.err.startswith("autoad-nni: --cluster slurm cannot be used: Could not detect ")
    monkeypatch.setitem(sys.modules, "submitit", None)
    ended = command(*words)
    assert ended.code == 2 and "Run pip install 'autoad-nni[slurm]'." in ended.err
    assert not (tmp_path / "run").exists()


def test_a_machine_with_other_images_is_refused(tmp_path: Path) -> None:
    request = TrialRequest.from_options(data="digits", abnormal="photos", limit=50)
    start = RunStart.of(request, load_task(request.task), {})
    start.write(tmp_path)
    assert _load(tmp_path)[1] == request
    path = tmp_path / "started.json"
    path.write_text(path.read_text().replace(start.images, "0" * 16))
    with pytest.raises(AutoADError, match=f"have the digest {start.images}. Expected 0000000000000000, as where"):
        _load(tmp_path)
    path.unlink()
    with pytest.raises(AutoADError, match="holds no search"):
        _load(tmp_path)
