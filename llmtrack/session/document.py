"""A session document: what it must have, and what is read from it as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, NamedTuple

from llmtrack.session.ids import name
from llmtrack.session.times import epoch_ms, raw_ms, refusal

Document = dict[str, Any]
SHORTEST_ID: Final = 12  # characters of a session_id that are shown at least
UNKNOWN: Final = "unknown"  # a group, a device or a user that nobody wrote down
_PLAIN_MS: Final = 10**11  # from here on a number is epoch ms (shapes.py)
BOT: Final = "bot"  # the device of a session that nobody made: a crawler, a monitor


class Head(NamedTuple):
    """What identifies a session in a list; `start_time` is aware (UTC)."""

    session_id: str
    start_time: datetime


def environment(document: Document) -> Document:
    """The session's environment, {} when it is missing or none."""
    found = document.get("environment")
    return found if isinstance(found, dict) else {}


def device(where: Mapping[str, Any]) -> Any:
    """The device of an environment as it is stored; `bot` when it is marked so, whatever else it says."""
    return BOT if where.get("bot") is True else where.get("device")


def start_ms(document: Document) -> float | None:
    """start_time as epoch ms; without one the earliest t of the events; None when there is neither."""
    start = epoch_ms(document.get("start_time"))
    if start is not None:
        return start
    events = document.get("events")
    if not isinstance(events, list):
        return None
    found = [epoch_ms(event.get("t")) for event in events if isinstance(event, dict)]
    return min((t for t in found if t is not None), default=None)


def last_activity_ms(document: Document) -> float:
    """The latest time in a usable document, epoch ms: start, end, any event, the last write."""
    found = [epoch_ms(document.get(key)) for key in ("start_time", "end_time", "updated_at")]
    for event in document.get("events") or ():
        t: Any = event.get("t") if isinstance(event, dict) else None
        found.append(t if type(t) is int and t > _PLAIN_MS else epoch_ms(t))
    return max(t for t in found if t is not None)


def unusable(document: Any) -> str | None:
    """Why a document is no session; None when it is one."""
    if not isinstance(document, dict):
        return "not_an_object"
    if name(document.get("session_id")) is None:
        return "no_session_id"
    if not isinstance(document.get("events"), list | None):
        return "events_not_a_list"
    if start_ms(document) is None:
        why = refusal(raw_ms(document.get("start_time")))
        return f"start_{why}" if why else "no_start_time"
    return None
