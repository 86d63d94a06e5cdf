"""Compares search strategies on the recorded results of child models that were trained for real.

A run of 200 trials takes seconds instead of an hour, so that strategies can be compared over 50 seeds. The tables are
recorded by ``benchmarks/strategies/record.py``.
"""

from __future__ import annotations
