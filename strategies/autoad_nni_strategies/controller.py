"""The controller of Section IV-B: a recurrent network that generates a candidate token by token."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Controller"]

_N_LAYERS = 2
_INIT_RANGE = 0.1
_CELL_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class Controller(nn.Module):
    r"""A two-layer LSTM with one output head and one embedding per decision.

    .. math:: P(a_{1:T}; \theta) = \prod_t P(a_t | a_{1:t-1}; \theta), \qquad
        P(\cdot | a_{1:t-1}; \theta) = \mathrm{softmax}(c \tanh(W_t h_t / \tau))

    The input of step t is an embedding of the choice made at step t - 1, from that decision's own vocabulary; the
    first input is a learned vector. c (``tanh_constant``) bounds the logits, so that no choice is ever ruled out; tau
    (``temperature``) flattens them before the tanh, as in ENAS.

    Args:
        n_choices: Number of choices of each decision, in order.
        generator: Source of the initial weights; torch's global generator is not touched.
        hidden_size: Units per LSTM layer, and length of the embeddings.
        tanh_constant: c.
        temperature: tau.

    Differs from / not given by the paper: it gives two layers, 50 units, c = 2.5, tau = 5 and weights uniform in
    [-0.1, 0.1], which here includes embeddings and biases. The length of the embeddings, the first input and the
    order of tanh and temperature are not given: all three follow ENAS. With the temperature outside the tanh, logits
    would stay within +-0.5 and the policy almost uniform for ever. Left out: Fig. 1 feeds the outputs of the K best
    candidates to the next iteration. Their mean, added to the first input, changed no reward in 97 of 100 searches of
    200 trials with the preset ``paper``, and the best one in none (experiments/RESULTS.md).

    Reference: Pham et al. 2018, "Efficient neural architecture search via parameter sharing".

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> controller = Controller([3, 2], generator=generator)
        >>> actions = controller.sample(4, generator)
        >>> actions.shape, controller.log_prob(actions).shape
        (torch.Size([4, 2]), torch.Size([4, 2]))
    """

    def __init__(
        self,
        n_choices: Sequence[int],
        *,
        generator: torch.Generator,
        hidden_size: int = 50,
        tanh_constant: float = 2.5,
        temperature: float = 5.0,
    ) -> None:
        super().__init__()
        self.n_choices = tuple(n_choices)
        self.hidden_size = hidden_size
        self.tanh_constant = tanh_constant
        self.temperature = temperature
        # Torch's own initialisation draws from the global generator. On the meta device it would not, but imports
        # torch._dynamo, for a second or two.
        with torch.random.fork_rng(devices=[]):
            self.first_input = nn.Parameter(torch.empty(1, hidden_size))
            # The last choice is followed by nothing, so it needs no embedding.
            self.embeddings = nn.ModuleList(nn.Embedding(n, hidden_size) for n in self.n_choices[:-1])
            self.cells = nn.ModuleList(nn.LSTMCell(hidden_size, hidden_size) for _ in range(_N_LAYERS))
            self.heads = nn.ModuleList(nn.Linear(hidden_size, n) for n in self.n_choices)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.uniform_(-_INIT_RANGE, _INIT_RANGE, generator=generator)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw n candidates from the policy.

        Shape:
            Returns: ``n x T``, int64.
        """
        zeros = self.first_input.new_zeros(n, self.hidden_size)
        memory = [(zeros, zeros)] * _N_LAYERS
        hidden = self.first_input.expand(n, -1)
        actions: list[Tensor] = []
        for step, head in enumerate(self.heads):
            if actions:
                hidden = self.embeddings[step - 1](actions[-1])
            for layer, cell in enumerate(self.cells):
                memory[layer] = cell(hidden, memory[layer])
                hidden = memory[layer][0]
            policy = self._log_policy(head, hidden).exp()
            actions.append(torch.multinomial(policy, 1, generator=generator).squeeze(1))
        return torch.stack(actions, dim=1)

    def forward(self, actions: Tensor) -> list[Tensor]:
        """Return log P(. | a_1 ... a_{t-1}) for every step t of the given candidates.

        Shape:
            actions: ``n x T``, int64.
            Returns: T tensors, the t-th ``n x n_choices[t]``.
        """
        outputs = self._outputs(actions)
        return [self._log_policy(head, output) for head, output in zip(self.heads, outputs, strict=True)]

    def log_prob(self, actions: Tensor) -> Tensor:
        """Return log P(a_t | a_1 ... a_{t-1}) of every token; the sum over T is that of the candidate.

        Shape:
            actions: ``n x T``, int64.
            Returns: ``n x T``.
        """
        steps = [policy.gather(1, actions[:, [t]]) for t, policy in enumerate(self(actions))]
        return torch.cat(steps, dim=1)

    def entropy(self, actions: Tensor) -> Tensor:
        """Return the entropy, in nats, of the choice at every step, given the candidate's earlier tokens.

        Summed over T and averaged over candidates drawn from the policy, it estimates the policy's entropy.

        Shape:
            actions: ``n x T``, int64.
            Returns: ``n x T``.
        """
        return torch.stack([-(policy.exp() * policy).sum(1) for policy in self(actions)], dim=1)

    def _log_policy(self, head: nn.Module, output: Tensor) -> Tensor:
        logits = self.tanh_constant * torch.tanh(head(output) / self.temperature)
        return torch.log_softmax(logits, dim=1)

    def _outputs(self, actions: Tensor) -> Tensor:
        """Return the upper layer's outputs, ``T x n x hidden_size``.

        One call of torch's LSTM for all steps takes half the time of a cell per step and layer, which `sample` needs.
        """
        embedded = [embedding(actions[:, step]) for step, embedding in enumerate(self.embeddings)]
        inputs = torch.stack([self.first_input.expand(len(actions), -1), *embedded])
        zeros = inputs.new_zeros(_N_LAYERS, len(actions), self.hidden_size)
        weights = [getattr(cell, name) for cell in self.cells for name in _CELL_WEIGHTS]
        outputs: Tensor = torch.lstm(inputs, (zeros, zeros), weights, True, _N_LAYERS, 0.0, False, False, False)[0]
        return outputs
