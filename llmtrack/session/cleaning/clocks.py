"""Two clocks in one session: a server stamps prompts and answers, the browser all else.

A server that takes its local time for UTC is off by its zone's hours. Events of one writer that lie apart from all
others, and between them once they are moved by a multiple of 15 minutes, are moved by that.
"""

from __future__ import annotations

from collections import Counter
from typing import Final, NamedTuple

import numpy as np

from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.events import SENDING, SERVER, Events
from llmtrack.session.schema import PROMPT
from llmtrack.session.values import Floats

NEAR_MS: Final = 5 * 60 * 1000  # clocks this close agree
_ZONES_MS: Final = 15 * 60 * 1000  # all zones are multiples of it
_FARTHEST_MS: Final = 14 * 60 * 60 * 1000
_LEAD_MS: Final = 2_000  # a prompt comes this soon after the click that sent it
_ANSWER_MS: Final = 2 * 60 * 1000  # an answer may come this long after the last thing the person did
_DAY_MS: Final = 24 * 60 * 60 * 1000
_SENT_MS: Final = 60_000
_STEADY_MS: Final = 500  # how much the delay from sending to prompt may vary in a session


class Span(NamedTuple):
    """First and last time of a writer's events in each session; +inf and -inf without any."""

    first: Floats
    last: Floats

    @property
    def some(self) -> Bools:
        """The sessions that have such events."""
        return self.first <= self.last

    def near(self, moment: Floats) -> Bools:
        """Whether the events begin, end or lie around this moment of each session."""
        return (self.first <= moment + NEAR_MS) & (self.last >= moment - NEAR_MS)


def align(events: Events, start: Floats) -> tuple[Floats, Counter[str]]:
    """Move the events of one writer where two clocks disagree.

    Per session by how much that clock was ahead (ms; 0: not at all), and what was moved, reason → sessions.
    `start`: epoch ms of each session, NaN where it is unknown.
    """
    server = events.kind(*SERVER)
    if not server.any():
        return np.zeros(events.sessions), Counter()
    of_server, of_browser = _span(events, server), _span(events, ~server)
    browser_is_off = of_server.near(start) & ~of_browser.near(start) & of_browser.some
    mover, other = _chosen(browser_is_off, of_browser, of_server), _chosen(browser_is_off, of_server, of_browser)
    ahead = _hours(events, server, start, mover, other)
    wrong = np.where(browser_is_off[events.session], ~server, server)
    counts = Counter(f"clock_moved_{hours:+g}h" for hours in (ahead[ahead != 0] / 3_600_000).tolist())
    if ahead.any():
        events.t = np.where(wrong, events.t - ahead[events.session], events.t)
    seconds = _seconds(events, server)
    if seconds.any():
        events.t = np.where(server, events.t - seconds[events.session], events.t)
        counts["clock_moved_seconds"] = int(np.count_nonzero(seconds))
    return ahead + seconds, counts


def _span(events: Events, mask: Bools) -> Span:
    first, last = np.full(events.sessions, np.inf), np.full(events.sessions, -np.inf)
    np.minimum.at(first, events.session[mask], events.t[mask])
    np.maximum.at(last, events.session[mask], events.t[mask])
    return Span(first, last)


def _chosen(which: Bools, one: Span, other: Span) -> Span:
    return Span(np.where(which, one.first, other.first), np.where(which, one.last, other.last))


def _hours(events: Events, server: Bools, start: Floats, mover: Span, other: Span) -> Floats:
    """By how much the clock of each session's `mover` was ahead of the other writer's and of the start."""
    ahead = np.zeros(events.sessions)
    apart = mover.some & other.some & ((mover.first > other.last + NEAR_MS) | (mover.last < other.first - NEAR_MS))
    alone = mover.some & ~other.some & ~mover.near(start) & ~np.isnan(start)
    if not (apart | alone).any():
        return ahead
    known, began, of_server = np.zeros(events.sessions, dtype=bool), other.near(start), _span(events, server)
    for row in np.flatnonzero(apart).tolist():
        earliest = min(start[row], other.first[row]) if began[row] else other.first[row]
        least = max(mover.first[row] - other.last[row] - _LEAD_MS, mover.last[row] - other.last[row] - _ANSWER_MS)
        found = _multiples(least, mover.first[row] - earliest + _LEAD_MS)
        if len(found) > 1:
            found = _best(events, server, row, found, 1 if mover.first[row] == of_server.first[row] else -1)
        if len(found) == 1:
            ahead[row], known[row] = found[0], True
    days = np.floor(np.where(np.isnan(start), 0, start) / _DAY_MS)
    for row in np.flatnonzero((apart | alone) & ~known).tolist():  # what the store's other sessions of that day say
        usual = Counter(ahead[known & (days == days[row])].tolist()).most_common(1)
        begins = mover.first[row] - (usual[0][0] if usual else 0)
        if usual and start[row] - NEAR_MS <= begins <= np.fmax(other.last[row], start[row]) + 6 * NEAR_MS:
            ahead[row] = usual[0][0]
    return ahead


def _multiples(least: float, most: float) -> list[float]:
    """Multiples of 15 minutes from `least` to `most` that a zone can be off by; 0 is none."""
    first, last = np.ceil(max(least, -_FARTHEST_MS) / _ZONES_MS), np.floor(min(most, _FARTHEST_MS) / _ZONES_MS)
    return [number * _ZONES_MS for number in np.arange(first, last + 1).tolist() if number]


def _best(events: Events, server: Bools, session: int, candidates: list[float], sign: int) -> list[float]:
    """The candidates by which most prompts come just after something that the person did; `sign` -1: that moves."""
    mine = slice(*np.searchsorted(events.session, [session, session + 1]))
    did = np.sort(events.t[mine][~server[mine]])
    prompts = events.t[mine][events.kind(PROMPT)[mine]]
    scores = []
    for ahead in candidates:
        moved = prompts - sign * ahead
        place = np.searchsorted(did, moved + 100)
        gap = moved - did[np.maximum(place - 1, 0)]
        scores.append(int(((place > 0) & (gap < _LEAD_MS)).sum()))
    best = max(scores)
    return [ahead for ahead, score in zip(candidates, scores, strict=True) if score == best]


def _seconds(events: Events, server: Bools) -> Floats:
    """By how much the server's clock was ahead where all prompts follow, or precede, their sending by the same time."""
    ahead = np.zeros(events.sessions)
    sending, prompt = events.kind(*SENDING), events.kind(PROMPT)
    several = np.bincount(events.session[prompt], minlength=events.sessions) > 1
    several &= np.bincount(events.session[sending], minlength=events.sessions) > 1
    for row in np.flatnonzero(several).tolist():
        mine = slice(*np.searchsorted(events.session, [row, row + 1]))
        sent, prompts = np.sort(events.t[mine][sending[mine]]), events.t[mine][prompt[mine]]
        ahead[row] = _steady(prompts[:, None] - sent[None, :])
    return ahead


def _steady(delays: Floats) -> float:
    """The least delay that every prompt has after some sending; 0 where there is none, or it is no clock's."""
    candidates = delays[0][np.abs(delays[0]) <= _SENT_MS]
    spread = np.abs(delays[None, :, :] - candidates[:, None, None]).min(axis=2).max(axis=1, initial=0)
    fitting = candidates[spread <= _STEADY_MS]
    if not len(fitting):
        return 0.0
    delay = float(fitting[np.abs(fitting).argmin()])
    return delay if not -100 <= delay <= _LEAD_MS else 0.0


def start_offset(t: Floats, session: Ints, start: Floats, first_t: Floats) -> Floats:
    """By how much to move whole sessions of which no event lies near the start; 0 for the others."""
    near = np.zeros(len(start), dtype=bool)
    near[session[np.abs(t - start[session]) <= NEAR_MS]] = True
    return np.where(near | np.isnan(first_t), 0.0, first_t - start)
