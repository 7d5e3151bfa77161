"""The statistics against tea-tasting, scipy and statsmodels, and against data whose truth is known."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import tea_tasting as tt
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps
from statsmodels.duration.survfunc import SurvfuncRight
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestIndPower
from statsmodels.stats.proportion import proportion_confint

from llmtrack.analysis import stats
from llmtrack.analysis.stats import Interval
from llmtrack.analysis.stats.permutation import Assignments
from llmtrack.analysis.stats.survival import pseudo_observations

NAN = math.nan
EXACT = {"rel": 1e-9, "abs": 1e-12}


def per_user(seed: int, users: int = 400) -> pd.DataFrame:
    """One row a user: variant 0 or 1, numerator and denominator correlated, some users without a denominator."""
    rng = np.random.default_rng(seed)
    variant = rng.integers(0, 2, users)
    den = rng.poisson(3, users)
    num = rng.binomial(den, rng.beta(2, 5, users)) * (1 + 0.3 * variant)
    missing = rng.random(users) < 0.1
    return pd.DataFrame({"user": range(users), "variant": variant, "den": den, "num": np.where(missing, NAN, num)})


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("metric", ["ratio", "mean"])
def test_value_intervals_and_p_equal_tea_tasting(metric: str, seed: int) -> None:
    rows = per_user(seed).dropna()
    theirs = tt.RatioOfMeans("num", "den") if metric == "ratio" else tt.Mean("num")
    expected = tt.Experiment({"m": theirs}).analyze(rows)["m"]
    arms = [rows[rows["variant"] == variant] for variant in (0, 1)]
    control, treatment = (stats.ratio(a["num"], a["den"] if metric == "ratio" else np.ones(len(a))) for a in arms)
    ours = stats.compare(control, treatment)
    assert (control.value, treatment.value) == pytest.approx((expected.control, expected.treatment), **EXACT)
    assert (ours.difference, *ours.difference_ci, ours.lift, *ours.lift_ci, ours.p) == pytest.approx(
        (
            expected.effect_size,
            expected.effect_size_ci_lower,
            expected.effect_size_ci_upper,
            expected.rel_effect_size,
            expected.rel_effect_size_ci_lower,
            expected.rel_effect_size_ci_upper,
            expected.pvalue,
        ),
        **EXACT,
    )


def test_a_mean_over_users_equals_scipys_welch_test() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.normal(0, 1, 40), rng.normal(0.5, 3, 25)
    expected = sps.ttest_ind(b, a, equal_var=False)
    ours = stats.compare(stats.ratio(a, np.ones(40)), stats.ratio(b, np.ones(25)))
    ci = expected.confidence_interval(0.95)
    assert (ours.p, ours.df, *ours.difference_ci) == pytest.approx(
        (expected.pvalue, expected.df, ci.low, ci.high), **EXACT
    )


def test_interval_of_a_mean_equals_scipys() -> None:
    values = np.random.default_rng(5).normal(3, 2, 30)
    expected = sps.t.interval(0.95, 29, values.mean(), sps.sem(values))
    assert stats.mean_interval(values, np.ones(30)) == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(
    ("num", "den", "value", "users", "has_interval"),
    [
        pytest.param([], [], NAN, 0, False, id="nobody"),
        pytest.param([2], [4], 0.5, 1, False, id="one user has no variance"),
        pytest.param([0, 0], [0, 0], NAN, 2, False, id="nothing to divide by"),
        pytest.param([1, 0], [2, 0], 0.5, 2, False, id="a user without denominator tells nothing of the spread"),
    ],
)
def test_ratio_of_little_data(num: list[float], den: list[float], value: float, users: int, has_interval: bool) -> None:
    r = stats.ratio(num, den)
    assert r.value == pytest.approx(value, nan_ok=True)
    assert r.users == users
    assert math.isfinite(stats.mean_interval(num, den).lo) is has_interval


def test_n_eff_counts_equally_active_users_fully_and_a_dominating_one_alone() -> None:
    assert stats.ratio([1] * 10, [5] * 10).n_eff == pytest.approx(10)
    assert stats.ratio([1] * 10, [1e6, *[1] * 9]).n_eff == pytest.approx(1, rel=1e-4)


def test_a_comparison_with_a_zero_or_constant_arm_has_no_lift_or_no_interval() -> None:
    zero, some, constant = (
        stats.ratio([0] * 5, [1] * 5),
        stats.ratio([0, 1, 2, 1, 1], [1] * 5),
        stats.ratio([2] * 5, [1] * 5),
    )
    from_zero = stats.compare(zero, some)
    assert math.isnan(from_zero.lift)
    assert math.isnan(from_zero.lift_ci.lo)
    assert from_zero.p < 0.05
    unvarying = stats.compare(zero, constant)
    assert unvarying.difference == 2
    assert math.isnan(unvarying.p)


@pytest.mark.parametrize(
    "p",
    [
        pytest.param([0.001, 0.04, 0.03, 0.2, 0.6], id="some of each"),
        pytest.param([0.04, 0.04, 0.04], id="ties"),
        pytest.param([NAN, 0.02, NAN, 0.01], id="untested ones count nowhere"),
        pytest.param([0.9, 0.8, 1.0], id="never above 1"),
        pytest.param([NAN], id="nothing tested"),
    ],
)
def test_adjusted_p_values_equal_statsmodels(p: list[float]) -> None:
    known = [value for value in p if not math.isnan(value)]
    for ours, method in ((stats.holm, "holm"), (stats.benjamini_hochberg, "fdr_bh")):
        adjusted = ours(p)
        assert np.isnan(adjusted).tolist() == np.isnan(p).tolist()
        expected = multipletests(known, method=method)[1] if known else []
        assert adjusted[~np.isnan(adjusted)] == pytest.approx(expected, **EXACT)


@pytest.mark.parametrize(("successes", "trials"), [(0, 7), (3, 7), (7, 7), (1, 1000), (500, 1000)])
def test_wilson_equals_statsmodels(successes: int, trials: int) -> None:
    expected = proportion_confint(successes, trials, method="wilson")
    assert stats.wilson(successes, trials) == pytest.approx(expected, **EXACT)


def test_share_interval_covers_the_truth_of_clustered_trials_where_wilson_does_not() -> None:
    rng = np.random.default_rng(6)
    covered = {"users": 0, "trials": 0}
    for _ in range(500):
        trials = rng.geometric(0.1, 120)
        successes = rng.binomial(trials, rng.beta(0.5, 4.5, 120))
        users, naive = stats.share_interval(successes, trials), stats.wilson(successes.sum(), trials.sum())
        covered["users"] += users.lo <= 0.1 <= users.hi
        covered["trials"] += naive.lo <= 0.1 <= naive.hi
    assert 0.91 <= covered["users"] / 500 <= 0.98
    assert covered["trials"] / 500 < 0.75


@pytest.mark.parametrize(
    ("successes", "trials"),
    [
        pytest.param([0, 0, 0], [9, 9, 9], id="share 0: each user is one trial"),
        pytest.param([3, 3], [3, 3], id="share 1"),
        pytest.param([2], [5], id="one user"),
    ],
)
def test_share_interval_without_a_variance_counts_users(successes: list[int], trials: list[int]) -> None:
    share = sum(successes) / sum(trials)
    assert stats.share_interval(successes, trials) == stats.wilson(share * len(trials), len(trials))


def test_srm_equals_scipys_chi_square_and_takes_a_missing_arm_as_empty() -> None:
    expected = sps.chisquare([480, 530, 990], np.array([0.25, 0.25, 0.5]) * 2000).pvalue
    assert stats.srm_p({"a": 480, "b": 530, "c": 990}, {"a": 1, "b": 1, "c": 2}) == pytest.approx(expected, **EXACT)
    assert stats.srm_p({"a": 100}, {"a": 1, "b": 1}) < 1e-20
    assert math.isnan(stats.srm_p({"a": 100}, {"a": 1}))


@pytest.mark.parametrize(("users", "power", "alpha"), [(30, 0.8, 0.05), (500, 0.8, 0.05), (100, 0.9, 0.01)])
def test_mde_equals_statsmodels_power(users: int, power: float, alpha: float) -> None:
    expected = TTestIndPower().solve_power(nobs1=users, alpha=alpha, power=power)
    ours = stats.mde(math.sqrt(2 / users), 2 * users - 2, alpha=alpha, power=power)
    assert ours == pytest.approx(expected, rel=1e-4)


rows_with_ties = st.lists(st.tuples(st.integers(1, 8), st.booleans()), min_size=1, max_size=40)


@given(rows_with_ties)
def test_kaplan_meier_median_equals_statsmodels(rows: list[tuple[int, bool]]) -> None:
    times, censored = (np.array(column) for column in zip(*rows, strict=True))
    theirs = SurvfuncRight(times, ~censored)
    # Rounded, since their quantile() takes 0.4999999999999999 for less than a half.
    past = theirs.surv_times[theirs.surv_prob.round(9) < 0.5]
    assert stats.km_quantile(times, censored) == pytest.approx(past[0] if len(past) else NAN, nan_ok=True)


@given(rows_with_ties, st.integers(0, 9))
def test_pseudo_observations_average_to_the_kaplan_meier_share(rows: list[tuple[int, bool]], at: int) -> None:
    times, censored = (np.array(column) for column in zip(*rows, strict=True))
    found = pseudo_observations(times.astype(float), censored, at)
    share = 1.0
    for t in range(1, at + 1):
        at_risk = int((times >= t).sum())
        share *= 1 - ((times == t) & ~censored).sum() / at_risk if at_risk else 1
    assert found.mean() == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("cut", [False, True])
def test_intervals_of_quantiles_cover_the_truth_of_clustered_rows(cut: bool) -> None:
    rng, covered = np.random.default_rng(10), 0
    for _ in range(200):
        level, rows = rng.normal(0, 1, 60), rng.geometric(0.2, 60)
        user = np.repeat(np.arange(60), rows)
        values = level[user] + rng.normal(0, 0.5, len(user))
        ends = rng.normal(0.5, 1, len(user)) if cut else np.full(len(user), np.inf)
        found = stats.quantile_interval(stats.Sample(np.minimum(values, ends), ends < values, user), 0.5)
        covered += found.lo <= 0 <= found.hi
    assert 0.91 <= covered / 200 <= 0.99


def test_a_quantile_that_no_row_may_lie_beyond_has_no_upper_end() -> None:
    """Of 30 users none is above the 95th percentile in one of five samples (.95 to the power of 30)."""
    found = stats.quantile_interval(stats.Sample(np.arange(30.0), np.zeros(30, dtype=bool), np.arange(30)), 0.95)
    assert found.lo > 20
    assert found.hi == math.inf


@pytest.mark.parametrize("q", [0.25, 0.5, 0.9])
def test_an_interval_of_a_median_is_that_of_its_ranks(q: float) -> None:
    """Values whose Wilson interval of the share up to them holds q: looked up one by one."""
    n = 80
    kept = [i + 1 for i in range(n) if stats.share_interval([1] * (i + 1) + [0] * (n - i - 1), [1] * n).hi >= q]
    past = [i + 1 for i in range(n) if stats.share_interval([1] * (i + 1) + [0] * (n - i - 1), [1] * n).lo > q]
    found = stats.quantile_interval(
        stats.Sample(np.arange(1.0, n + 1), np.zeros(n, dtype=bool), np.arange(n)[::-1].copy()), q
    )
    assert found == (min(kept), min(past))


def test_the_spread_of_a_ratio_is_that_of_statsmodels_cluster_robust_regression() -> None:
    """CR2 of a weighted mean over users: a regression on one, of whose HC2 errors statsmodels knows the formula."""
    import statsmodels.api as sm

    rng = np.random.default_rng(3)
    den = rng.geometric(0.2, 40).astype(float)
    num = rng.binomial(den.astype(int), 0.3).astype(float)
    theirs = sm.WLS(num / den, np.ones(40), weights=den).fit(cov_type="HC2")
    found = stats.spread(num, den)
    assert found.variance == pytest.approx(float(theirs.bse[0]) ** 2)
    w = den / den.sum()  # the degrees of freedom from the matrices of Bell and McCaffrey
    a = np.diag(w / np.sqrt(1 - w)) @ (np.eye(40) - np.outer(np.ones(40), w))
    b = a.T @ a
    assert found.df == pytest.approx(np.trace(b) ** 2 / np.trace(b @ b))


@pytest.mark.parametrize("activity", ["geometric", "heavy", "one user"])
def test_intervals_of_ratios_cover_the_truth_whoever_is_active(activity: str) -> None:
    rng, covered, runs, users = np.random.default_rng(4), 0, 400, 60
    for _ in range(runs):
        den = np.ceil(rng.lognormal(0.5, 1.5, users)) if activity == "heavy" else rng.geometric(0.3, users) * 1.0
        if activity == "one user":
            den[0] = 10 * den.sum()
        num = rng.binomial(den.astype(int), rng.beta(2, 6, users)) * 1.0
        found = stats.mean_interval(num, den)
        covered += found.lo <= 0.25 <= found.hi
    assert covered / runs >= 0.92


@pytest.mark.parametrize(
    ("values", "limit"),
    [
        pytest.param([*range(101)], 99.0, id="the largest is lowered"),
        pytest.param([0] * 999 + [7], NAN, id="99 in 100 alike: nothing is lowered"),
        pytest.param([NAN, NAN], NAN, id="no number"),
        pytest.param([], NAN, id="nothing"),
    ],
)
def test_winsorising(values: list[float], limit: float) -> None:
    found = stats.winsorise(values)
    assert found.limit == pytest.approx(limit, nan_ok=True)
    expected = values if math.isnan(limit) else np.minimum(values, limit)
    assert found.values == pytest.approx(expected, nan_ok=True)


NO = Interval(NAN, NAN)


@pytest.mark.parametrize(
    ("good", "difference", "lift", "p", "word"),
    [
        pytest.param("up", (1, 3), (0.1, 0.3), 0.01, "better", id="more of a good thing"),
        pytest.param("up", (-3, -1), (-0.3, -0.1), 0.01, "worse", id="less of a good thing"),
        pytest.param("down", (-3, -1), (-0.3, -0.1), 0.01, "better", id="less of a bad thing"),
        pytest.param("down", (1, 3), (0.1, 0.3), 0.01, "worse", id="more of a bad thing"),
        pytest.param("none", (1, 3), (0.1, 0.3), 0.01, "higher", id="neither good nor bad"),
        pytest.param("none", (-3, -1), (-0.3, -0.1), 0.01, "lower", id="less, neither good nor bad"),
        pytest.param("up", (1, 3), (0.1, 0.3), 0.06, "inconclusive", id="the corrected p does not agree"),
        pytest.param("up", (-1, 3), (-0.1, 0.3), 0.01, "inconclusive", id="the interval does not agree"),
        pytest.param("up", (0.1, 0.2), (0.01, 0.02), 1e-9, "equivalent", id="certain but too small to matter"),
        pytest.param("up", (-0.1, 0.2), (-0.01, 0.02), 0.5, "equivalent", id="around nothing"),
        pytest.param("none", (0.1, 0.2), (0.01, 0.02), 1e-9, "higher", id="no side: no difference is too small"),
        pytest.param("none", (-0.1, 0.2), (-0.01, 0.02), 0.5, "inconclusive", id="no side, around nothing"),
        pytest.param("up", (1, 3), NO, 0.01, "better", id="control 0: no lift"),
        pytest.param("up", NO, NO, NAN, "inconclusive", id="no interval"),
    ],
)
def test_verdict(
    good: stats.Good, difference: tuple[float, float], lift: tuple[float, float], p: float, word: str
) -> None:
    assert stats.verdict(good, Interval(*difference), Interval(*lift), p) == word


def sessions_of_alike_users(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray]:
    """user (sessions,) and whether each session had a copy; some users copy often and some never, no arm differs."""
    user = np.repeat(np.arange(users), rng.geometric(0.15, users))
    return user, rng.random(len(user)) < rng.beta(0.6, 1.4, users)[user]


@pytest.mark.parametrize(("users", "tested"), [(400, "welch"), (60, "permutation")])
def test_without_a_difference_users_rarely_show_one_and_sessions_often(users: int, tested: str) -> None:
    rng, runs = np.random.default_rng(11), 600
    ours = naive = 0
    for run in range(runs):
        user, copied = sessions_of_alike_users(rng, users)
        treated = rng.permutation(users) < users // 2
        num, den = np.bincount(user, weights=copied), np.bincount(user).astype(float)
        if tested == "welch":
            p = stats.compare(stats.ratio(num[~treated], den[~treated]), stats.ratio(num[treated], den[treated])).p
        else:
            p = Assignments(num, den, treated, permutations=200, seed=run).p(0.0)
        ours += p < 0.05
        a, b = copied[~treated[user]], copied[treated[user]]
        alone = stats.compare(stats.ratio(a, np.ones(len(a))), stats.ratio(b, np.ones(len(b))))
        naive += alone.p < 0.05
    assert 0.03 <= ours / runs <= 0.07
    assert naive / runs > 0.15
