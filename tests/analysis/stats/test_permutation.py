"""The permutation test and its interval, against every assignment tried one by one, and where formulas fail."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from llmtrack.analysis import stats
from llmtrack.analysis.experiment.inference import (
    Options,
    Responses,
    SumsArm,
    compare_responses,
    compare_sums,
    response_arm,
    sums,
)
from llmtrack.analysis.experiment.metrics import ResponseMetric
from llmtrack.analysis.stats.permutation import _samples

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
    return sums(num, den)


OPTIONS = Options(alpha=ALPHA, seed=0, permutations=2000)


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
    rng, runs, wrong, disagreeing = np.random.default_rng(seed), 120, 0, 0
    for run in range(runs):
        arms = [arm(draw(rng, n)) for n in (400, 30)]  # type: ignore[operator]
        found = compare_sums(*arms, OPTIONS._replace(permutations=199, seed=run)).difference
        wrong += found.p < ALPHA
        disagreeing += (found.p <= ALPHA) != (not found.difference_ci.lo <= 0 <= found.difference_ci.hi)
    assert wrong / runs <= 0.11  # 5 % and three standard errors
    assert disagreeing == 0


def test_an_interval_is_no_wider_than_the_test_where_an_arm_has_none() -> None:
    """21 of 100 users lose an event of their eight, and no user of the other arm does: p and interval agree."""
    lost = np.zeros(100)
    lost[:21] = 1
    found = compare_sums(arm(np.zeros(100), np.full(100, 8.0)), arm(lost, np.full(100, 8.0)), OPTIONS).difference
    assert found.p < 1e-3
    assert found.difference_ci.lo > 0


def test_users_with_nothing_in_the_denominator_change_no_digit() -> None:
    rng = np.random.default_rng(5)
    num, den, treated = rng.random(30), rng.integers(1, 5, 30) * 1.0, np.arange(30) < 12
    more = [np.concatenate([column, np.zeros(20, dtype=column.dtype)]) for column in (num, den)]
    labels = np.concatenate([treated, np.arange(20) < 15])
    for permutations in (0, 300):
        alone = stats.permutation_test(num[:12], den[:12], treated[:12] ^ (np.arange(12) < 5), permutations=0, seed=1)
        beside = stats.permutation_test(
            np.append(num[:12], [0, 0]), np.append(den[:12], [0, 0]),
            np.append(treated[:12] ^ (np.arange(12) < 5), [True, False]), permutations=permutations, seed=1,
        )  # fmt: skip
        assert beside == alone
    assert stats.permutation_test(*more, labels, permutations=300, seed=1) == stats.permutation_test(
        num, den, treated, permutations=300, seed=1
    )


@pytest.mark.parametrize("seed", range(3))
def test_a_lift_is_what_dividing_the_treatment_by_it_hides(seed: int) -> None:
    rng = np.random.default_rng(seed)
    num, den, treated = rng.lognormal(0, 0.6, 10), np.ones(10), np.arange(10) % 2 == 0
    found = stats.permutation_test(num, den, treated, permutations=0, seed=0)
    for end, outwards in ((found.lift.lo, -0.01), (found.lift.hi, 0.01)):
        for beyond, rejected in ((outwards, True), (-outwards, False)):
            divided = np.where(treated, num / (1 + end + beyond), num)
            assert (plain_p(divided, den, treated, 0.0) <= ALPHA) == rejected


@pytest.mark.parametrize(("small", "large"), [(100, 2000), (40, 150), (60, 60)])
def test_samples_drawn_side_by_side_have_the_spread_of_single_ones(small: int, large: int) -> None:
    values = np.random.default_rng(2).lognormal(0, 1, (small + large, 1))
    drawn = np.concatenate(list(_samples(values, small, 4000, np.random.default_rng(3))))
    n = small + large
    expected = math.sqrt(small * (n - small) / n * values.var(ddof=1))  # sampling without replacement
    assert drawn.mean() == pytest.approx(small * values.mean(), abs=0.1 * expected)
    assert drawn.std() == pytest.approx(expected, rel=0.06)


def response_arms(metric: ResponseMetric, seconds: np.ndarray, cut: np.ndarray, users: int) -> list[object]:
    """Two arms of as many users, one response each; `seconds` and `cut` (users * 2,)."""
    rows = Responses(seconds.astype(float), cut, np.arange(2 * users))
    arm_of = np.repeat([0, 1], users)
    return [response_arm(metric, rows, arm_of, group, OPTIONS) for group in (0, 1)]


FIRST_ACTION = ResponseMetric("first_action_s", "s", "none", "first_action_s", 0.5, censored="cut")


def test_a_median_that_one_arm_never_reaches_is_still_compared() -> None:
    """55 of 60 act within 40 s; of the others 5 do, the rest is cut short after 100 s."""
    seconds = np.concatenate([np.linspace(1, 40, 60), np.linspace(1, 40, 5), np.full(55, 100)])
    cut = np.repeat([False, True], [65, 55])
    found = compare_responses(FIRST_ACTION, *response_arms(FIRST_ACTION, seconds, cut, 60), OPTIONS).difference  # type: ignore[arg-type]
    assert found.difference == math.inf
    assert found.p < 1e-3
    assert found.difference_ci.lo > 0


@pytest.mark.parametrize(
    "metric", [FIRST_ACTION, ResponseMetric("p75", "ms", "down", "ms", 0.75)], ids=lambda m: m.name
)
def test_intervals_of_quantiles_agree_with_their_p(metric: ResponseMetric) -> None:
    rng, options = np.random.default_rng(11), OPTIONS._replace(permutations=199)
    seen = set()
    for run in range(30):
        seconds = rng.lognormal(2, 1, 40) * np.repeat([1, 1 + 1.5 * (run % 3)], 20)
        cut = (rng.random(40) < 0.2) & bool(metric.censored)
        found = compare_responses(metric, *response_arms(metric, seconds, cut, 20), options).difference  # type: ignore[arg-type]
        for interval in (found.difference_ci, found.lift_ci):
            assert (found.p <= ALPHA) == (not interval.lo <= 0 <= interval.hi)
        seen.add(bool(found.p <= ALPHA))
    assert seen == {True, False}


@pytest.mark.parametrize("users", [5, 12])
def test_five_users_an_arm_are_enough_to_find_what_is_plain(users: int) -> None:
    rng = np.random.default_rng(1)
    found = compare_sums(arm(rng.normal(1, 0.2, users)), arm(rng.normal(3, 0.2, users)), OPTIONS)
    assert found.method == "permutation"
    assert found.difference.p < 0.01
    assert 1.5 < found.difference.difference_ci.lo < 2 < found.difference.difference_ci.hi < 2.5
    assert compare_sums(arm(rng.normal(1, 1, 4)), arm(rng.normal(9, 1, users)), OPTIONS).method == "none"


def test_few_users_who_are_all_alike_show_no_equality() -> None:
    found = compare_sums(arm(np.zeros(6)), arm(np.zeros(6)), OPTIONS)
    assert (found.method, found.difference.p) == ("constant", 1.0)
    assert found.difference.difference_ci.hi > 0.3  # that none of 6 did it leaves much open
