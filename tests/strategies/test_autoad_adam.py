from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from autoad_nni_strategies.adam import Adam


def test_it_is_torch_s_to_the_last_bit_also_from_a_state() -> None:
    start, gradients = torch.randn(2, 30, generator=torch.Generator().manual_seed(0)).split(1)
    mine, theirs = ([start.clone().requires_grad_(), torch.ones((), requires_grad=True)] for _ in range(2))
    optimizer, reference = Adam(mine, lr=0.02), torch.optim.Adam(theirs, lr=0.02)
    for step in range(6):
        for weights in (mine, theirs):
            for weight in weights:
                weight.grad = (gradients * weight * (step - 2)).sum() * torch.ones_like(weight)
        optimizer.step()
        reference.step()
        if step == 3:
            state, optimizer = optimizer.state_dict(), Adam(mine, lr=0.02)
            optimizer.load_state_dict(state)
        assert all(torch.equal(one, other) for one, other in zip(mine, theirs, strict=True))


@pytest.mark.slow
def test_a_learner_imports_no_compiler() -> None:
    """It would take longer than all else that the strategy does in a short search."""
    code = (
        "import sys, torch; from autoad_nni_strategies.learner import Learner;"
        "from autoad_nni_strategies.settings import settings_from;"
        "learner = Learner([3, 2], settings_from('default'), torch.Generator().manual_seed(0));"
        "learner.reinforce([(0, 1), (2, 0)], [1.0, -1.0]);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    path = "import sys; sys.path[:] = " + repr(sys.path) + ";"
    subprocess.run([sys.executable, "-c", path + code], check=True)
