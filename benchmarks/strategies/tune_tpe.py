"""Chooses the arguments of NNI's TPE for the comparison of strategies, on seeds that it does not report.

    python -m benchmarks.strategies.tune_tpe [FOLDER]

Prints, for each setting, the mean over 50, 100 and 200 trials of the best reward, on each table of the folder.

Run once; mean, small, random:
  0.9222  0.9465  0.8979  n_startup_jobs 10, n_ei_candidates 4: taken
  0.9215  0.9477  0.8954  n_startup_jobs 10, n_ei_candidates 2
  0.9211  0.9564  0.8858  n_startup_jobs 10, n_ei_candidates 4, prior_weight 2
  0.9211  0.9560  0.8863  n_startup_jobs 15, n_ei_candidates 2
  0.9019  0.9362  0.8677  n_startup_jobs 10
  0.8939  0.9264  0.8614  NNI's, 19th of 23
  0.8886  0.9126  0.8647  n_startup_jobs 5, gamma 1: the last
NNI takes the next point of a grid whenever its TPE proposes a sample again. With NNI's settings that is most trials
after the 50th; fewer candidates for the expected improvement vary the proposals. NNI fails with n_startup_jobs 2 and
gamma 1.
"""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.strategies.specs import Spec
from benchmarks.strategies.tuning import tune

SEEDS = range(1000, 1020)  # the comparison reports 0 to 49
SETTINGS: tuple[Mapping[str, float], ...] = (
    {},  # NNI's: n_startup_jobs 20, n_ei_candidates 24, linear_forgetting 25, prior_weight 1, gamma 0.25
    *({"n_startup_jobs": jobs} for jobs in (4, 5, 8, 10, 15)),
    *({"n_startup_jobs": jobs, "n_ei_candidates": drawn} for jobs in (5, 10, 15) for drawn in (2, 4, 8)),
    *({"n_startup_jobs": jobs, "gamma": gamma} for jobs in (5, 10) for gamma in (0.5, 1.0)),
    {"n_startup_jobs": 10, "n_ei_candidates": 4, "gamma": 0.4},
    {"n_startup_jobs": 10, "n_ei_candidates": 4, "prior_weight": 2},
    {"n_startup_jobs": 10, "n_ei_candidates": 4, "linear_forgetting": 100},
    {"n_startup_jobs": 10, "n_ei_candidates": 8, "linear_forgetting": 100},
)


if __name__ == "__main__":
    tune(((arguments, Spec("tpe", {"tpe_args": arguments})) for arguments in SETTINGS), SEEDS)
