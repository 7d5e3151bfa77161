"""The timing of a replay: a chain of generators, relative → select → cap_idle → speed → schedule.

Each takes and gives moments in order; none knows what is drawn, or how time passes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from llmtrack.analysis.interaction.events import at
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.clean import Visit
from llmtrack.session.schema import ACTIVITY, IDLE_AFTER_S

LONG_S = 2.0  # a silence longer than this has a name

Event = Mapping[str, Any]  # {"t": epoch ms, "at_s": seconds since the start, "type", "data"}
Kind = Literal["waited", "read", "paused", "away"]


class Silence(NamedTuple):
    """A stretch in which nothing was recorded, and what it was by the definitions of the reports."""

    kind: Kind
    seconds: float


class Moment(NamedTuple):
    """An event in the replay: its number from 1, the pause before it is played, the silence that it ended."""

    number: int
    at_s: float
    pause_s: float
    silence: Silence | None
    event: Event


def relative(visit: Visit) -> Iterator[Moment]:
    """Every event with its gap to the event before it (the first: to the start), and that silence's name."""
    names = silences(Evidence(visit.cleaned))
    before = 0.0
    for number, (event, silence) in enumerate(zip(visit.events, names, strict=True), start=1):
        at_s = float(event["at_s"])
        yield Moment(number, at_s, max(0.0, at_s - before), silence, event)
        before = at_s


def silences(found: Evidence) -> list[Silence | None]:
    """What the silence before each event of one session was; None when it is no longer than LONG_S.

    waited: from a prompt to its response or error, told once, at the response; read: after a response, up to 30 s;
    away: after going idle, while the page was hidden, or over 30 s; paused: any other.
    """
    told = _told(found)
    asked = dict(zip(found.pairs.ends.tolist(), found.pairs.begins.tolist(), strict=True))
    waiting = found.waiting_for.tolist()
    names: list[Silence | None] = []
    for here, at_s in enumerate(told.at_s):
        if here in asked:
            names.append(_long("waited", at_s - told.at_s[asked[here]]))
        elif here and waiting[here - 1] > 0:
            names.append(None)  # somebody scrolls while waiting: the response tells the whole wait
        else:
            names.append(told.silence(here - 1, at_s))
    return names


def last_silence(visit: Visit, duration_s: float | None) -> Silence | None:
    """What the silence between the last event and the end of the session was."""
    if duration_s is None or not visit.events:
        return None
    return _told(Evidence(visit.cleaned)).silence(len(visit.events) - 1, duration_s)


def is_idle(event: Event) -> bool:
    """Whether the event says that the person has gone idle."""
    return bool(event["type"] == ACTIVITY and event["data"].get("activity_state") == "idle")


def select(
    moments: Iterable[Moment], begin_s: float = -math.inf, end_s: float = math.inf, only: Collection[str] = ()
) -> Iterator[Moment]:
    """The moments from begin_s to end_s (both inclusive), of the types in `only` (empty: all).

    Pauses are counted anew between those that stay.
    """
    before = max(0.0, begin_s)
    for moment in moments:
        if begin_s <= moment.at_s <= end_s and (not only or moment.event["type"] in only):
            yield moment._replace(pause_s=max(0.0, moment.at_s - before))
            before = moment.at_s


def cap_idle(moments: Iterable[Moment], limit_s: float) -> Iterator[Moment]:
    """No pause lasts longer than limit_s."""
    for moment in moments:
        yield moment._replace(pause_s=min(moment.pause_s, limit_s))


def speed(moments: Iterable[Moment], factor: float) -> Iterator[Moment]:
    """Everything `factor` times as fast."""
    for moment in moments:
        yield moment._replace(pause_s=moment.pause_s / factor)


def schedule(moments: Iterable[Moment]) -> Iterator[tuple[float, Moment]]:
    """Each moment with the seconds since the replay began at which it is due."""
    due_s = 0.0
    for moment in moments:
        due_s += moment.pause_s
        yield due_s, moment


def position(when: str, events: Sequence[Event], *, after_s: float = -math.inf) -> float:
    """Seconds since the start that a person means by `when`.

    A time ("12.5", "90s", "2m", "1:30", "1:02:03"), the 14th event ("#14"), an event type ("prompt": the first one at
    or after `after_s`), or the second of its type ("prompt#2"). Raises LlmtrackError naming what the session has.
    """
    when = when.strip()
    if (seconds := _time(when)) is not None:
        return seconds
    numbered = re.fullmatch(r"(.*)#(\d+)", when)
    kind, number = (numbered[1], int(numbered[2])) if numbered else (when, None)
    found = [float(event["at_s"]) for event in events if event["type"] == kind or when.startswith("#")]
    if not found or (number is not None and not 1 <= number <= len(found)):
        counts = Counter(str(event["type"]) for event in events)
        there = ", ".join(f"{name} ({count})" for name, count in counts.most_common()) or "no events"
        raise LlmtrackError(f"No event {when!r} in this session.", f"It has {there}. Times are 12.5, 90s, 2m or 1:30.")
    if number is not None:
        return found[number - 1]
    return next((at_s for at_s in found if at_s >= after_s), found[-1])


class _Told(NamedTuple):
    """Seconds from the start to each event, and what the person was doing after it."""

    at_s: list[float]
    away: list[bool]
    reading: list[bool]

    def silence(self, last: int, at_s: float) -> Silence | None:
        """The silence from event `last` (-1: the start) to `at_s`."""
        if last < 0:
            return _long("away" if at_s > IDLE_AFTER_S else "paused", at_s)
        seconds = at_s - self.at_s[last]
        if self.away[last] or seconds > IDLE_AFTER_S:
            return _long("away", seconds)
        return _long("read" if self.reading[last] else "paused", seconds)


def _told(found: Evidence) -> _Told:
    rows = found.rows
    did = rows.last(~rows.call)  # a response arrives without anybody doing anything: who was idle still is
    said = rows.last(rows.prompt | rows.response)
    at_s = (rows.t - found.cleaned.sessions["start_ms"][0]) / 1000
    return _Told(at_s.tolist(), (at(rows.idle, did) | rows.hidden).tolist(), at(rows.response, said).tolist())


def _long(kind: Kind, seconds: float) -> Silence | None:
    return Silence(kind, seconds) if seconds > LONG_S else None


def _time(when: str) -> float | None:
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", when):
        return float(found[1]) * {"m": 60, "min": 60, "h": 3600}.get(found[2], 1)
    if found := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", when):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    return None
