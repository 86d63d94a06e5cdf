"""A search from Python: of a folder, an experiment file, or a mapping with the keys of one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from autoad_nni.engines.in_process import InProcessSearch
from autoad_nni.engines.isolation import isolated, quiet_nni
from autoad_nni.engines.workers.search import WorkerSearch
from autoad_nni.errors import AutoADError
from autoad_nni.runs.run import Run
from autoad_nni.runs.start import RunStart
from autoad_nni.searches.experiment_file import Experiment, make_experiment, read_experiment
from autoad_nni.searches.folder_experiment import folder_experiment
from autoad_nni.searches.trial_options import parse_request
from autoad_nni.trial.request import TrialRequest

__all__ = ["open_experiment", "open_search", "search"]


def search(
    source: Path | str | Mapping[str, Any],
    *,
    output: Path | str,
    trials: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    resume: bool = False,
    false_alarm_rate: float | None = None,
    max_ms: float | None = None,
    competitors: Sequence[str] | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    cluster_options: Mapping[str, Any] | None = None,
    on_trial: Callable[[int, float | None], None] | None = None,
    **options: Any,
) -> Run:
    """Search the best anomaly-detection model for a set of images, in this process or in workers.

    Args:
        source: A folder of images (``good/`` and folders of defects, or the layout of MVTec-AD), an experiment file, or
            a mapping with the keys of an experiment file.
        output: Folder for the results; new or empty.
        trials: How many models to train; default: the experiment's ``maxTrialNumber``; for a folder 30, or with
            ``minutes`` as many as fit.
        minutes: Time after which no trial goes on; the winner, its test and its pictures come after it. Whichever of
            the two limits is reached first ends the search. Default: the experiment's ``maxExperimentDuration``.
        seed: Of the strategy; default: the experiment's.
        resume: Go on with the search in ``output``; ``trials`` and ``minutes`` are those of all its sessions together.
        false_alarm_rate: Of the winner's threshold; default: the experiment's, else 0.01, or the least that the good
            images allow (docs/thresholds.md).
        max_ms: Refuse models that take more milliseconds of processor time for one image, and keep the winner to it;
            default: the experiment's, else no limit (docs/limits.md).
        competitors: Names of methods that are trained and tested beside the winner, for instance
            ``["feature_dictionary"]``; default: the experiment's, else none (docs/results.md).
        workers: How many trials run at a time, each in a process of its own; default: one, in this process.
        cluster: ``slurm``: workers are jobs of a cluster (docs/workers.md); ``local``: the same on this machine.
        cluster_options: Parameters of submitit for a job, for instance ``timeout_min`` or ``slurm_partition``.
        on_trial: Called after each trial with the number of trials that have ended and the best reward so far.
        options: For a folder, any option of ``autoad-nni trial`` by name, for instance ``image_size=128``.

    Random states, the number of threads, log levels and the environment are the same before and after.

    Returns:
        The run: its best model and every trial. If no trial ended well, ``run.best`` is None.

    Raises:
        AutoADError: For every fault in the experiment, the images or the folder, before anything is trained.

    Example:
        >>> import tempfile
        >>> import autoad_nni as ad
        >>> experiment = {
        ...     "trialCommand": "autoad-nni trial --data digits --abnormal photos --epochs 1 --limit 200 --threads 1",
        ...     "maxTrialNumber": 2, "trialConcurrency": 1, "trainingService": {"platform": "local"},
        ...     "tuner": {"className": "autoad_nni.bridge.StrategyAdvisor", "codeDirectory": ".",
        ...               "classArgs": {"strategy": "random", "seed": 0}},
        ...     "searchSpace": {label: {"_type": "choice", "_value": values} for label, values in {
        ...         "hypothesis": ["density", "cluster"], "distance": ["l1", "l2"], "layer1_channels": [3, 8],
        ...         "layer1_kernel": [3], "layer1_pooling": ["max"], "layer1_pooling_kernel": [3],
        ...         "layer1_normalization": ["batch"], "layer1_activation": ["elu"]}.items()}}
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     run = ad.search(experiment, output=f"{folder}/run")
        ...     len(run.trials), sorted(run.best.test)
        (2, ['aupr_in', 'aupr_out', 'auroc'])
    """
    with quiet_nni():
        began = Path(output) if resume and isinstance(output, str | Path) else None
        experiment = open_experiment(source, trials=trials, minutes=minutes, seed=seed, began=began, **options)
        with isolated(experiment.trial_environment):
            started = open_search(
                experiment,
                output=output,
                trials=trials,
                minutes=minutes,
                seed=seed,
                resume=resume,
                false_alarm_rate=false_alarm_rate,
                max_ms=max_ms,
                competitors=competitors,
                workers=workers,
                cluster=cluster,
                cluster_options=cluster_options,
            )
            listener = on_trial or (lambda ended, best: None)
            started.run(lambda ended, best, replayed: listener(ended, best))
    return Run(Path(output).expanduser())


def open_experiment(
    source: Path | str | Mapping[str, Any],
    *,
    trials: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    began: Path | None = None,
    **options: Any,
) -> Experiment:
    """Read what to search, or write it for a folder; other arguments and errors as of `search`.

    Args:
        source: A folder of images, an experiment file or a mapping.
        trials: For a folder; as the other two.
        minutes: For a folder.
        seed: For a folder.
        began: The run folder of a search that is to go on: what was chosen for a folder then holds.
        options: For a folder, any option of a trial.
    """
    _check_limits(trials, minutes, seed)
    if not isinstance(source, str | Path | Mapping):
        raise AutoADError(
            f"source is {source!r}. Expected a folder of images, an experiment file or a mapping. Give one of these."
        )
    if not isinstance(source, Mapping) and os.path.isdir(Path(source).expanduser()):
        options = {**_chosen_before(began), **options}
        return folder_experiment(Path(source).expanduser(), trials=trials, minutes=minutes, seed=seed or 0, **options)
    if options:
        raise AutoADError(
            f"[[{next(iter(options))}]] is given beside an experiment. Expected the options of a trial in its "
            "trialCommand. Write it there."
        )
    if isinstance(source, Mapping):
        return make_experiment(source, name="the experiment", folder=Path())
    if not os.path.exists(Path(source).expanduser()):
        raise AutoADError(
            f"{source} does not exist. Expected a folder of images, or an experiment file (YAML). Check the path."
        )
    return read_experiment(Path(source).expanduser())


def open_search(
    experiment: Experiment,
    *,
    output: Path | str,
    trials: int | None = None,
    minutes: float | None = None,
    seed: int | None = None,
    resume: bool = False,
    false_alarm_rate: float | None = None,
    max_ms: float | None = None,
    competitors: Sequence[str] | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    cluster_options: Mapping[str, Any] | None = None,
) -> InProcessSearch:
    """Prepare a search, ready to run; arguments and errors as of `search`."""
    request = parse_request(experiment.trial_arguments, experiment.trial_folder)
    asked = {"false_alarm_rate": false_alarm_rate, "max_ms": max_ms, "competitors": competitors}
    given = {name: value for name, value in asked.items() if value is not None}
    request = TrialRequest.from_options(**{**request.options(), **given})
    if not isinstance(output, str | Path):
        raise AutoADError(f"[[output]] is {output!r}. Expected the path of a folder. Give for instance 'runs/first'.")
    output = Path(output).expanduser()
    _check_output(output, request)
    _check_limits(trials, minutes, seed)
    _check_workers(workers, cluster, cluster_options)
    seconds = None if minutes is None else minutes * 60
    limits: dict[str, Any] = {"max_trials": trials, "max_seconds": seconds, "seed": seed, "resume": resume}
    if workers is None:
        return InProcessSearch(experiment, request, output, **limits)
    return WorkerSearch(
        experiment, request, output, n_workers=workers, cluster=cluster, cluster_options=cluster_options, **limits
    )


def _chosen_before(folder: Path | None) -> dict[str, Any]:
    """The options with which the search in a folder began, other minutes notwithstanding; the images are as given."""
    start = None if folder is None else RunStart.read(folder.expanduser())
    return {} if start is None else {name: value for name, value in start.request.options().items() if name != "root"}


def _check_limits(trials: int | None, minutes: float | None, seed: int | None) -> None:
    if trials is not None and (type(trials) is not int or trials < 1):
        raise AutoADError(f"[[trials]] is {trials!r}. Expected a whole number of 1 or more. Give [[trials=30]].")
    if seed is not None and (type(seed) is not int or not 0 <= seed < 2**32):
        raise AutoADError(f"[[seed]] is {seed!r}. Expected a whole number from 0 to 2^32 - 1. Give [[seed=0]].")
    if minutes is not None and (type(minutes) not in (int, float) or not 0 < minutes < math.inf):
        raise AutoADError(f"[[minutes]] is {minutes!r}. Expected a number above 0. Give [[minutes=10]].")


def _check_workers(workers: int | None, cluster: str | None, options: Mapping[str, Any] | None) -> None:
    if workers is not None and (type(workers) is not int or workers < 1):
        raise AutoADError(f"[[workers]] is {workers!r}. Expected a whole number of 1 or more. Give [[workers=2]].")
    if cluster is not None and workers is None:
        raise AutoADError(
            f"[[cluster={cluster}]] is given without a number of workers. Expected both. Give [[workers=4]], for "
            "instance."
        )
    if options and cluster is None:
        raise AutoADError(
            "Options of a cluster are given without one. Expected both. Give [[cluster=slurm]], or leave them out."
        )


def _check_output(output: Path, request: TrialRequest) -> None:
    """Refuse a folder whose pictures the next search would read as images."""
    for root in filter(None, (request.task.root_of(name) for name in request.data_sets)):
        images = root / (request.task.category or "")
        if output.resolve().is_relative_to(images.resolve()):
            raise AutoADError(
                f"[[output]] {output} lies among the images of {images}, where the pictures of this search would be "
                "taken for images. Expected a folder outside. Give another [[output]]."
            )
