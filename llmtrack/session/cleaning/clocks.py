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
from llmtrack.session.schema import CLICK, PROMPT
from llmtrack.session.values import Floats

NEAR_MS: Final = 5 * 60 * 1000  # clocks this close agree
_ZONES_MS: Final = 15 * 60 * 1000  # all zones are multiples of it
_FARTHEST_MS: Final = 14 * 60 * 60 * 1000
_LEAD_MS: Final = 2_000  # a prompt comes this soon after the click that sent it
_ANSWER_MS: Final = 2 * 60 * 1000  # an answer may come this long after the last thing the person did
_DAY_MS: Final = 24 * 60 * 60 * 1000
_SENT_MS: Final = 60_000
_STEADY_MS: Final = 500  # how much the delay from sending to prompt may vary in a session
# People click before they type as well, and some type for equally long: clicks tell where nothing else can be meant.
_CLICKS: Final = 4
_STEADY_CLICKS_MS: Final = 150


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


Told = Counter[tuple[float, float]]  # sessions by their day and by how much a clock was ahead


class Clocks(NamedTuple):
    """The two clocks of each session.

    `ahead`: by how much that of the writer who is off was ahead (ms; 0: not at all, or unknown). `unsure`: nothing in
    the session tells, though the writers lie apart. `known`: it told. `browser_is_off`: that writer is the page.
    """

    ahead: Floats
    unsure: Bools
    known: Bools
    browser_is_off: Bools
    mover: Span
    other: Span
    start: Floats

    @property
    def days(self) -> Floats:
        """The day of each session."""
        return np.floor(np.where(np.isnan(self.start), 0, self.start) / _DAY_MS)

    def told(self) -> Told:
        """What sessions tell of their days."""
        days = self.days
        return Counter(zip(days[self.known].tolist(), self.ahead[self.known].tolist(), strict=True))

    def settled(self, told: Told) -> Floats:
        """`ahead`, where a session is unsure that of most others of its day, if its events then fit."""
        ahead, days = self.ahead.copy(), self.days
        for row in np.flatnonzero(self.unsure).tolist():
            votes = {ms: count for (day, ms), count in told.items() if day == days[row]}
            usual = min(votes, key=lambda ms: (-votes[ms], abs(ms), ms), default=0.0)
            begins = self.mover.first[row] - usual
            latest = np.fmax(self.other.last[row], self.start[row]) + 6 * NEAR_MS
            if usual and self.start[row] - NEAR_MS <= begins <= latest:
                ahead[row] = usual
        return ahead


def survey(events: Events, start: Floats) -> Clocks:
    """What the sessions themselves tell of their clocks. `start`: epoch ms of each, NaN where it is unknown."""
    server = events.kind(*SERVER)
    of_server, of_browser = _span(events, server), _span(events, ~server)
    browser_is_off = of_server.near(start) & ~of_browser.near(start) & of_browser.some
    mover, other = _chosen(browser_is_off, of_browser, of_server), _chosen(browser_is_off, of_server, of_browser)
    apart = mover.some & other.some & ((mover.first > other.last + NEAR_MS) | (mover.last < other.first - NEAR_MS))
    alone = mover.some & ~other.some & ~mover.near(start) & ~np.isnan(start)
    ahead, known = _own(events, server, start, apart, mover, other)
    return Clocks(ahead, (apart | alone) & ~known, known, browser_is_off, mover, other, start)


def align(events: Events, start: Floats, told: Told | None = None) -> tuple[Floats, Counter[str]]:
    """Move the events of one writer where two clocks disagree.

    Per session by how much that clock was ahead (ms; 0: not at all), and what was moved, reason → sessions.
    `start`: epoch ms of each session, NaN where it is unknown. `told`: what all sessions of the store tell of their
    days; without it these sessions do.
    """
    server = events.kind(*SERVER)
    if not server.any():
        return np.zeros(events.sessions), Counter()
    clocks = survey(events, start)
    ahead = clocks.settled(clocks.told() if told is None else told)
    wrong = np.where(clocks.browser_is_off[events.session], ~server, server)
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


def _own(events: Events, server: Bools, start: Floats, apart: Bools, mover: Span, other: Span) -> tuple[Floats, Bools]:
    """By how much the clock of each session's `mover` was ahead of the other writer's and of the start; where known."""
    ahead, known = np.zeros(events.sessions), np.zeros(events.sessions, dtype=bool)
    if not apart.any():
        return ahead, known
    began, of_server = other.near(start), _span(events, server)
    for row in np.flatnonzero(apart).tolist():
        earliest = min(start[row], other.first[row]) if began[row] else other.first[row]
        least = max(mover.first[row] - other.last[row] - _LEAD_MS, mover.last[row] - other.last[row] - _ANSWER_MS)
        found = _multiples(least, mover.first[row] - earliest + _LEAD_MS)
        if len(found) > 1:
            found = _best(events, server, row, found, 1 if mover.first[row] == of_server.first[row] else -1)
        if len(found) == 1:
            ahead[row], known[row] = found[0], True
    return ahead, known


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
    """By how much the server's clock was ahead where all prompts follow, or precede, their sending by the same time.

    Sent is what a key says, and what bears the turn_id of a prompt; else a click, where there is one a prompt.
    """
    ahead = np.zeros(events.sessions)
    prompt, key, click = events.kind(PROMPT), events.kind(*SENDING), events.kind(CLICK)
    prompts, keys, clicks = (np.bincount(events.session[m], minlength=events.sessions) for m in (prompt, key, click))
    named = _named(events, prompt, key | click)
    clicked = (keys == 0) & (clicks == prompts) & (prompts >= _CLICKS)
    several = ((prompts > 1) & (keys > 1)) | clicked
    for row in np.flatnonzero(several | (np.bincount(events.session[named[:, 0]], minlength=len(ahead)) > 0)).tolist():
        pairs = named[events.session[named[:, 0]] == row]
        if len(pairs):
            ahead[row] = _steady((events.t[pairs[:, 0]] - events.t[pairs[:, 1]])[:, None])
            continue
        mine = slice(*np.searchsorted(events.session, [row, row + 1]))
        sending = click if clicked[row] else key
        sent, asked = np.sort(events.t[mine][sending[mine]]), np.sort(events.t[mine][prompt[mine]])
        if clicked[row]:
            ahead[row] = _steady((asked - sent)[:, None], _STEADY_CLICKS_MS)
        else:
            ahead[row] = _steady(asked[:, None] - sent[None, :])
    return ahead


def _named(events: Events, prompt: Bools, sending: Bools) -> Ints:
    """Pairs of a prompt and what sent it, as places, that bear the same turn_id."""
    turns = events.field("turn_id") if sending.any() and prompt.any() else None
    if turns is None:
        return np.empty((0, 2), dtype=np.int64)
    session = events.session
    sent = {(session[row], turns[row]): row for row in np.flatnonzero(sending).tolist() if turns[row] is not None}
    rows = np.flatnonzero(prompt).tolist() if sent else []
    found = [(row, sent[session[row], turns[row]]) for row in rows if (session[row], turns[row]) in sent]
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _steady(delays: Floats, within_ms: float = _STEADY_MS) -> float:
    """The least delay that every prompt has after some sending; 0 where there is none, or it is no clock's."""
    candidates = delays[0][np.abs(delays[0]) <= _SENT_MS]
    spread = np.abs(delays[None, :, :] - candidates[:, None, None]).min(axis=2).max(axis=1, initial=0)
    fitting = candidates[spread <= within_ms]
    if not len(fitting):
        return 0.0
    delay = float(fitting[np.abs(fitting).argmin()])
    return delay if not -100 <= delay <= _LEAD_MS else 0.0


def start_offset(t: Floats, session: Ints, start: Floats, first_t: Floats, chats: Bools) -> Floats:
    """By how much to move whole sessions of which no event lies near the start; 0 for the others.

    One of the `chats` that was begun longer before than any zone explains was taken up later: no clock is wrong.
    """
    near = np.zeros(len(start), dtype=bool)
    near[session[np.abs(t - start[session]) <= NEAR_MS]] = True
    near |= chats & (first_t - start > _FARTHEST_MS)
    return np.where(near | np.isnan(first_t), 0.0, first_t - start)
