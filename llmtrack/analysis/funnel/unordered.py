"""Unordered matching: how many distinct steps a unit does within one window, each with an event of its own.

Steps that share no event need one event each. Steps that share some (`prompt` twice, or `*`) are a matching problem;
by König's theorem as many of them can be filled as min over their subsets T of
(steps outside T + events that fit a step of T), and such counts over a stretch are differences of running counts.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.funnel.moments import Bools, Floats, Ints, Moments, Outcome, Rules, first_of_each


class _Stretches:
    """Counts of steps between two moments."""

    def __init__(self, moments: Moments, rules: Rules) -> None:
        self.moments, self.rules = moments, rules
        self.parts = [self._subsets(part) for part in _parts(moments, rules)]

    def _subsets(self, part: list[int]) -> list[tuple[int, npt.NDArray[np.int32]]]:
        """For each subset of these steps: the number of steps outside, and the events that fit inside, running."""
        subsets = [(len(part) - n, each) for n in range(1, len(part) + 1) for each in combinations(part, n)]
        return [(outside, self._running(sum(1 << step for step in subset))) for outside, subset in subsets]

    def _running(self, mask: int) -> npt.NDArray[np.int32]:
        fits = (self.moments.rows & mask) != 0
        return np.concatenate(([0], np.cumsum(fits, dtype=np.int32)), dtype=np.int32)[self.moments.row]

    def steps(self, low: Ints, high: Ints) -> Ints:
        """How many steps can be done from moment `low` to moment `high`, both inclusive."""
        done = np.zeros(len(low), dtype=np.int64)
        for subsets in self.parts:
            best = np.full(len(low), subsets[0][0] + 1)  # T empty: every step of the part
            for outside, running in subsets:
                np.minimum(best, running[high + 1] - running[low] + outside, out=best)
            done += best
        return done

    def window(self) -> Ints:
        """For each moment, the first moment of its unit that lies at most a window before it."""
        moments = self.moments
        low = moments.first.copy()
        late = np.flatnonzero(moments.t - moments.t[low] > self.rules.window_ms)

        def inside(i: Ints) -> Bools:
            return moments.t[late] - moments.t[i] <= self.rules.window_ms

        low[late] = _first(low[late], late, inside)
        return low


def match_windows(moments: Moments, n_units: int, rules: Rules) -> Outcome:
    """Most steps that each unit does in one window; exclusion and times as in match_chains.

    An attempt is a moment by which the most steps are done, together with the latest start from which they are.
    """
    stretches = _Stretches(moments, rules)
    everything = np.arange(len(moments))
    done = stretches.steps(stretches.window(), everything)
    done[(moments.marks & rules.steps) == 0] = 0
    reached = np.zeros(n_units, dtype=np.int8)
    opens = np.flatnonzero(moments.first == everything)
    reached[moments.unit[opens]] = np.maximum.reduceat(done, opens)
    attempts = np.flatnonzero((done > 0) & (done == reached[moments.unit]))
    if not (moments.marks & rules.excluded).any():
        attempts = attempts[first_of_each(moments.unit[attempts])]
    start = _latest_start(stretches, attempts, done[attempts])
    clean = moments.clean(start, attempts, done[attempts] == rules.n_steps, rules)
    attempts, start = attempts[clean], start[clean]
    first = first_of_each(moments.unit[attempts])
    attempts, start = attempts[first], start[first]
    at = np.full((n_units, rules.n_steps), np.nan)
    unit = moments.unit[attempts]
    at[unit] = _times(stretches, start, attempts, done[attempts])
    dropped = reached > 0
    dropped[unit] = False
    return Outcome(reached, dropped, at)


def _parts(moments: Moments, rules: Rules) -> list[list[int]]:
    """The steps in parts that share no event."""
    parts = [1 << step for step in range(rules.n_steps)]
    for mask in np.unique(moments.rows & rules.steps).tolist():
        touched = [part for part in parts if part & mask]
        if touched:
            parts = [part for part in parts if not part & mask] + [sum(touched)]
    return [[step for step in range(rules.n_steps) if part >> step & 1] for part in parts]


def _latest_start(stretches: _Stretches, high: Ints, wanted: Ints) -> Ints:
    """The last moment from which `wanted` steps are done by moment `high`."""

    def too_late(low: Ints) -> Bools:
        return stretches.steps(np.minimum(low, high), high) < wanted

    return _first(stretches.moments.first[high], high + 1, too_late) - 1


def _times(stretches: _Stretches, start: Ints, end: Ints, done: Ints) -> Floats:
    """(attempts, steps): when 1, 2, … steps were first done, counted from `start`."""
    n_steps = stretches.rules.n_steps
    times = np.full((len(start), n_steps), np.nan)
    attempt, step = np.nonzero(np.arange(n_steps) < done[:, np.newaxis])

    def enough(high: Ints) -> Bools:
        return stretches.steps(start[attempt], high) > step

    times[attempt, step] = stretches.moments.t[_first(start[attempt], end[attempt], enough)]
    return times


def _first(low: Ints, high: Ints, holds: Callable[[Ints], Bools]) -> Ints:
    """Elementwise the least i from low to high for which holds(i), which stays true once it is, and is true at high."""
    low, high = low.copy(), high.copy()
    while (low < high).any():
        middle = (low + high) // 2
        yes = holds(middle)
        open_ = low < high
        high = np.where(open_ & yes, middle, high)
        low = np.where(open_ & ~yes, middle + 1, low)
    return low
