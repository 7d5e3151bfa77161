"""Ordered and strict matching, exactly, with a loop over steps and none over events.

A chain fills steps 1, 2, … with different events whose times do not fall, the last at most a window after the first.
Of all chains that stand at a step before some moment, the one with the latest step 1 can do whatever the others can:
its window ends last, and fewer excluded events lie in it. So one number a moment and step is enough, the latest start,
and a running maximum hands it on: moments are numbered over all units in order, so that a start from another unit is
recognised by its number.

Two things go beyond that running maximum. Strict chains end at events that fit neither their last nor their next step:
the maximum then runs within the stretches between such events. And several steps may be filled in one moment, each by
an event of its own: `Ties` says how far a chain gets there.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.analysis.funnel.moments import Bools, Floats, Ints, Moments, Outcome, Rules, first_of_each


class Arrivals(NamedTuple):
    """Chains that come to one step, by moment: the latest start of any, and the steps done before the moment."""

    moment: Ints
    start: Ints
    origin: npt.NDArray[np.int8]
    key: Ints  # running maximum of the start (strict: within its stretch)


class Ties:
    """Moments with several events that fit steps (strict: or break chains)."""

    def __init__(self, moments: Moments, rules: Rules) -> None:
        row_moment = np.repeat(np.arange(len(moments)), np.diff(moments.row))
        matters = rules.steps | rules.among if rules.order == "strict" else rules.steps
        several = np.bincount(row_moment[(moments.rows & matters) != 0], minlength=len(moments)) > 1
        self.number = np.where(several, np.cumsum(several) - 1, -1)
        self.count = int(several.sum())
        inside = several[row_moment]
        self._row_tie, self._rows = self.number[row_moment[inside]], moments.rows[inside]
        self._rules = rules
        self.reach = self._reach()

    def _reach(self) -> npt.NDArray[np.int8]:
        """(ties, steps): the furthest step that a chain with a steps done gets to in the moment.

        Ties with the same events go the same way, and kinds of ties are few: each kind is worked out once.
        """
        masks, which = np.unique(self._rows & self._rules.steps, return_inverse=True)
        counts = np.bincount(self._row_tie * len(masks) + which, minlength=self.count * len(masks))
        capped = np.minimum(counts.reshape(self.count, len(masks)), self._rules.n_steps).astype(np.uint8)
        kinds, kind = np.unique(capped, axis=0, return_inverse=True)
        furthest = np.zeros((len(kinds), self._rules.n_steps), dtype=np.int8)
        for row, amounts in zip(furthest, kinds, strict=True):
            events = [int(mask) for mask, amount in zip(masks, amounts, strict=True) for _ in range(amount)]
            row[:] = [_furthest(events, done, self._rules.n_steps) for done in range(self._rules.n_steps)]
        return furthest[kind]

    def unbroken(self, done: int, step: int) -> Bools:
        """(ties,): whether a strict chain may go from `done` steps to `step` there: every event of the declared set
        must fit a step from `done` to `step`, to fill it or to repeat it."""
        between = (1 << step) - (1 << (done - 1))
        breaks = ((self._rows & self._rules.among) != 0) & ((self._rows & between) == 0)
        unbroken: Bools = np.bincount(self._row_tie[breaks], minlength=self.count) == 0
        return unbroken


def _furthest(events: list[int], done: int, n_steps: int) -> int:
    """Steps done after filling steps done + 1, done + 2, … with different events (bits): bipartite matching."""
    filled: dict[int, int] = {}  # event → step

    def fill(step: int, tried: set[int]) -> bool:
        for event, mask in enumerate(events):
            if mask >> step & 1 and event not in tried:
                tried.add(event)
                if event not in filled or fill(filled[event], tried):
                    filled[event] = step
                    return True
        return False

    step = done
    while step < n_steps and fill(step, set()):
        step += 1
    return step


class _Chains:
    """The arrivals at every step, found step by step."""

    def __init__(self, moments: Moments, rules: Rules) -> None:
        self.moments, self.rules = moments, rules
        self.strict = rules.order == "strict"
        self.ties = Ties(moments, rules) if len(moments) < len(moments.rows) else None
        self.stretch = self._stretches() if self.strict else []
        self.reached: list[Arrivals] = []  # may be at their end
        self.alive: list[Arrivals] = []  # may go on
        for step in range(1, rules.n_steps + 1):
            self.reached.append(self._arrive(step, goes_on=False))
            self.alive.append(self._arrive(step, goes_on=True) if self.strict and self.ties else self.reached[-1])

    def _stretches(self) -> list[Ints]:
        """For each step, the number of moments up to each that break a chain which stands at the step."""
        rows = self.moments.rows
        strange = np.where(rows & self.rules.among, ~rows & self.rules.steps, 0).astype(rows.dtype)
        breaks = np.bitwise_or.reduceat(strange, self.moments.row[:-1])
        return [np.cumsum((breaks >> step & 1).astype(np.int64)) for step in range(self.rules.n_steps)]

    def _arrive(self, step: int, goes_on: bool) -> Arrivals:
        moments, ties = self.moments, self.ties
        at = np.flatnonzero(moments.marks >> (step - 1) & 1)
        start = self.before(step - 1, at)
        origin = np.full(len(at), step - 1, dtype=np.int8)
        if ties:
            tied = np.flatnonzero(ties.number[at] >= 0)
            tie = ties.number[at[tied]]
            if goes_on and step > 1:
                start[tied[~ties.unbroken(step - 1, step)[tie]]] = -1
            for done in range(step - 2, -1, -1):
                can = ties.reach[tie, done] >= step
                if goes_on and done > 0:
                    can &= ties.unbroken(done, step)[tie]
                other = np.where(can, self.before(done, at[tied]), -1)
                later = other > start[tied]
                start[tied[later]] = other[later]
                origin[tied[later]] = done
        valid = (start >= moments.first[at]) & (moments.t[at] - moments.t[start] <= self.rules.window_ms)
        at, start = at[valid], start[valid]
        key = self.stretch[step - 1][at] * len(moments) + start if self.strict else start
        return Arrivals(at, start, origin[valid], np.maximum.accumulate(key))

    def before(self, done: int, at: Ints) -> Ints:
        """The latest start of the chains with `done` steps that come to these moments; -1 or another unit's: none."""
        if done == 0:
            return at.copy()
        arrivals = self.alive[done - 1]
        if not len(arrivals.moment):
            return np.full(len(at), -1)
        last = np.searchsorted(arrivals.moment, at) - 1
        key = arrivals.key[last]
        if self.strict:
            stretch, key = np.divmod(key, len(self.moments))
            key[stretch != self.stretch[done - 1][at - 1]] = -1
        key[last < 0] = -1
        return key

    def times(self, step: int, which: Ints) -> Floats:
        """(len(which), steps): when each step was done by the chains that arrived at `step` as `which`.

        Going back, each step is taken as early as the chain's start allows.
        """
        arrivals = self.reached[step - 1]
        at, start, origin = arrivals.moment[which], arrivals.start[which], arrivals.origin[which]
        times = np.full((len(which), self.rules.n_steps), np.nan)
        times[:, step - 1] = self.moments.t[at]
        for done in range(step - 1, 0, -1):
            came = np.flatnonzero(origin == done)
            arrivals = self.alive[done - 1]
            key = start[came]
            if self.strict:
                key = key + self.stretch[done - 1][at[came] - 1] * len(self.moments)
            found = np.searchsorted(arrivals.key, key)
            at[came], origin[came] = arrivals.moment[found], arrivals.origin[found]
            times[:, done - 1] = self.moments.t[at]
        return times


def match_chains(moments: Moments, n_units: int, rules: Rules) -> Outcome:
    """Furthest step of each unit. It is dropped when each attempt that gets there has an excluded event between.

    An attempt is an event that fills the furthest step together with the latest step 1 that leads to it; the first
    attempt without an excluded event gives the times.
    """
    chains = _Chains(moments, rules)
    reached = np.zeros(n_units, dtype=np.int8)
    for step, arrivals in enumerate(chains.reached, 1):
        reached[moments.unit[arrivals.moment]] = step
    at = np.full((n_units, rules.n_steps), np.nan)
    dropped = reached > 0
    for step, arrivals in enumerate(chains.reached, 1):
        unit = moments.unit[arrivals.moment]
        attempts = np.flatnonzero(reached[unit] == step)
        complete = np.full(len(attempts), step == rules.n_steps)
        clean = moments.clean(arrivals.start[attempts], arrivals.moment[attempts], complete, rules)
        attempts = attempts[clean]
        attempts = attempts[first_of_each(unit[attempts])]
        at[unit[attempts]] = chains.times(step, attempts)
        dropped[unit[attempts]] = False
    return Outcome(reached, dropped, at)
