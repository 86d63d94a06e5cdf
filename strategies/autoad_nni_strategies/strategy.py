"""Makes an NNI strategy of a search algorithm that is asked and told."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any

from nni.nas.execution import ExecutionEngine
from nni.nas.space import ExecutableModelSpace
from nni.nas.strategy.base import Strategy

from autoad_nni_strategies.ask_tell import AskTell, IsValid, Result, Sample
from autoad_nni_strategies.spaces import Decision, decisions_of

__all__ = ["AskTellStrategy"]


class AskTellStrategy(Strategy):  # type: ignore[misc]  # nni ships no types
    """Runs the samples of an `AskTell` on an engine, and gives it their rewards.

    Whenever a trial may begin, it gives the algorithm the results of those that have ended, oldest submission first,
    and asks for one sample: no trial waits for another. What is asked for next depends on the seed, the space, the
    rewards, and on which trials have ended by then; with one trial at a time, that is always the same. The search ends
    with the budget, or when there is nothing left to ask for; then the results of all that still run are awaited.

    Everything runs in the thread that calls ``run``; ``state_dict`` may be called from others.

    Args:
        make: Makes the algorithm, when the space is known, from its decisions and a predicate that says whether its
            constraints allow a sample.
        on_iteration: Called in the thread of ``run`` with the ``figures`` of the algorithm, after each iteration that
            has some. May be set later, as an attribute.

    Example:
        >>> from nni.mutable import Categorical, MutableList
        >>> from nni.nas.execution import SequentialExecutionEngine
        >>> from nni.nas.space import RawFormatModelSpace
        >>> from autoad_nni_strategies import AutoAD, Settings
        >>> strategy = AskTellStrategy(lambda decisions, is_valid: AutoAD(Settings(seed=7), decisions, is_valid))
        >>> space = RawFormatModelSpace(MutableList([Categorical([8, 16], label="width")]), None)
        >>> _ = strategy.initialize(space, SequentialExecutionEngine())
        >>> strategy.core.ask(2)
        [{'width': 16}, {'width': 8}]
    """

    def __init__(
        self,
        make: Callable[[tuple[Decision, ...], IsValid], AskTell],
        *,
        on_iteration: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self.on_iteration = on_iteration
        self._make = make
        self._core: AskTell | None = None
        self._calls = threading.RLock()  # held while the algorithm changes
        # NNI's training-service engine keeps weak references only, so without these list_models() would forget them.
        self._models: list[ExecutableModelSpace] = []
        self._open: list[tuple[Sample, ExecutableModelSpace]] = []
        """What is submitted and not told yet, oldest first."""

    @property
    def core(self) -> AskTell:
        """The algorithm.

        Raises:
            RuntimeError: Before ``initialize``.
        """
        return self._initialized("core")

    def _initialized(self, wanted: str) -> AskTell:
        if self._core is None:
            raise RuntimeError(
                f"The strategy has no space yet. Expected initialize() before {wanted}: call initialize() first."
            )
        return self._core

    def _initialize(self, model_space: ExecutableModelSpace, engine: ExecutionEngine) -> ExecutableModelSpace:
        self._core = self._make(decisions_of(model_space), model_space.contains)
        return model_space

    def _run(self) -> None:
        again = self._adopt()
        while self.wait_for_resource():
            self._tell_ended()
            with self._calls:
                samples = again or self.core.ask(1)
            if not samples:
                break
            self._submit(samples[0])
            again = again[1:]
        if self._open:
            self.engine.wait_models(*(model for _, model in self._open))
        self._tell_ended()

    def _adopt(self) -> list[Sample]:
        """Take over the trials that a loaded state waits for; return the samples of those that are gone."""
        models = [model for model in self.engine.list_models() if model.sample is not None]
        gone = []
        for sample in self.core.pending:
            found = next((model for model in models if model.sample == sample), None)
            if found is None:
                gone.append(sample)
            else:
                self._open.append((sample, found))
        return gone

    def _submit(self, sample: Sample) -> None:
        model = self.model_space.freeze(sample)
        self._models.append(model)
        self._open.append((sample, model))
        self.engine.submit_models(model)

    def _tell_ended(self) -> None:
        ended = [(sample, model) for sample, model in self._open if model.status.completed()]
        self._open = [(sample, model) for sample, model in self._open if not model.status.completed()]
        iterations = []
        for sample, model in ended:
            with self._calls:
                self.core.tell([(sample, model.metric)])
            if self.core.figures is not None:
                iterations.append(self.core.figures)
        # When all are told: what is called may take the state for that after all results there are.
        if self.on_iteration is not None:
            for figures in iterations:
                self.on_iteration(figures)

    def learn(self, results: Iterable[Result]) -> None:
        """Learn from samples that were tried before the search; to be called between ``initialize`` and ``run``.

        Args:
            results: Samples of the space with their rewards; None for one that failed.

        Raises:
            RuntimeError: Before ``initialize``.
            ValueError: If a sample is not in the space. Nothing is changed then.

        Example:
            >>> from nni.mutable import Categorical, MutableList
            >>> from nni.nas.execution import SequentialExecutionEngine
            >>> from nni.nas.space import RawFormatModelSpace
            >>> from autoad_nni_strategies import AutoADStrategy
            >>> space = RawFormatModelSpace(MutableList([Categorical([8, 16], label="width")]), None)
            >>> strategy = AutoADStrategy()
            >>> _ = strategy.initialize(space, SequentialExecutionEngine())
            >>> strategy.learn([({"width": 16}, 0.9)])
            >>> strategy.state_dict()["buffer"]
            [[[1], 0.9]]
        """
        self._initialized("learn()").tell(results)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the algorithm, in plain types and tensors.

        A strategy with the same arguments, initialised with the same space, that loads it continues bit for bit. Trials
        that have not ended are awaited, if the engine lists them; if not, they are submitted again.

        Raises:
            RuntimeError: Before ``initialize``.
        """
        core = self._initialized("state_dict()")
        with self._calls:
            return core.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a state; to be called between ``initialize`` and ``run``.

        Args:
            state_dict: What `state_dict` returned, also after ``torch.save`` and ``torch.load(weights_only=True)``.

        Raises:
            RuntimeError: Before ``initialize``.
            ValueError: If it is no state of this algorithm with these settings over this space. Nothing is changed
                then.
        """
        self._initialized("load_state_dict()").load_state_dict(state_dict)
