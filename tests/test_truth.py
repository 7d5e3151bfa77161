"""The small version of benchmarks/truth.py: what reports print about simulated users holds."""

from __future__ import annotations

import math

import pytest

from benchmarks.truth import KINDS, Found, measured

RUNS = 16
FAR = 3.5  # standard errors: one of two thousand such looks errs


@pytest.mark.parametrize("arms", [(5, 5), (30, 12)], ids=str)
def test_alike_users_seldom_differ_and_intervals_hold_the_truth(arms: tuple[int, ...]) -> None:
    """Every kind of users; together, so that few runs of each tell something."""
    names = ["binary 20 %", "lognormal sd 2", "one whale", "funnel step", "dropoff share", "p50"]
    found = [measured(KINDS[name], arms, changed=False, runs=RUNS) for name in names]
    tests = sum(each.tests for each in found)
    assert tests > 0.9 * RUNS * len(names)
    rejected = sum(each.rejects * each.tests for each in found) / tests
    assert rejected <= 0.05 + FAR * math.sqrt(0.05 * 0.95 / tests)
    assert all(each.rejects + each.covers == pytest.approx(1) for each in found)  # p and interval agree


def test_what_is_there_is_found() -> None:
    found: list[Found] = [
        measured(KINDS[name], (60, 40), changed=True, runs=10) for name in ("binary 20 %", "lognormal sd 1", "p50")
    ]
    assert sum(each.rejects for each in found) / len(found) > 0.5
    assert sum(each.covers for each in found) / len(found) > 0.8
