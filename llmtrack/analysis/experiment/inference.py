"""From one arm's users to an estimate, from two arms to a tested difference: where each method applies."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import special

from llmtrack.analysis.experiment.metrics import Floats, ResponseMetric, Rows, UserSums
from llmtrack.analysis.stats import (
    Difference,
    Interval,
    Ratio,
    Sample,
    compare,
    div,
    permutation_test,
    quantile_interval,
    ratio,
    share_difference,
)
from llmtrack.analysis.stats.permutation import Assignments, ends
from llmtrack.analysis.stats.quantile import of_rows, split_at
from llmtrack.analysis.stats.ratio import NO_INTERVAL, with_zero

Mask = npt.NDArray[np.bool_]

MIN_USERS: Final = 5  # of fewer, the permutation of users can hardly reject anything: numbers, no inference
# Under this many effective users, or so little of what varies in the smaller arm, the normal curve is not trusted.
MIN_N_EFF: Final = 100
MIN_VARIED: Final = 30
FEW_BEYOND: Final = 10
FINER: Final = 10
SAME: Final = Interval(0.0, 0.0)
ROUNDS: Final = 12  # of the search for an end: to 1/4,000 of half an interval
MOST: Final = 700.0  # of a logarithm that a float holds
LEAST: Final = 1e-6
ALIKE: Final = 30  # users an arm, for "all alike" to say that nothing differs: fewer may have missed what is rare


class Options(NamedTuple):
    """How to infer: the level, how often users change arms (0: never), and whether intervals are wanted beside p."""

    alpha: float
    seed: int
    permutations: int
    intervals: bool = True


class SumsArm(NamedTuple):
    """One arm of a ratio of sums: a row a user with something in the denominator."""

    numerator: Floats
    denominator: Floats
    estimate: Ratio

    @property
    def users(self) -> int:
        return self.estimate.users


class ResponseArm(NamedTuple):
    """One arm of a quantile over responses: its users, the quantile (infinite: never reached) and its interval."""

    sample: Sample
    users: int
    value: float
    interval: Interval
    n_eff: float


class Outcome(NamedTuple):
    """A difference and the method of its p; "none" with NaN for p and the intervals when nothing may be inferred."""

    difference: Difference
    method: str


def sums(numerator: Floats, denominator: Floats) -> SumsArm:
    """An arm of these users, one row each; who has nothing in the denominator is no user of the metric."""
    there = denominator > 0
    if not there.all():
        numerator, denominator = numerator[there], denominator[there]
    return SumsArm(numerator, denominator, ratio(numerator, denominator))


def sums_arm(of_users: UserSums, arm: Rows, group: int) -> SumsArm:
    """The users of one group; `arm` is the group of every user row."""
    chosen = arm[of_users.row] == group
    return sums(of_users.numerator[chosen], of_users.denominator[chosen])


def compare_sums(control: SumsArm, treatment: SumsArm, options: Options) -> Outcome:
    """Welch's test on the delta method; a permutation of users and its inversion where the normal curve may fail."""
    difference = compare(control.estimate, treatment.estimate, options.alpha)
    if min(control.users, treatment.users) < MIN_USERS:
        return Outcome(_untested(difference), "none")
    if _constant(control, treatment):
        found = _same(difference, control.users, treatment.users)
        if _never_or_always(control, treatment) and found.difference_ci != SAME:
            found = found._replace(difference_ci=_scored(control, treatment, options.alpha))
        return Outcome(found, "constant")
    if not options.permutations or _is_normal(control, treatment):
        return Outcome(difference, "welch")
    if not options.intervals:
        read, method = _reading(control, treatment, options)
        return Outcome(_untested(difference)._replace(p=read(_statistic(control, treatment))), method)
    return Outcome(_permuted(control, treatment, difference, options), "permutation")


def _untested(difference: Difference) -> Difference:
    nothing = {"p": math.nan, "standard_error": math.nan, "df": math.nan}
    return difference._replace(difference_ci=NO_INTERVAL, lift_ci=NO_INTERVAL, **nothing)


def _constant(control: SumsArm, treatment: SumsArm) -> bool:
    """Whether no user differs from any other."""
    same = control.estimate.value == treatment.estimate.value
    return same and control.estimate.variance == treatment.estimate.variance == 0


def _same(difference: Difference, *users: int) -> Difference:
    """Of many users who are all alike: no difference; of few there is no interval."""
    interval = SAME if min(users) >= ALIKE else NO_INTERVAL
    return difference._replace(difference=0.0, difference_ci=interval, lift_ci=interval, p=1.0)


def _is_normal(control: SumsArm, treatment: SumsArm) -> bool:
    """Whether a t distribution describes both arms' ratios: enough users, and enough of them that vary.

    (Σe²)² / Σe⁴ is how many users carry the residuals e; a rare success or one heavy user makes it small. The smaller
    arm gets its share of them.
    """
    if min(control.estimate.n_eff, treatment.estimate.n_eff) < MIN_N_EFF:
        return False
    if not min(control.estimate.variance, treatment.estimate.variance) > 0:
        return False
    num, den, _ = _together(control, treatment)
    squares = (num - div(float(num.sum()), float(den.sum())) * den) ** 2
    varied = div(float(squares.sum()) ** 2, float(squares @ squares))
    return varied * min(control.users, treatment.users) / (control.users + treatment.users) >= MIN_VARIED


def _together(control: SumsArm, treatment: SumsArm) -> tuple[Floats, Floats, Mask]:
    """Numerators and denominators of all users, and who is the treatment's."""
    return (
        np.concatenate([control.numerator, treatment.numerator]),
        np.concatenate([control.denominator, treatment.denominator]),
        np.repeat([False, True], [control.users, treatment.users]),
    )


def _permuted(control: SumsArm, treatment: SumsArm, difference: Difference, options: Options) -> Difference:
    users = _together(control, treatment)
    found = permutation_test(*users, permutations=options.permutations, seed=options.seed, alpha=options.alpha)
    if found.p * options.permutations < FEW_BEYOND:  # too few lay beyond to tell how small p is
        finer = Assignments(*users, permutations=FINER * options.permutations, seed=options.seed)
        found = found._replace(p=finer.p(0.0))
    interval, lift = found.interval, found.lift
    if _never_or_always(control, treatment):
        # Users of an arm that never or always does something are no measure of how it varies.
        scored = _scored(control, treatment, options.alpha)
        if found.p > options.alpha or not scored.lo <= 0 <= scored.hi:  # else it contradicts p
            interval = scored
    if _shares(control, treatment):
        interval = Interval(max(interval.lo, -1.0), min(interval.hi, 1.0))
    if found.p > options.alpha:
        interval = with_zero(interval)
    return _with(difference, found.p, interval, lift, options.alpha)


def _shares(control: SumsArm, treatment: SumsArm) -> bool:
    """Whether the numerators may count some of the denominators."""
    return all(
        bool((arm.numerator >= 0).all() and (arm.numerator <= arm.denominator).all()) for arm in (control, treatment)
    )


def _never_or_always(control: SumsArm, treatment: SumsArm) -> bool:
    """Whether a share is 0 or 1 in an arm."""
    found = {control.estimate.value, treatment.estimate.value}
    return not found.isdisjoint({0.0, 1.0}) and _shares(control, treatment)


def _scored(control: SumsArm, treatment: SumsArm, alpha: float) -> Interval:
    one, two = ((arm.numerator, arm.denominator) for arm in (control, treatment))
    return share_difference(one, two, alpha)


def _with(difference: Difference, p: float, interval: Interval, lift: Interval, alpha: float) -> Difference:
    """The difference with what a test without a formula found; its standard error is that of the interval."""
    error = (interval.hi - interval.lo) / 2 / float(special.ndtri(1 - alpha / 2))
    return difference._replace(p=p, difference_ci=interval, lift_ci=lift, standard_error=error, df=math.inf)


class Responses(NamedTuple):
    """A response metric's rows without NaN: value, whether it was cut short, and its user row."""

    values: Floats
    censored: Mask
    row: Rows


def response_arm(metric: ResponseMetric, responses: Responses, arm: Rows, group: int, options: Options) -> ResponseArm:
    """The responses to one group's users; `arm` is the group of every user row."""
    chosen = arm[responses.row] == group
    _, user, rows_of = np.unique(responses.row[chosen], return_inverse=True, return_counts=True)
    sample = Sample(responses.values[chosen], responses.censored[chosen], user)
    enough = len(rows_of) >= MIN_USERS
    return ResponseArm(
        sample=sample,
        users=len(rows_of),
        value=of_rows(sample, metric.q),
        interval=quantile_interval(sample, metric.q, options.alpha) if enough and options.intervals else NO_INTERVAL,
        n_eff=div(float(len(sample.values)) ** 2, float(rows_of @ rows_of)),
    )


def compare_responses(
    metric: ResponseMetric, control: ResponseArm, treatment: ResponseArm, options: Options
) -> Outcome:
    """p from the users' shares beyond the quantile of both arms together, and the differences it does not reject.

    A difference δ is tested by taking it off the treatment's rows, a lift by taking it off their logarithms, so that p
    and intervals agree.
    """
    empty = Difference(
        treatment.value - control.value,
        NO_INTERVAL,
        div(treatment.value, control.value) - 1 if math.isfinite(control.value) else math.nan,
        NO_INTERVAL,
        math.nan,
        math.nan,
        math.nan,
    )
    if min(control.users, treatment.users) < MIN_USERS:
        return Outcome(empty, "none")
    one, two = (sums(*each) for each in split_at(control.sample, treatment.sample, metric.q))
    if _constant(one, two):
        alike = control.value == treatment.value
        return Outcome(_same(empty, one.users, two.users) if alike else empty._replace(p=1.0), "constant")
    read, method = _reading(one, two, options)
    p = read(_statistic(one, two))
    if not options.intervals:
        return Outcome(empty._replace(p=p), method)
    interval, lift = _inverted(metric, control, treatment, read, options.alpha), NO_INTERVAL
    if control.value > 0 and treatment.value > 0:
        found = _inverted(metric, _on_logs(control), _on_logs(treatment), read, options.alpha)
        lift = Interval(*(math.expm1(min(end, MOST)) for end in found))
    return Outcome(_with(empty, p, interval, lift, options.alpha), method)


class Statistic(NamedTuple):
    """Welch's t of two arms, and its degrees of freedom."""

    t: float
    df: float


def _statistic(control: SumsArm, treatment: SumsArm) -> Statistic:
    found = compare(control.estimate, treatment.estimate)
    if found.standard_error > 0:
        return Statistic(found.difference / found.standard_error, found.df)
    return Statistic(math.copysign(math.inf, found.difference) if found.difference else 0.0, math.inf)


def _reading(control: SumsArm, treatment: SumsArm, options: Options) -> tuple[Callable[[Statistic], float], str]:
    """How a statistic is read as p: by Student's curve, or by users who change arms."""
    if not options.permutations or _is_normal(control, treatment):
        return lambda found: 2 * float(special.stdtr(found.df, -abs(found.t))), "welch"
    users, own = _together(control, treatment), _statistic(control, treatment).t
    moved = Assignments(*users, permutations=options.permutations, seed=options.seed)
    if moved.p_of(own) * options.permutations < FEW_BEYOND:
        moved = Assignments(*users, permutations=FINER * options.permutations, seed=options.seed)
    return lambda found: moved.p_of(found.t), "permutation"


def _on_logs(arm: ResponseArm) -> ResponseArm:
    """The arm as its values' logarithms."""
    with np.errstate(divide="ignore"):  # a wait of 0 s
        values = np.log(np.maximum(arm.sample.values, 0))
        lo, hi = np.log(np.maximum(arm.interval, 0)).tolist()
    logs = arm.sample._replace(values=values)
    return arm._replace(sample=logs, value=math.log(arm.value), interval=Interval(lo, hi))


def _inverted(
    metric: ResponseMetric,
    control: ResponseArm,
    treatment: ResponseArm,
    read: Callable[[Statistic], float],
    alpha: float,
) -> Interval:
    """All δ that can be taken off the treatment's rows without the test's saying that the arms differ."""

    def p(delta: float) -> float:
        arms = split_at(control.sample, treatment.sample.moved(delta), metric.q)
        return read(_statistic(*(sums(*each) for each in arms)))

    inside = treatment.value - control.value
    if not math.isfinite(inside):  # an arm never gets there: 0 is in or out, and nothing bounds the other end
        sure = p(0.0) <= alpha and not math.isnan(inside)
        edge = math.copysign(LEAST, inside)
        return Interval(edge if sure and inside > 0 else -math.inf, edge if sure and inside < 0 else math.inf)
    down = math.hypot(treatment.value - treatment.interval.lo, control.interval.hi - control.value)
    up = math.hypot(treatment.interval.hi - treatment.value, control.value - control.interval.lo)
    usual = max(abs(inside), abs(control.value) / 10, LEAST)
    first = [step * 1.25 if math.isfinite(step) and step > 0 else usual for step in (down, up)]
    return ends(p, inside, (first[0], first[1]), alpha, rounds=ROUNDS)
