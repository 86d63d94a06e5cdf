"""Makes an NNI strategy of a search algorithm that is asked and told."""

from __future__ import annotations

import copy
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

    Everything runs in the thread that calls ``run``. The search ends with the budget, or when there is nothing left to
    ask for.

    Args:
        make: Makes the algorithm, when the space is known, from its decisions and a predicate that says whether its
            constraints allow a sample.
        batch_size: How many samples are submitted before all their results are waited for. What is proposed next does
            not depend on when or in which order these arrive.
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
        batch_size: int = 1,
        on_iteration: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        super().__init__()
        self.on_iteration = on_iteration
        self._make = make
        self._batch_size = batch_size
        self._core: AskTell | None = None
        # NNI's training-service engine keeps weak references only, so without these list_models() would forget them.
        self._models: list[ExecutableModelSpace] = []
        self._is_used_up = False
        self._state: dict[str, Any] = {}

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
        self._state = self._core.state_dict()
        return model_space

    def _run(self) -> None:
        while batch := self._submit_batch():
            self.engine.wait_models(*(model for _, model in batch))
            self._tell((sample, model.metric) for sample, model in batch)
            if self.on_iteration is not None and self.core.figures is not None:
                self.on_iteration(self.core.figures)

    def _submit_batch(self) -> list[tuple[Sample, ExecutableModelSpace]]:
        """Submit a batch, or fewer if the budget or the space ends."""
        batch: list[tuple[Sample, ExecutableModelSpace]] = []
        while len(batch) < self._batch_size and not self._is_used_up and self.wait_for_resource():
            samples = self.core.ask(1)
            self._is_used_up = not samples
            for sample in samples:
                model = self.model_space.freeze(sample)
                self._models.append(model)
                batch.append((sample, model))
                self.engine.submit_models(model)
        return batch

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
        self._initialized("learn()")
        self._tell(results)

    def _tell(self, results: Iterable[Result]) -> None:
        self.core.tell(results)
        self._state = self.core.state_dict()

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the algorithm after the last batch, in plain types and tensors.

        A strategy with the same arguments, initialised with the same space, that loads it continues bit for bit. An
        unfinished batch is not included: its samples are proposed again.

        Raises:
            RuntimeError: Before ``initialize``.
        """
        self._initialized("state_dict()")
        return copy.deepcopy(self._state)

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
        self._state = self.core.state_dict()
