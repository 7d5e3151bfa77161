"""Columns of sessions and of their events: the way sources deliver them and frames clean them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from llmtrack.session.document import BOT
from llmtrack.session.values import Floats, Objects

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
DATA: Final = "data"  # the column of whole data objects, delivered when no fields are named
NAMES: Final = ("user_id", "model_group", "experiment_id")
ENVIRONMENT: Final = ("device", "browser", "os")
NUMBERS: Final = frozenset(
    {"scrollY", "speed", "page_height", "x", "y", "latency_ms", "ttft_ms", "response_length", "attempt"}
    | {"visible_ms", "seen_share"}
)
TEXTS: Final = frozenset(
    {"text", "selected_text", "chat_session_id", "turn_id", "error", "model", "provider", "activity_state"}
    | {"direction", "target", "page_url", "rating", "visibility_state", "name", "href", "route"}
)
IDS: Final = frozenset({"chat_session_id", "turn_id"})  # TEXTS that are ids: one text for each, whatever its type


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
    return (of_sessions(batch, people), bots) if bots else (batch, 0)


def of_sessions(batch: Batch, which: Bools) -> Batch:
    """The batch with those sessions only that `which` says."""
    found = select(batch, np.repeat(which, batch.counts))
    found.counts = found.counts[which]
    found.sessions = {key: np.asarray(values)[which].tolist() for key, values in batch.sessions.items()}
    return found
