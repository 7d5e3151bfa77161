"""From one arm's users to an estimate, from two arms to a tested difference: where each method applies."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from llmtrack.analysis.experiment.metrics import Floats, ResponseMetric, Rows, UserSums
from llmtrack.analysis.stats import (
    Difference,
    Interval,
    Ratio,
    bootstrap_km_median,
    bootstrap_quantile,
    compare,
    compare_bootstrap,
    div,
    km_median,
    permutation_test,
    pseudo_observations,
    quantile,
    ratio,
    share_difference,
)
from llmtrack.analysis.stats.ratio import NO_INTERVAL, with_zero

Mask = npt.NDArray[np.bool_]

# Under this many users the variance itself is a guess: numbers, no inference.
MIN_USERS = 30
# Under this many effective users, or so little of what varies in the smaller arm, the normal curve is not trusted.
MIN_N_EFF = 100
MIN_VARIED = 30
FEW_BEYOND = 10
FINER = 10


class Options(NamedTuple):
    """How to infer: the level, and how often to resample (0: not at all)."""

    alpha: float
    seed: int
    permutations: int
    bootstraps: int


class SumsArm(NamedTuple):
    """One arm of a ratio of sums; `users` counts those with something in the denominator."""

    numerator: Floats
    denominator: Floats
    estimate: Ratio
    users: int


class ResponseArm(NamedTuple):
    """One arm of a quantile over responses; `user` numbers its users from 0; no `replicates` if none were drawn."""

    values: Floats
    censored: Mask
    user: Rows
    users: int
    value: float
    n_eff: float
    replicates: Floats


class Outcome(NamedTuple):
    """A difference and the method of its p; "none" with NaN for p and the intervals when nothing may be inferred."""

    difference: Difference
    method: str


def sums_arm(sums: UserSums, arm: Rows, group: int) -> SumsArm:
    """The users of one group; `arm` is the group of every user row."""
    chosen = arm[sums.row] == group
    return _sums_arm(sums.numerator[chosen], sums.denominator[chosen])


def mean_interval(arm: SumsArm, alpha: float = 0.05) -> Interval:
    """The interval of an arm's ratio; not below 0 where no user's numbers are."""
    found = arm.estimate.interval(alpha)
    if len(arm.numerator) and arm.numerator.min() >= 0:
        return found._replace(lo=max(0.0, found.lo)) if found.hi >= 0 else found
    return found


def compare_sums(control: SumsArm, treatment: SumsArm, options: Options) -> Outcome:
    """Welch's test on the delta method; a permutation of users and its inversion where the normal curve may fail."""
    difference = compare(control.estimate, treatment.estimate, options.alpha)
    if min(control.users, treatment.users) < MIN_USERS:
        untested = Difference(
            difference.difference, NO_INTERVAL, difference.lift, NO_INTERVAL, math.nan, math.nan, math.nan
        )
        return Outcome(untested, "none")
    if difference.difference == 0 and control.estimate.variance == treatment.estimate.variance == 0:
        same = Interval(0.0, 0.0)  # nobody differs from anybody
        return Outcome(difference._replace(difference_ci=same, lift_ci=same, p=1.0), "constant")
    if options.permutations and not _is_normal(control, treatment):
        return Outcome(_permuted(control, treatment, difference, options), "permutation")
    return Outcome(difference, "welch")


def _is_normal(control: SumsArm, treatment: SumsArm) -> bool:
    """Whether a t distribution describes both arms' ratios: enough users, and enough of them that vary.

    (Σe²)² / Σe⁴ is how many users carry the residuals e; a rare success or one heavy user makes it small. The smaller
    arm gets its share of them.
    """
    if min(control.estimate.n_eff, treatment.estimate.n_eff) < MIN_N_EFF:
        return False
    if not min(control.estimate.variance, treatment.estimate.variance) > 0:
        return False
    num = np.concatenate([control.numerator, treatment.numerator])
    den = np.concatenate([control.denominator, treatment.denominator])
    squares = (num - div(float(num.sum()), float(den.sum())) * den) ** 2
    varied = div(float(squares.sum()) ** 2, float(squares @ squares))
    return varied * min(control.users, treatment.users) / (control.users + treatment.users) >= MIN_VARIED


def _permuted(control: SumsArm, treatment: SumsArm, difference: Difference, options: Options) -> Difference:
    test = partial(
        permutation_test,
        np.concatenate([control.numerator, treatment.numerator]),
        np.concatenate([control.denominator, treatment.denominator]),
        np.repeat([False, True], [len(control.numerator), len(treatment.numerator)]),
        seed=options.seed,
        alpha=options.alpha,
    )
    found = test(permutations=options.permutations)
    if found.p * options.permutations < FEW_BEYOND:  # too few lay beyond to tell how small p is
        found = test(permutations=FINER * options.permutations)
    interval, lift = found.interval, difference.lift_ci
    shares = all(
        bool((arm.numerator >= 0).all() and (arm.numerator <= arm.denominator).all()) for arm in (control, treatment)
    )
    if shares and not {0.0, 1.0}.isdisjoint((control.estimate.value, treatment.estimate.value)):
        # Users of an arm that never or always does something are no measure of how it varies.
        scored = share_difference(
            (control.numerator, control.denominator), (treatment.numerator, treatment.denominator), options.alpha
        )
        if found.p > options.alpha or not scored.lo <= 0 <= scored.hi:  # else it contradicts p
            interval = scored
    if found.p > options.alpha:
        interval, lift = with_zero(interval), with_zero(lift)
    half = (interval.hi - interval.lo) / 2
    error = half / float(special.ndtri(1 - options.alpha / 2))
    return difference._replace(p=found.p, difference_ci=interval, lift_ci=lift, standard_error=error, df=math.inf)


class Responses(NamedTuple):
    """A response metric's rows without NaN: value, whether it was cut short, and its user row."""

    values: Floats
    censored: Mask
    row: Rows


def response_arm(metric: ResponseMetric, responses: Responses, arm: Rows, group: int, options: Options) -> ResponseArm:
    """The responses to one group's users; `arm` is the group of every user row. Under MIN_USERS: no replicates."""
    chosen = arm[responses.row] == group
    values, censored = responses.values[chosen], responses.censored[chosen]
    _, user, rows_of = np.unique(responses.row[chosen], return_inverse=True, return_counts=True)
    n_eff = div(float(len(values)) ** 2, float(rows_of @ rows_of))
    resamples = options.bootstraps if len(rows_of) >= MIN_USERS else 0
    rng = np.random.default_rng((options.seed, group))
    replicates = np.empty(0)
    if resamples and metric.censored:
        replicates = bootstrap_km_median(values, censored, user, resamples=resamples, rng=rng)
    elif resamples:
        replicates = bootstrap_quantile(values, user, metric.q, resamples=resamples, rng=rng)
    value = _quantile(metric, values, censored)
    return ResponseArm(values, censored, user, len(rows_of), value, n_eff, replicates)


def compare_responses(
    metric: ResponseMetric, control: ResponseArm, treatment: ResponseArm, options: Options
) -> Outcome:
    """Intervals from both arms' replicates; p from the shares beyond the quantile of both arms together."""
    tested = _compare_shares(metric, control, treatment, options)
    if tested.method == "none" or not (len(control.replicates) and len(treatment.replicates)):
        drawn = np.empty(0), np.empty(0)
    else:
        drawn = control.replicates, treatment.replicates
    p = tested.difference.p
    found = compare_bootstrap(control.value, treatment.value, *drawn, p=p, alpha=options.alpha)
    return Outcome(found, "bootstrap" if tested.method == "welch" else tested.method)


def _compare_shares(metric: ResponseMetric, control: ResponseArm, treatment: ResponseArm, options: Options) -> Outcome:
    values = np.concatenate([control.values, treatment.values])
    censored = np.concatenate([control.censored, treatment.censored])
    shares = pseudo_observations(values, censored, _quantile(metric, values, censored))
    split = len(control.values)
    return compare_sums(
        _sums_arm(np.bincount(control.user, weights=shares[:split]), np.bincount(control.user)),
        _sums_arm(np.bincount(treatment.user, weights=shares[split:]), np.bincount(treatment.user)),
        options,
    )


def _sums_arm(numerator: npt.NDArray[Any], denominator: npt.NDArray[Any]) -> SumsArm:
    return SumsArm(numerator, denominator, ratio(numerator, denominator), int(np.count_nonzero(denominator)))


def _quantile(metric: ResponseMetric, values: Floats, censored: Mask) -> float:
    return km_median(values, censored) if metric.censored else quantile(values, metric.q)
