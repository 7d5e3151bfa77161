"""A plain, slow funnel for the tests: every order of tied events, every chain, one unit at a time.

Events are (t in seconds, names of the steps they fit as a set of numbers from 1, excluded, declared).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby, permutations, product
from typing import NamedTuple


class Event(NamedTuple):
    t: float
    steps: frozenset[int]
    excluded: bool = False
    declared: bool = False


class Found(NamedTuple):
    reached: int
    dropped: bool
    times: tuple[float, ...]  # of the steps done; empty when dropped


def furthest(events: list[Event], n_steps: int, order: str, window_s: float) -> Found:
    """How far a unit gets, whether it is dropped, and when it did each step."""
    attempts = windows(events, n_steps, window_s) if order == "unordered" else chains(events, n_steps, order, window_s)
    attempts = list(attempts)
    reached = max((len(times) for times in attempts), default=0)
    if reached == 0:
        return Found(0, False, ())
    ends = sorted({times[-1] for times in attempts if len(times) == reached})
    for end in ends:
        same_end = [times for times in attempts if len(times) == reached and times[-1] == end]
        start = max(times[0] for times in same_end)
        until = end if reached == n_steps else start + window_s + 1e-9
        if any(event.excluded and start < event.t < until for event in events):
            continue
        latest = [times for times in same_end if times[0] == start]
        return Found(reached, False, min(latest, key=lambda times: times[::-1]))
    return Found(reached, True, ())


def chains(events: list[Event], n_steps: int, order: str, window_s: float) -> Iterator[tuple[float, ...]]:
    """The times of every ordered or strict chain, in every order that tied events may have."""
    ties = [[*group] for _, group in groupby(sorted(events, key=lambda event: event.t), key=lambda event: event.t)]
    for arranged in product(*(permutations(tie) for tie in ties)):
        line = [event for tie in arranged for event in tie]
        for i, event in enumerate(line):
            if 1 in event.steps:
                yield from continued((event.t,), line[i + 1 :], n_steps, order, event.t + window_s)


def continued(
    times: tuple[float, ...], rest: list[Event], n_steps: int, order: str, until: float
) -> Iterator[tuple[float, ...]]:
    yield times
    done = len(times)
    for i, event in enumerate(rest):
        if done == n_steps or event.t > until:
            return
        if done + 1 in event.steps:
            yield from continued((*times, event.t), rest[i + 1 :], n_steps, order, until)
        if order == "strict" and event.declared and done not in event.steps:
            return


def windows(events: list[Event], n_steps: int, window_s: float) -> Iterator[tuple[float, ...]]:
    """For each moment that does a step, and each start within a window before it: when 1, 2, … steps were done."""
    moments = sorted({event.t for event in events if event.steps})
    for end, start in product(moments, moments):
        if start <= end <= start + window_s:
            done = [(t, distinct([e for e in events if start <= e.t <= t])) for t in moments if start <= t <= end]
            most = done[-1][1]
            times = tuple(min(t for t, count in done if count >= k) for k in range(1, most + 1))
            if times[-1] == end:
                yield times


def distinct(events: list[Event]) -> int:
    """How many steps can be done, each with an event of its own."""
    if not events:
        return 0
    first, *rest = events
    without = distinct(rest)
    return max(
        [without]
        + [1 + distinct([event._replace(steps=event.steps - {step}) for event in rest]) for step in first.steps]
    )
