"""Chooses the arguments of regularized evolution for the comparison of strategies, on seeds that it does not report.

    python -m benchmarks.strategies.tune_evolution [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder.

Run once, on the small table and on a surrogate from the first 671 models of the random one; mean, small, random:
  0.9247  0.9603  0.8892  population 25, tournament 15, mutation 0.1,  crossover: taken
  0.9235  0.9611  0.8860  population 10, tournament 5,  mutation 0.05, crossover
  0.9228  0.9573  0.8884  population 25, tournament 15, mutation 0.1
  0.9144  0.9532  0.8757  population 25, tournament 8,  mutation 0.05: the toolkit's default, 15th of 40
  0.8941  0.9433  0.8448  population 10, tournament 3,  mutation 0.3: the last
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from benchmarks.strategies.specs import Spec
from benchmarks.strategies.tuning import tune

SEEDS = range(1000, 1030)  # the comparison reports 0 to 49
POPULATIONS = ((10, 3), (10, 5), (25, 8), (25, 15), (50, 15))  # population and tournament
MUTATION = (0.05, 0.1, 0.2, 0.3)
CROSSOVER = (False, True)


def settings() -> Iterator[tuple[dict[str, Any], Spec]]:
    for (population, tournament), mutation, crossover in itertools.product(POPULATIONS, MUTATION, CROSSOVER):
        arguments = {
            "population_size": population,
            "sample_size": tournament,
            "mutation_prob": mutation,
            "crossover": crossover,
        }
        yield arguments, Spec("regularized_evolution", arguments)


if __name__ == "__main__":
    tune(settings(), SEEDS)
