"""A search whose trials run in workers: all else is as in one process."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from nni.nas.execution import ExecutionEngine

from autoad_nni.engines.hanging import hangs_after
from autoad_nni.engines.in_process import InProcessSearch, TimeIsUp
from autoad_nni.engines.workers.engine import WorkerEngine
from autoad_nni.engines.workers.messages import AtRung, Order, Outcome
from autoad_nni.engines.workers.pool import Lost, Worker, beating, begin_session
from autoad_nni.engines.workers.starting import Jobs, Processes, Starter
from autoad_nni.errors import AutoADError
from autoad_nni.searches.spaces import SampleSpace
from autoad_nni.storing import StorageError
from autoad_nni.verdicts import Verdict

__all__ = ["WorkerSearch"]


class WorkerSearch(InProcessSearch):
    """One search of an experiment, whose trials run in workers.

    The strategy sees results in the order in which trials end. With one worker it sees what it sees in one process;
    with several, samples differ from run to run, as the strategy proposes the next ones knowing other results. A
    resumed search replays its journal, whatever the number of workers.

    Args:
        experiment: What to search; this and what follows are those of `InProcessSearch`.
        n_workers: How many trials run at a time.
        cluster: ``slurm`` or ``local`` for jobs by submitit; None for processes of this machine.
        cluster_options: submitit's parameters.
        more: Keyword arguments of `InProcessSearch`.
    """

    def __init__(
        self,
        *arguments: Any,
        n_workers: int,
        cluster: str | None = None,
        cluster_options: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        self._n_workers = n_workers
        self._cluster = cluster
        self._cluster_options = cluster_options or {}
        if cluster is not None:  # before the run folder is made
            with TemporaryDirectory() as folder:
                self._jobs(cluster, Path(folder), threads=None)
        super().__init__(*arguments, **more)
        self._last_end = self._began
        self._search.journal.clock = self._since_last_end
        self._cut: dict[int, bool] = {}

    def _since_last_end(self) -> float:
        before, self._last_end = self._last_end, time.monotonic()
        return self._last_end - before

    @contextlib.contextmanager
    def _engine(self, end_hung: bool) -> Iterator[ExecutionEngine]:
        # A worker that hangs ends, also where this process must not.
        limit = hangs_after(self.request.settings.max_seconds)
        session, starter = begin_session(self.folder.path, self._starter, limit)
        workers: list[Worker] = []
        engine = WorkerEngine(workers, self, self.seconds_left, TimeIsUp())
        with beating(session):
            try:
                for number in range(1, self._n_workers + 1):
                    workers.append(Worker(f"worker-{number}", starter, session))
                yield engine
            finally:
                engine.shutdown()

    def _starter(self, folder: Path) -> Starter:
        threads = self.request.settings.threads
        if self._cluster is None:
            return Processes(self._n_workers, threads)
        return self._jobs(self._cluster, folder, threads=threads)

    def _jobs(self, cluster: str, folder: Path, *, threads: int | None) -> Jobs:
        return Jobs(cluster, self._cluster_options, folder, n_workers=self._n_workers, threads=threads)

    def order(self, model: SampleSpace) -> Order:
        """Return what a worker is to run, now."""
        assert model.sample is not None and model.trial_id is not None
        request, self._cut[model.trial_id] = self._within_time()
        halving = self._search.halving
        shares = () if halving is None else halving.shares
        return Order(model.trial_id, model.sample, request.settings.max_seconds, shares)

    def goes_on(self, model: SampleSpace, at: AtRung) -> bool:
        """Return whether a trial goes on."""
        assert self._search.halving is not None and model.trial_id is not None
        return self._search.halving.goes_on(model.trial_id, at.rung, at.reward, known=bool(model.known))

    def ended(self, model: SampleSpace, outcome: Outcome, worker: Worker) -> bool | None:
        """Take how a trial ended; return whether it succeeded, or None if the end of the search stopped it.

        Raises:
            StorageError: If the worker had no room for what came of it.
        """
        record = outcome.record
        if record is None:
            self.stopped(model)
            raise StorageError(outcome.unstored)
        if (record.number, dict(record.sample)) != (model.trial_id, model.sample):
            raise AutoADError(
                f"a worker ran trial {record.number} as {dict(record.sample)}. Expected trial {model.trial_id}, "
                f"{model.sample}. Its files were changed by hand: add [[resume=True]]."
            )
        if self._cut[record.number] and self._is_over(record):
            return None
        if record.ok and self._keeps(model, record):
            # Before the journal knows of the trial: a kill here repeats it.
            self.folder.take_weights(record.number, worker.weights)
        self._middleware.take(record)
        return record.verdict is not Verdict.CRASHED

    def lost(self, model: SampleSpace, lost: Lost) -> None:
        """Submit a trial again whose worker ended, or let it count as crashed."""
        hung = f", and hung, at {lost.where}" if lost.where else ""
        self.say(f"the worker of trial {model.trial_id} ended ({lost.how}{hung}); another one takes its place.")
        self._middleware.run_again(model)

    def stopped(self, model: SampleSpace) -> None:
        """Note that a trial is stopped on purpose: it runs again on resume."""
        assert model.trial_id is not None
        with contextlib.suppress(StorageError):
            self._search.journal.stopped(model.trial_id)
