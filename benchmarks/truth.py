"""Do verdicts hold: false positives, coverage and power of what reports print, on simulated users.

    python -m benchmarks.truth [RUNS] [KIND …]

Every run draws users, puts them into tables as reports keep them, and asks `engagement`, the funnel's `aggregate` and
`People.compare` (dropoff, chats, health) as commands do. Without an effect a p under 0.05 is a false positive; with one
it is power, beside Fisher's exact test or Welch's t test where these apply. Coverage: how often the printed interval of
the difference holds the true one. A line's error is that of its share at 5 %, for the number of runs. RUNS: 2,000.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats as sps

from llmtrack.analysis.experiment.report import engagement
from llmtrack.analysis.experiment.users import people
from llmtrack.analysis.funnel.counts import aggregate
from llmtrack.analysis.result import Comparison

Floats = npt.NDArray[np.float64]
RUNS = 2_000
ALPHA = 0.05
SMALL = ((5, 5), (12, 9), (30, 30))
UNEQUAL = ((200, 50), (2000, 100), (3000, 150))


class Users(NamedTuple):
    """A row a user: what is divided by what. Rows of answers, where quantiles are asked for: values, cut, user."""

    numerator: Floats
    denominator: Floats
    rows: tuple[Floats, npt.NDArray[np.bool_], npt.NDArray[np.intp]] | None = None


class Kind(NamedTuple):
    """How users are drawn without and with an effect (`changed`: which users have it), and the true difference then."""

    draw: Callable[[np.random.Generator, npt.NDArray[np.bool_]], Users]
    effect: float
    ask: Callable[[Users, npt.NDArray[np.intp], int], list[Comparison]]
    beside: str = ""


def binary(share: float, with_effect: float) -> Kind:
    def draw(rng: np.random.Generator, changed: npt.NDArray[np.bool_]) -> Users:
        return Users((rng.random(len(changed)) < np.where(changed, with_effect, share)) * 1.0, np.ones(len(changed)))

    return Kind(draw, with_effect - share, metric("copied_response_share", "copied_responses"), "fisher")


def continuous(values: Callable[[np.random.Generator, int], Floats], step: float) -> Kind:
    def draw(rng: np.random.Generator, changed: npt.NDArray[np.bool_]) -> Users:
        return Users(values(rng, len(changed)) + step * changed, np.ones(len(changed)))

    return Kind(draw, step, metric("copies_per_response", "answer_copies"), "t")


def ratio(activity: Callable[[np.random.Generator, int], Floats], ask: str = "engagement") -> Kind:
    """Users differ in how active they are and in how often they do it (a beta-binomial share, .25 on average)."""

    def draw(rng: np.random.Generator, changed: npt.NDArray[np.bool_]) -> Users:
        den = activity(rng, len(changed))
        share = rng.beta(2, 6, len(changed)) + 0.1 * changed
        return Users(rng.binomial(den.astype(int), np.minimum(share, 1)) * 1.0, den)

    asked = {"engagement": metric("copied_response_share", "copied_responses"), "funnel": funnel, "dropoff": dropoff}
    return Kind(draw, 0.1, asked[ask])


def waits(name: str, q: float, *, cut: bool = False) -> Kind:
    """Answers' times, alike within a user; some cut short. Medians differ by a factor of 1.5 with an effect."""

    def draw(rng: np.random.Generator, changed: npt.NDArray[np.bool_]) -> Users:
        n, rows = len(changed), rng.geometric(0.25, len(changed))
        user = np.repeat(np.arange(n), rows)
        values = np.exp(rng.normal(0, 0.4, n)[user] + rng.normal(0, 0.5, len(user))) * np.where(changed[user], 1.5, 1)
        ends = rng.exponential(1.7, len(user)) if cut else np.full(len(user), np.inf)
        return Users(np.ones(n), np.ones(n), (np.minimum(values, ends), ends < values, user))

    true = 0.5 * math.exp(float(sps.norm.ppf(q)) * math.hypot(0.4, 0.5))
    return Kind(draw, true, metric(name, "answer_copies"))


def sessions_of(users: Users, arm: npt.NDArray[np.intp], column: str) -> pd.DataFrame:
    n = len(arm)
    same = {"experiment_id": "e", "open": False, "end_estimated": False, "duration_s": 60.0, "start_ms": 0.0}
    same |= {"prompts": 1, "exit_reason": "after_reading"}
    names = np.array([f"u{i}" for i in range(n)], dtype=object)
    groups = np.array(["arm 0", "arm 1", "arm 2"], dtype=object)[arm]
    own = {"user_id": names, "session_id": names, "model_group": groups}
    return pd.DataFrame({**own, column: users.numerator, "responses": users.denominator}).assign(**same)


def metric(name: str, column: str) -> Callable[[Users, npt.NDArray[np.intp], int], list[Comparison]]:
    """The comparisons of a metric as `engagement` has them."""

    def ask(users: Users, arm: npt.NDArray[np.intp], seed: int) -> list[Comparison]:
        sessions, responses = sessions_of(users, arm, column), None
        if users.rows is not None:
            values, cut, user = users.rows
            quick = {"latency_ms": values, "first_action_s": values, "first_action_censored": cut}
            ids = {"user_id": sessions["user_id"].to_numpy()[user], "group": sessions["model_group"].to_numpy()[user]}
            responses = pd.DataFrame({**ids, **quick})
        found = engagement(sessions, primary=(name,), seed=seed, responses=responses, force=True)
        return next(each.comparisons for each in found.metrics if each.metric == name)

    return ask


def funnel(users: Users, arm: npt.NDArray[np.intp], seed: int) -> list[Comparison]:
    """The comparisons of a funnel's second step; its units are the visits of users."""
    visits = users.denominator.astype(int)
    second = np.concatenate([np.arange(n) < k for n, k in zip(visits, users.numerator, strict=True)])
    units = sessions_of(users, arm, "x").loc[np.repeat(np.arange(len(arm)), visits)].reset_index(drop=True)
    units = units.assign(session_id=units.index.astype(str), group=units["model_group"], reached=1 + second)
    found = aggregate(units.assign(dropped=False, s_2=1.0), ["prompt", "copy"])
    return [each for each in found.comparisons if each.metric == "copy"]


def dropoff(users: Users, arm: npt.NDArray[np.intp], seed: int) -> list[Comparison]:
    """The comparisons of the share of turns after which people left, as dropoff, chats and health make theirs."""
    who = people(sessions_of(users, arm, "x"))
    row = who.arms.row
    return who.compare({"left_share": (who.add(row, users.numerator), who.add(row, users.denominator))})


def geometric(rng: np.random.Generator, users: int) -> Floats:
    return rng.geometric(0.3, users) * 1.0


def heavy(rng: np.random.Generator, users: int) -> Floats:
    return np.ceil(rng.lognormal(0.5, 1.5, users))


def whale(rng: np.random.Generator, users: int) -> Floats:
    found = geometric(rng, users)
    found[rng.integers(users)] = 1000
    return found


def zeros(rng: np.random.Generator, users: int) -> Floats:
    return (rng.random(users) < 0.1) * rng.lognormal(0, 1, users)


KINDS = {
    "binary 0.2 %": binary(0.002, 0.02),
    "binary 1 %": binary(0.01, 0.04),
    "binary 5 %": binary(0.05, 0.12),
    "binary 20 %": binary(0.2, 0.45),
    "lognormal sd 1": continuous(lambda rng, n: rng.lognormal(0, 1, n), 1.0),
    "lognormal sd 2": continuous(lambda rng, n: rng.lognormal(0, 2, n), 5.0),
    "zero-inflated": continuous(zeros, 0.1),
    "beta-binomial": ratio(geometric),
    "heavy activity": ratio(heavy),
    "one whale": ratio(whale),
    "funnel step": ratio(geometric, "funnel"),
    "dropoff share": ratio(heavy, "dropoff"),
    "p50": waits("latency_p50_ms", 0.5),
    "p95": waits("latency_p95_ms", 0.95),
    "first action": waits("first_action_s", 0.5, cut=True),
}


class Found(NamedTuple):
    """Of so many comparisons with a p: the shares that reject, that hold the truth, and that the peer rejects."""

    tests: int
    rejects: float
    covers: float
    peer: float
    method: str
    seconds: float


def measured(kind: Kind, arms: tuple[int, ...], *, changed: bool, runs: int, seed: int = 1) -> Found:
    """Users are drawn as one, then put into arms; with an effect all arms but the first have it."""
    rng, began = np.random.default_rng((seed, *arms, changed)), time.perf_counter()
    rejected, held, peer, methods = [], [], [], []
    for run in range(runs):
        arm = rng.permutation(np.repeat(np.arange(len(arms)), arms))
        users = kind.draw(rng, (arm > 0) & changed)
        for each in kind.ask(users, arm, run):
            methods.append(each.method)
            if each.p is None:
                continue
            rejected.append(each.p < ALPHA)
            held.append(_holds(each, kind.effect if changed else 0.0))
        if kind.beside:
            peer.append(_peer(kind.beside, users.numerator[arm == 0], users.numerator[arm == 1]) < ALPHA)
    most = max(set(methods), key=methods.count)
    shares = (float(np.mean(each)) if each else math.nan for each in (rejected, held, peer))
    return Found(len(rejected), *shares, most, (time.perf_counter() - began) / max(1, runs))


def _holds(found: Comparison, truth: float) -> bool:
    """Whether the interval holds the truth; without an interval nothing is left out."""
    lo, hi = found.difference_ci or (-math.inf, math.inf)
    return lo - 1e-9 <= truth <= hi + 1e-9


def _peer(name: str, control: Floats, treatment: Floats) -> float:
    if name == "t":
        return float(sps.ttest_ind(control, treatment, equal_var=False).pvalue)
    hits = [(int(each.sum()), len(each) - int(each.sum())) for each in (control, treatment)]
    return float(sps.fisher_exact(hits).pvalue)


def srm(runs: int) -> Iterator[str]:
    """False alarms of the split (p under 0.001 raises one; 0.05 shows the level), for even and uneven weights."""
    for weights in ({"a": 1.0, "b": 1.0}, {"a": 20.0, "b": 1.0}, {"a": 1.0, "b": 1.0, "c": 0.1}):
        for users in (12, 100, 3000):
            rng = np.random.default_rng((7, users))
            share = np.array(list(weights.values())) / sum(weights.values())
            below = []
            for _ in range(runs):
                arm = rng.choice(len(share), users, p=share)
                table = sessions_of(Users(np.ones(users), np.ones(users)), np.zeros(users, dtype=int), "x")
                table["model_group"] = np.array(list(weights), dtype=object)[arm]
                p = people(table, weights=weights).srm_p
                below.append(p < ALPHA)
            told = ":".join(f"{weight:g}" for weight in weights.values())
            yield f"| SRM {told} | {users} | {np.mean(below):.1%} | | | | exact or χ² |"


def lines(names: list[str], runs: int) -> Iterator[str]:
    error = math.sqrt(0.05 * 0.95 / runs)
    yield f"{runs} runs; a share of 5 % has a Monte-Carlo error of ± {error:.1%} (one standard error)"
    yield "| users drawn | arms | false positives | coverage | with effect: covers | power | peer's | method |"
    yield "|---|---|---|---|---|---|---|---|"
    for name in names:
        for arms in (*SMALL, *UNEQUAL, (30, 30, 30)):
            same, other = (measured(KINDS[name], arms, changed=changed, runs=runs) for changed in (False, True))
            peer = "" if math.isnan(other.peer) else f"{other.peer:.0%}"
            yield (
                f"| {name} | {':'.join(map(str, arms))} | {same.rejects:.1%} | {same.covers:.1%} | {other.covers:.1%}"
                f" | {other.rejects:.0%} | {peer} | {same.method} |"
            )


def main(runs: int, names: list[str]) -> None:
    for line in lines(names or list(KINDS), runs):
        print(line, flush=True)
    if not names:
        for line in srm(runs):
            print(line, flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS, sys.argv[2:])
