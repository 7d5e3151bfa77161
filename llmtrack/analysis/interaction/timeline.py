"""The timing of a replay: a chain of generators, relative → select → cap_idle → speed → schedule.

Each takes and gives moments in order; none knows what is drawn, or how time passes.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from llmtrack.errors import LlmtrackError
from llmtrack.session.ids import name
from llmtrack.session.schema import ACTIVITY, IDLE_AFTER_S, MODEL_RESPONSE, PROMPT

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


def relative(events: Sequence[Event]) -> Iterator[Moment]:
    """Every event with its gap to the event before it (the first: to the start), and that silence's name."""
    names = silences(events)
    before = 0.0
    for number, (event, silence) in enumerate(zip(events, names, strict=True), start=1):
        at_s = float(event["at_s"])
        yield Moment(number, at_s, max(0.0, at_s - before), silence, event)
        before = at_s


def silences(events: Sequence[Event]) -> list[Silence | None]:
    """What the silence before each event was; None when it is no longer than LONG_S.

    waited: from a prompt to its response or error, told once, at the response; read: after a response, up to 30 s;
    away: after going idle, or over 30 s; paused: any other.
    """
    prompts = answered_prompts(events)
    responses = {prompt: response for response, prompt in prompts.items()}
    waiting_until = -1
    idle = after_response = False
    names: list[Silence | None] = []
    before = 0.0
    for here, event in enumerate(events):
        at_s = float(event["at_s"])
        if here in prompts:
            names.append(_long("waited", at_s - float(events[prompts[here]]["at_s"])))
        elif here <= waiting_until:
            names.append(None)  # somebody scrolls while waiting: the response tells the whole wait
        else:
            names.append(_long(_kind(at_s - before, idle, after_response), at_s - before))
        before = at_s
        waiting_until = max(waiting_until, responses.get(here, -1))
        if event["type"] == MODEL_RESPONSE:  # arrives without anybody doing anything: who was idle still is
            after_response = True
        else:
            idle = is_idle(event)
            after_response = after_response and event["type"] != PROMPT
    return names


def last_silence(events: Sequence[Event], duration_s: float | None) -> Silence | None:
    """What the silence between the last event and the end of the visit was."""
    if duration_s is None or not events:
        return None
    end = {"at_s": duration_s, "type": "", "data": {}}
    return silences([*events, end])[-1]


def answered_prompts(events: Sequence[Event]) -> dict[int, int]:
    """Which response answers which prompt, as {position of the response: position of the prompt}.

    The rule of pairing.py, for one visit: by turn_id where both have one, else the latest open prompt of the chat.
    """
    turns = [name(event["data"].get("turn_id")) for event in events]
    named = _matched(events, turns, {})
    rest = _matched(events, _chats(events), named)
    return named | {here: prompt for here, prompt in rest.items() if turns[here] is None or turns[prompt] is None}


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
    or after `after_s`), or the second of its type ("prompt#2"). Raises LlmtrackError naming what the visit has.
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
        raise LlmtrackError(f"No event {when!r} in this visit.", f"It has {there}. Times are 12.5, 90s, 2m or 1:30.")
    if number is not None:
        return found[number - 1]
    return next((at_s for at_s in found if at_s >= after_s), found[-1])


def _kind(gap_s: float, idle: bool, after_response: bool) -> Kind:
    if idle or gap_s > IDLE_AFTER_S:
        return "away"
    return "read" if after_response else "paused"


def _long(kind: Kind, seconds: float) -> Silence | None:
    return Silence(kind, seconds) if seconds > LONG_S else None


def _matched(events: Sequence[Event], keys: Sequence[str | None], paired: Mapping[int, int]) -> dict[int, int]:
    """Responses with the latest open prompt of the same key; None and what is paired already are left out."""
    taken = {*paired, *paired.values()}
    open_prompts: dict[str, list[int]] = {}
    pairs: dict[int, int] = {}
    for here, (event, key) in enumerate(zip(events, keys, strict=True)):
        if key is None or here in taken:
            continue
        if event["type"] == PROMPT:
            open_prompts.setdefault(key, []).append(here)
        elif event["type"] == MODEL_RESPONSE and open_prompts.get(key):
            pairs[here] = open_prompts[key].pop()
    return pairs


def _chats(events: Sequence[Event]) -> list[str]:
    """The chat of each event: the one it names, else the last one named before it, else the first one named."""
    named = [name(event["data"].get("chat_session_id")) for event in events]
    chat = next((name for name in named if name is not None), "")
    return [chat := name if name is not None else chat for name in named]


def _time(when: str) -> float | None:
    if found := re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min|h)?", when):
        return float(found[1]) * {"m": 60, "min": 60, "h": 3600}.get(found[2], 1)
    if found := re.fullmatch(r"(?:(\d+):)?(\d+):(\d+(?:\.\d+)?)", when):
        return int(found[1] or 0) * 3600 + int(found[2]) * 60 + float(found[3])
    return None
