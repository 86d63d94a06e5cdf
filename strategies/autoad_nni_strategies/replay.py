"""The replay buffer of self-imitation: the best samples so far (Section IV-C)."""

from __future__ import annotations

from autoad_nni_strategies.spaces import Action

__all__ = ["ReplayBuffer"]


class ReplayBuffer:
    """Keeps the best samples with their rewards, none twice; of equally good ones, the earlier.

    Args:
        size: How many; 0 keeps none.

    Example:
        >>> buffer = ReplayBuffer(2)
        >>> for action, reward in [((0, 1), 0.5), ((1, 1), 0.9), ((0, 0), 0.7)]:
        ...     buffer.add(action, reward)
        >>> buffer.entries
        [((1, 1), 0.9), ((0, 0), 0.7)]
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.entries: list[tuple[Action, float]] = []
        """(sample, reward), best first."""

    def add(self, action: Action, reward: float) -> None:
        """Add a sample, if it is among the best."""
        if any(action == kept for kept, _ in self.entries):
            return
        self.entries.append((action, reward))
        self.entries.sort(key=lambda entry: -entry[1])  # stable: the earlier one stays ahead
        del self.entries[self.size :]

    def state_dict(self) -> list[list[list[int] | float]]:
        """Return the entries."""
        return [[list(action), reward] for action, reward in self.entries]

    def load_state_dict(self, state: list[list[list[int] | float]]) -> None:
        """Load the entries."""
        self.entries = [(tuple(action), float(reward)) for action, reward in state]  # type: ignore[arg-type]
