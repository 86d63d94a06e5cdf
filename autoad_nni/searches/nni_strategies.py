"""NNI's own strategies under the names that an experiment file uses, each with a seed and made to maximise.

NNI is imported inside the functions: listing strategies must not cost seconds.
"""

from __future__ import annotations

from typing import Any

__all__ = ["grid_search", "policy_based_rl", "random", "regularized_evolution", "tpe"]


# Arguments are written out, since NNI's Random and RegularizedEvolution swallow a misspelt one without a word.


def random(*, seed: int, dedup: bool = True) -> Any:
    """Sample uniformly, without repetition. Arguments: nni.nas.strategy.Random."""
    from nni.nas.strategy import Random

    return Random(seed=seed, dedup=dedup)


def grid_search(*, seed: int, shuffle: bool = True, dedup: bool = True) -> Any:
    """Go through the whole space once, in random order. Arguments: nni.nas.strategy.GridSearch."""
    from nni.nas.strategy import GridSearch

    return GridSearch(seed=seed, shuffle=shuffle, dedup=dedup)


def regularized_evolution(
    *,
    seed: int,
    population_size: int = 25,
    sample_size: int = 8,
    mutation_prob: float = 0.05,
    crossover: bool = False,
    dedup: bool = True,
) -> Any:
    """Mutate the best of a sliding population. Arguments: nni.nas.strategy.RegularizedEvolution.

    Differs from NNI: population 25 and tournament 8 instead of 100 and 25, since a search here has a few hundred
    trials and NNI's first 100 are random.
    """
    from nni.nas.strategy import RegularizedEvolution

    if not 0 <= mutation_prob <= 1:
        raise ValueError(f"mutation_prob is {mutation_prob!r}, not from 0 to 1")
    return RegularizedEvolution(
        seed=seed,
        population_size=population_size,
        sample_size=sample_size,
        mutation_prob=mutation_prob,
        crossover=crossover,
        dedup=dedup,
    )


def tpe(*, seed: int, **arguments: Any) -> Any:
    """Tree-structured Parzen estimator. Arguments: nni.nas.strategy.TPE.

    Differs from NNI: it maximises. NNI's default minimises, that is, looks for the worst model.
    """
    from nni.nas.strategy import TPE

    given = arguments.get("tpe_args")
    for name, value in given.items() if isinstance(given, dict) else ():
        # NNI would stop at these in the middle of the search.
        if name != "constant_liar_type" and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"tpe_args.{name} is {value!r}, not a number")
    return TPE(seed=seed, **{"optimize_mode": "maximize", **arguments})


def policy_based_rl(*, seed: int, learning_rate: float = 1e-4, hidden_dim: int = 64, **arguments: Any) -> Any:
    """Proximal policy optimisation. Needs tianshou 0.5.1 and gym 0.26.2. Arguments: nni.nas.strategy.PolicyBasedRL.

    Its networks draw from torch's global generator, which is seeded here.

    Differs from NNI: the policy's learning rate and size are given by value, as an experiment file cannot hold NNI's
    ``policy_fn``.
    """
    import functools

    import torch
    from nni.nas.strategy import PolicyBasedRL

    torch.manual_seed(seed)
    try:
        from nni.nas.strategy._rl_impl import default_policy_fn

        policy_fn = functools.partial(default_policy_fn, lr=learning_rate, hidden_dim=hidden_dim)
        return PolicyBasedRL(**{"policy_fn": policy_fn, **arguments})
    except ImportError as error:
        raise ValueError(f"{error} Versions that work: pip install --no-deps tianshou==0.5.1 gym==0.26.2") from None
