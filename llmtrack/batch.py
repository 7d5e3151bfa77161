"""Columns of sessions and of their events: the way sources deliver them and frames clean them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from llmtrack.shapes import Floats, Objects, epoch_ms, name

Document = dict[str, Any]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

UNKNOWN: Final = "unknown"  # a group, a device or a user that nobody wrote down
BOT: Final = "bot"  # the device of a visit that nobody made: a crawler, a monitor
DATA: Final = "data"  # the column of whole data objects, delivered when no fields are named

NAMES: Final = ("user_id", "model_group", "experiment_id")
ENVIRONMENT: Final = ("device", "browser", "os")
NUMBERS: Final = frozenset({"scrollY", "speed", "page_height", "x", "y", "latency_ms", "ttft_ms", "response_length"})
TEXTS: Final = frozenset(
    {"text", "selected_text", "chat_session_id", "turn_id", "error", "model", "provider", "activity_state"}
    | {"direction", "target", "page_url", "rating"}
)

_NAMED: Final = 10


class Broken(Counter[str]):
    """What could not be read: reason → how many. `named` tells where the first few of them lie."""

    def __init__(self) -> None:
        super().__init__()
        self.named: list[str] = []

    def add(self, reason: str, where: str) -> None:
        """Count one more and name it, when it is among the first."""
        self[reason] += 1
        self.name(reason, where)

    def name(self, reason: str, where: str) -> None:
        """Name one that is counted elsewhere, when it is among the first."""
        if len(self.named) < _NAMED:
            self.named.append(f"{where}: {reason.replace('_', ' ')}")


class Head(NamedTuple):
    """What identifies a session in a list; `start_time` is aware (UTC)."""

    session_id: str
    start_time: datetime


@dataclass
class Batch:
    """Columns of sessions (one value a session) and of their events (one value an event, in stored order).

    Times are epoch ms, NaN when missing. Events of session i follow those of session i - 1; `counts` says how many.
    `same` numbers events without n that share t and data with another of their session (0: there is no other).
    `data` holds the fields asked for: floats for NUMBERS (NaN missing), str or None for TEXTS, else as stored.
    """

    sessions: dict[str, Any]
    counts: Ints
    pos: Ints
    t: Floats
    n: Floats
    type_codes: Ints
    types: list[str]
    same: Ints
    data: dict[str, Floats | Objects]
    broken: Counter[str] = field(default_factory=Counter)


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


def unusable(document: Any) -> str | None:
    """Why a document is no session; None when it is one."""
    if not isinstance(document, dict):
        return "not_an_object"
    if name(document.get("session_id")) is None:
        return "no_session_id"
    if not isinstance(document.get("events"), list | None):
        return "events_not_a_list"
    if start_ms(document) is None:
        return "no_start_time"
    return None


def select(batch: Batch, keep: Bools) -> Batch:
    """The batch with those events only that `keep` says."""
    session = np.repeat(np.arange(len(batch.counts)), batch.counts)
    return Batch(
        sessions=batch.sessions,
        counts=np.bincount(session[keep], minlength=len(batch.counts)),
        pos=batch.pos[keep],
        t=batch.t[keep],
        n=batch.n[keep],
        type_codes=batch.type_codes[keep],
        types=batch.types,
        same=batch.same[keep],
        data={key: values[keep] for key, values in batch.data.items()},
        broken=batch.broken,
    )


def without_bots(batch: Batch) -> tuple[Batch, int]:
    """The batch without the sessions of bots; how many they were."""
    people = np.array([device != BOT for device in batch.sessions["device"]], dtype=bool)
    bots = int(len(people) - people.sum())
    if not bots:
        return batch, 0
    of_people = select(batch, np.repeat(people, batch.counts))
    of_people.counts = of_people.counts[people]
    of_people.sessions = {key: np.asarray(values)[people].tolist() for key, values in batch.sessions.items()}
    return of_people, bots
