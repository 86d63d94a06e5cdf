"""Run any registered strategy under ``nnictl``, as an NNI advisor.

Nothing heavy is imported here at the top: NNI's manager gives the advisor ten seconds to connect, and importing
torch can take longer on a busy machine.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nni.runtime.command_channel.websocket import WsChannelClient
from nni.runtime.msg_dispatcher_base import MsgDispatcherBase
from nni.runtime.tuner_command_channel import CommandType

from autoad_nni.engines.nnictl.manager import limit_trials, replace_lost_trials, trial_error
from autoad_nni.engines.nnictl.plain_json import receive_command
from autoad_nni.errors import AutoADError
from autoad_nni.runs.scalars import ScalarWriter
from autoad_nni.searches.experiment_file import advisor_arguments
from autoad_nni.trial.plugins import plugins_of_trial
from autoad_nni.trial.record import TrialRecord
from autoad_nni.verdicts import Verdict

if TYPE_CHECKING:
    from autoad_nni.engines.nnictl.queue_engine import QueueEngine
    from autoad_nni.searches.replay import JournalMiddleware
    from autoad_nni.searches.spaces import SampleSpace

__all__ = ["StrategyAdvisor"]

_logger = logging.getLogger("nni.autoad")  # below "nni": what NNI writes to the dispatcher's log

_FAILURES_BEFORE_GIVING_UP = 3


class _ManagerGone(ConnectionError):
    """NNI's manager is gone."""


class _OneConnection(WsChannelClient):  # type: ignore[misc]
    """NNI's channel, but a lost connection stays lost.

    NNI's own goes on calling for ten seconds. Whoever answers by then is the server of the same experiment, resumed
    after a kill, and it drops the tuner that it started itself for the caller: no trial would ever start again.

    Args:
        channel: A connected channel.
    """

    def __init__(self, channel: WsChannelClient) -> None:
        super().__init__(channel._url)
        self._conn = channel._conn

    def send(self, command: Any) -> None:
        """Send a command."""
        if not self._closing:
            self._once(lambda connection: connection.send(command))

    def _receive_command(self) -> Any:
        return self._once(receive_command)

    def _once(self, talk: Callable[[Any], Any]) -> Any:
        try:
            return talk(self._conn)
        except Exception as error:  # websockets and sockets each have their own
            self._close_conn("lost")
            raise _ManagerGone from error


class StrategyAdvisor(MsgDispatcherBase):  # type: ignore[misc]
    """Let a NAS strategy propose the trials of an nnictl experiment.

    In the experiment file::

        tuner:
          className: autoad_nni.bridge.StrategyAdvisor
          classArgs: {strategy: autoad, seed: 0, strategy_args: {}}

    The search is written to a journal in NNI's checkpoint folder before anything else happens, so that ``nnictl
    resume`` goes on with the same strategy state after a stop or a kill. A strategy that fails turns the experiment
    to ERROR with its traceback, one that finishes turns it to DONE. NNI's messages are read as plain JSON: NNI's own
    decoder would import classes and unpickle what it finds in them.

    Args:
        strategy: Name in the registry of strategies.
        strategy_args: Keyword arguments of the strategy.
        seed: Seed of the strategy.
        space: Name in the registry of search spaces.
        known: Whether the known methods of the space are tried first.
        halving: Whether trials that are behind are stopped early, or ``{"reduction": 4, "rungs": 1}``.
    """

    def __init__(
        self,
        strategy: str = "autoad",
        strategy_args: Mapping[str, Any] | None = None,
        seed: int = 0,
        space: str = "autoencoder",
        known: bool = False,
        halving: bool | Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()  # connects
        self._channel._channel = _OneConnection(self._channel._channel)
        self.stopping: bool = False
        self._choice: dict[str, Any] = {
            "strategy": strategy,
            "strategy_args": {} if strategy_args is None else strategy_args,
            "seed": seed,
            "space": space,
            "known": known,
            "halving": halving,
        }
        self._engine: QueueEngine | None = None
        self._middleware: JournalMiddleware | None = None
        self._thread: threading.Thread | None = None
        self._search: Any = None
        self._running_ids: set[int] = set()
        self._knows_running = False
        self._finished: list[tuple[dict[str, Any], Any]] = []
        self._trial_ids: dict[str, int] = {}
        self._stopped: dict[int, TrialRecord] = {}
        self._n_succeeded = 0
        self._n_failed = 0

    # NNI's loop, with two changes: plain JSON, and one queue, since NNI's two let an end overtake its result.

    def run(self) -> None:
        """Receive commands until NNI's manager says stop or goes away."""
        self.default_worker.start()
        while not self.stopping:
            try:
                command, content = self._channel._receive()
            except _ManagerGone:
                _logger.warning("NNI's manager is gone; the search stops and can be resumed.")
                break
            if command is None or command is CommandType.Terminate:
                break
            self.default_command_queue.put((command, json.loads(content) if content else None))
        self.stopping = True
        if self._engine is not None:
            self._engine.stop()
        self.default_worker.join()
        self._channel.disconnect()

    def process_command(self, command: CommandType, data: Any) -> None:
        """Handle a command; whatever goes wrong shows in the web UI."""
        try:
            super().process_command(command, data)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        """Turn the experiment to ERROR; the reason goes to NNI's two logs, which the web UI shows.

        The status itself says no more than that the tuner may have crashed: NNI has a fixed text for it.
        """
        if isinstance(error, _ManagerGone):
            return  # nobody is left to report to, and `run` ends by itself
        reason = str(error) if isinstance(error, AutoADError) else f"{type(error).__name__}: {error}"
        if not isinstance(error, AutoADError):
            reason += "\n" + "".join(traceback.format_exception(error))
        _logger.error(reason)
        self.report_error(reason)

    def handle_initialize(self, data: Mapping[str, Any]) -> None:
        """Build strategy and space; ``data`` is the search space of the experiment file."""
        from autoad_nni.engines.nnictl.queue_engine import QueueEngine
        from autoad_nni.searches.replay import JournalMiddleware
        from autoad_nni.searches.search import Search

        checkpoints = Path(os.environ["NNI_CHECKPOINT_DIRECTORY"])
        arguments = advisor_arguments(self._choice, "the experiment file")
        self._search = Search(search_space=data, journal_path=checkpoints / "journal.jsonl", **arguments)
        # NNI's button shows trials only; in the experiment's folder, `tensorboard --logdir` finds it beside theirs.
        self._scalars = ScalarWriter(checkpoints.parent / "tensorboard" / "search")
        self._search.on_iteration = self._scalars.add_iteration
        self._search.say = _logger.warning
        self._engine = QueueEngine(self._send_trial, holds=bool(self._search.journal.recorded))
        self._middleware = JournalMiddleware(
            self._engine, self._search.journal, on_end=self._count, reopen=self._reopen
        )
        self.send(CommandType.Initialized, "")

    def handle_import_data(self, data: list[Mapping[str, Any]]) -> None:
        """Remember the trials that NNI knows to be finished."""
        for entry in data:
            value = entry["value"]
            self._finished.append((dict(entry["parameter"]), json.loads(value) if isinstance(value, str) else value))

    def handle_add_customized_trial(self, data: list[Mapping[str, Any]]) -> None:
        """Remember the trials that NNI runs again after a resume, under the same parameter id.

        NNI then asks for ``trialConcurrency`` trials, although these take the places of as many: with all of them, the
        strategy would propose that many samples ahead of the results for the rest of the session.
        """
        self._running_ids = {entry["parameter_id"] for entry in data if entry["parameter_id"] is not None}
        self._knows_running = True
        if self._engine is not None:
            self._engine.request(-len(self._running_ids))

    def handle_update_search_space(self, data: Any) -> None:
        """Refuse: a journal belongs to one search space."""
        raise AutoADError(
            "The search space was changed while the search runs. Expected the one it started with. "
            "Stop this experiment and create a new one."
        )

    def handle_request_trial_jobs(self, data: int) -> None:
        """Start the strategy at the first request after all that NNI knows of earlier trials has come in.

        NNI tells it of a resumed experiment always, and for each trial that ends before that, it asks for another one.
        """
        if self._engine is None:
            return  # the initialisation failed, and said so
        self._engine.request(int(data))
        if self._thread is None and (self._knows_running or not self._search.journal.recorded):
            self._thread = threading.Thread(target=self._run_strategy, name="strategy", daemon=True)
            self._thread.start()

    def handle_report_metric_data(self, data: Mapping[str, Any]) -> None:
        """Pass a result on to the strategy's thread."""
        engine = self._engine
        trial_id = data["parameter_id"]
        if engine is None or not isinstance(trial_id, int):
            return  # a trial that a user added in the web UI: the strategy did not ask for it
        self._trial_ids[data["trial_job_id"]] = trial_id
        value = json.loads(data["value"])
        metrics = value if isinstance(value, dict) else {"default": value}
        if not isinstance(metrics.get("default"), int | float) or not math.isfinite(metrics["default"]):
            _logger.warning("trial %s reported %r, which is no finite number: ignored", trial_id, value)
        elif data["type"] == "FINAL":
            engine.post(lambda: self._deliver_final(trial_id, metrics))
        elif "rung" in metrics:
            engine.post(lambda: self._deliver_rung(trial_id, metrics, data["trial_job_id"]))
        else:
            engine.post(lambda: engine.report(trial_id, float(metrics["default"])))

    def handle_trial_end(self, data: Mapping[str, Any]) -> None:
        """Pass the end of a trial on to the strategy's thread."""
        # What the trial reported under counts: NNI can give a trial the parameters meant for another one.
        submitted_id = json.loads(data["hyper_params"])["parameter_id"]
        trial_id = self._trial_ids.pop(data["trial_job_id"], submitted_id)
        if self._engine is not None and isinstance(trial_id, int):
            self._engine.post(lambda: self._deliver_end(trial_id, data["event"], data["trial_job_id"]))

    # In the strategy's thread.

    def _run_strategy(self) -> None:
        from autoad_nni.engines.nnictl.queue_engine import SearchStopped

        assert self._middleware is not None
        try:
            self._search.run(self._middleware)
            self._middleware.wait_models()
            limit_trials(self._middleware.n_submitted)
        except SearchStopped:
            pass
        except BaseException as error:
            self._fail(error)

    def _send_trial(self, trial_id: int, sample: Mapping[str, Any]) -> None:
        record = {"parameter_id": trial_id, "parameter_source": "algorithm", "parameters": sample, "parameter_index": 0}
        # The trial compares them with what is installed where it runs.
        record["plugins"] = plugins_of_trial(sample, self._choice["space"])
        assert self._engine is not None
        model = self._engine.model(trial_id)
        if model is not None and model.known:
            record["known"] = model.known
        if self._search.halving is not None:
            record["rungs"] = self._search.halving.shares
        self.send(CommandType.NewTrialJob, json.dumps(record))

    def _reopen(self, models: list[SampleSpace]) -> None:
        """Settle the trials that had no result when the last session ended: finished meanwhile, running, or lost."""
        assert self._engine is not None
        lost = []
        for model in models:
            assert model.trial_id is not None
            value = next((value for sample, value in self._finished if sample == model.sample), None)
            if value is not None and not self._has_stopped(model.trial_id):
                self._engine.adopt(model)
                self._deliver_final(model.trial_id, value)
                self._deliver_end(model.trial_id, "SUCCEEDED", "")
            elif model.trial_id in self._running_ids:
                self._engine.adopt(model)
            else:
                lost.append(model)
        replace_lost_trials({model.trial_id for model in lost if model.trial_id is not None})
        self._engine.submit_models(*lost)
        self._engine.release()

    def _deliver_final(self, trial_id: int, report: Any) -> None:
        assert self._engine is not None and self._middleware is not None
        model = self._engine.model(trial_id)
        if model is not None and not model.status.completed() and trial_id not in self._stopped:
            assert model.sample is not None
            self._middleware.take(TrialRecord.from_report(trial_id, model.sample, report))

    def _has_stopped(self, trial_id: int) -> bool:
        return self._search.halving is not None and self._search.halving.has_stopped(trial_id)

    def _deliver_rung(self, trial_id: int, report: Mapping[str, Any], job_id: str) -> None:
        """Have NNI's manager end a trial that does not go on; what it reports until then is not taken."""
        assert self._engine is not None
        model, halving = self._engine.model(trial_id), self._search.halving
        if model is None or model.status.completed() or halving is None or trial_id in self._stopped:
            return
        rung = report["rung"]
        if not halving.goes_on(trial_id, rung, float(report["default"]), known=bool(model.known)):
            assert model.sample is not None
            figures = {name: value for name, value in report.items() if name != "rung"}
            self._stopped[trial_id] = TrialRecord.from_report(trial_id, model.sample, figures)
            self.send(CommandType.KillTrialJob, json.dumps(job_id))

    def _deliver_end(self, trial_id: int, event: str, job_id: str) -> None:
        assert self._engine is not None and self._middleware is not None
        model = self._engine.model(trial_id)
        if model is None or model.status.completed():
            return
        stopped = self._stopped.pop(trial_id, None)
        if stopped is not None:
            self._middleware.take(stopped)
        succeeded = stopped is not None or (event == "SUCCEEDED" and model.metric is not None)
        if not succeeded:
            assert model.sample is not None
            self._middleware.take(TrialRecord.crashed(trial_id, model.sample, trial_error(job_id)))
        self._engine.end(trial_id, succeeded=succeeded)
        if self._n_succeeded == 0 and self._n_failed == _FAILURES_BEFORE_GIVING_UP:
            raise AutoADError(
                f"The first {self._n_failed} trials failed, none succeeded. Expected trialCommand to report a result. "
                f"Run it by hand with --sample, or read the trial's stderr, which ends: {trial_error(job_id)}"
            )

    def _count(self, record: TrialRecord, replayed: bool) -> None:
        if record.verdict is Verdict.CRASHED:
            self._n_failed += 1
        else:
            self._n_succeeded += 1
