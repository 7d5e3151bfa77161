"""The permutation test and its interval, against every assignment tried one by one, and where formulas fail."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from llmtrack.analysis import stats
from llmtrack.analysis.experiment.inference import Options, SumsArm, compare_sums

ALPHA = 0.05


def plain_p(num: np.ndarray, den: np.ndarray, treated: np.ndarray, delta: float) -> float:
    """Equal-tailed p of a difference of `delta`: all assignments, each with the formulas of ratio and compare."""
    moved = num - delta * den * treated

    def t(label: np.ndarray) -> float:
        found = stats.compare(stats.ratio(moved[~label], den[~label]), stats.ratio(moved[label], den[label]))
        return found.difference / found.standard_error

    labels = [np.isin(np.arange(len(num)), some) for some in itertools.combinations(range(len(num)), treated.sum())]
    every, observed = np.array([t(label) for label in labels]), t(treated)
    return min(1.0, 2 * min(np.mean(every >= observed - 1e-9), np.mean(every <= observed + 1e-9)))


@pytest.mark.parametrize("seed", range(4))
def test_p_and_interval_are_those_of_all_assignments(seed: int) -> None:
    rng = np.random.default_rng(seed)
    den = rng.integers(1, 6, 10).astype(float)
    num, treated = den * rng.normal(1, 0.5, 10), np.arange(10) % 2 == 0
    num[treated] += 2 * den[treated]
    found = stats.permutation_test(num, den, treated, permutations=0, seed=0)
    assert found.p == pytest.approx(plain_p(num, den, treated, 0.0))
    for end, outwards in ((found.interval.lo, -0.01), (found.interval.hi, 0.01)):
        assert plain_p(num, den, treated, end + outwards) <= ALPHA
        assert plain_p(num, den, treated, end - outwards) > ALPHA


def test_random_assignments_are_near_all_of_them_and_the_same_for_the_same_seed() -> None:
    rng = np.random.default_rng(3)
    num, den, treated = rng.lognormal(0, 1, 80), np.ones(80), np.arange(80) < 30
    first, again = (stats.permutation_test(num, den, treated, permutations=4000, seed=7) for _ in range(2))
    other = stats.permutation_test(num, den, treated, permutations=4000, seed=8)
    assert first == again
    assert first.p == pytest.approx(other.p, abs=0.05)
    assert first.interval == pytest.approx(other.interval, abs=0.1)


def test_users_who_are_alike_are_drawn_by_their_number() -> None:
    """Few kinds of users are drawn as numbers, which is quicker; Fisher's exact test knows what must come out."""
    from scipy.stats import fisher_exact

    num = np.repeat([0.0, 1.0, 0.0, 1.0], [185, 15, 86, 14])
    treated = np.arange(300) >= 200
    found = stats.permutation_test(num, np.ones(300), treated, permutations=20_000, seed=1)
    one_side = fisher_exact([[15, 185], [14, 86]], alternative="less").pvalue
    assert found.p == pytest.approx(2 * one_side, rel=0.3)
    assert (found.interval.lo > 0) == (found.p < ALPHA)


@pytest.mark.parametrize(
    ("num", "treated"),
    [
        pytest.param([1, 2, 3], [0, 0, 1], id="an arm of one user"),
        pytest.param([], [], id="nobody"),
    ],
)
def test_of_too_little_there_is_no_test(num: list[float], treated: list[int]) -> None:
    found = stats.permutation_test(num, [1] * len(num), treated, permutations=9, seed=0)
    assert math.isnan(found.p)
    assert math.isnan(found.interval.lo)


def test_equal_constants_are_equal() -> None:
    found = stats.permutation_test([2.0] * 40, [1.0] * 40, [0, 1] * 20, permutations=99, seed=0)
    assert found.p == 1
    assert found.interval == pytest.approx((0, 0), abs=1e-6)


def arm(num: np.ndarray, den: np.ndarray | None = None) -> SumsArm:
    den = np.ones(len(num)) if den is None else den
    return SumsArm(num, den, stats.ratio(num, den), len(num))


OPTIONS = Options(alpha=ALPHA, seed=0, permutations=2000, bootstraps=0)


@pytest.mark.parametrize("users", [60, 200])
def test_never_against_always_is_as_sure_as_it_looks(users: int) -> None:
    found = compare_sums(arm(np.zeros(users)), arm(np.ones(users)), OPTIONS)
    assert found.method == "permutation"
    assert found.difference.p < 1e-3
    lo, hi = found.difference.difference_ci
    assert lo == pytest.approx(1 - math.sqrt(2) * stats.wilson(0, users).hi)  # Newcombe's method 10
    assert hi == 1


def test_a_rare_event_that_a_small_arm_lacks_by_chance_is_no_difference() -> None:
    """8 of 2,000 against 0 of 100: two in three such arms have none."""
    common = np.zeros(2000)
    common[:8] = 1
    found = compare_sums(arm(common), arm(np.zeros(100)), OPTIONS).difference
    assert found.p > 0.5
    assert found.difference_ci.lo <= 0 <= found.difference_ci.hi
    assert found.difference_ci.lo >= -1


@pytest.mark.parametrize(
    ("seed", "draw"),
    [
        pytest.param(1, lambda rng, n: (rng.random(n) < 0.01) * 1.0, id="a share of 1 %"),
        pytest.param(2, lambda rng, n: rng.lognormal(0, 2, n), id="a heavy tail"),
    ],
)
def test_unequal_arms_alike_seldom_differ(seed: int, draw: object) -> None:
    rng, runs, wrong, disagreeing = np.random.default_rng(seed), 200, 0, 0
    for run in range(runs):
        arms = [arm(draw(rng, n)) for n in (800, 50)]  # type: ignore[operator]
        found = compare_sums(*arms, OPTIONS._replace(permutations=199, seed=run)).difference
        wrong += found.p < ALPHA
        disagreeing += (found.p <= ALPHA) != (not found.difference_ci.lo <= 0 <= found.difference_ci.hi)
    assert wrong / runs <= 0.09  # 5 % and three standard errors
    assert disagreeing == 0


def test_an_interval_is_no_wider_than_the_test_where_an_arm_has_none() -> None:
    """21 of 100 users lose an event of their eight, and no user of the other arm does: p and interval agree."""
    lost = np.zeros(100)
    lost[:21] = 1
    found = compare_sums(arm(np.zeros(100), np.full(100, 8.0)), arm(lost, np.full(100, 8.0)), OPTIONS).difference
    assert found.p < 1e-3
    assert found.difference_ci.lo > 0
