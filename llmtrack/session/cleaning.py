"""Cleaning: what a session is, whatever wrote it.

In this order, each step counted: duplicates; order of time; clocks that disagree, then events out of range; negative
latencies; sessions without an end; chats that begin late. The counts are part of every report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np

from llmtrack.errors import LlmtrackError
from llmtrack.session.batch import DATA, Batch, Bools, Ints
from llmtrack.session.clocks import late_chats, placed
from llmtrack.session.columns import Columns, of_kind
from llmtrack.session.document import Document, environment, unusable
from llmtrack.session.schema import CHAT, SILENT_AFTER_S
from llmtrack.session.tally import Broken
from llmtrack.session.values import Floats, number

NEAR_MS: Final = 5 * 60 * 1000  # clocks this close agree
OPEN_MS: Final = SILENT_AFTER_S * 1000
LATENCY: Final = "latency_ms"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Final = ("session_id", "user_id", "model_group", "experiment_id")
_KINDS: Final = {"viewport_height_px": float, "automation": bool, "start_ms": float, "end_ms": float}


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Clean sessions and their events, as columns.

    `sessions`, one value a session: session_id, user_id, model_group, experiment_id, device, browser, os ("unknown"
    when missing), viewport_height_px, automation, start_ms, end_ms (epoch ms; end_ms is NaN without events and end),
    end_estimated, open, clock_shifted (bool), clock_offset_ms (by how much the events' clock was ahead), events,
    n_gaps (events known to be lost), duplicates, inversions, out_of_range (counts).

    Of each event, sorted by session and t: `session` (from 0), `pos` (place in the stored document), `t` (epoch ms),
    `type_codes` (places in `types`), and in `data` the fields asked for.

    `excluded` and `repaired`: what cleaning left out and mended, reason → how many. `unreadable`: documents met on the
    way that no session could be made of.
    """

    sessions: dict[str, Any]
    session: Ints
    pos: Ints
    t: Floats
    type_codes: Ints
    types: list[str]
    data: dict[str, Any]
    excluded: dict[str, int]
    repaired: dict[str, int]
    unreadable: Broken = field(default_factory=Broken)

    def __len__(self) -> int:
        return len(self.sessions["session_id"])

    def has(self, name: str) -> bool:
        """Whether this data field was read."""
        return name in self.data or DATA in self.data

    def field(self, name: str) -> Any:
        """A data field of all events: floats, or objects with None where it is missing. KeyError: it was not read."""
        if DATA not in self.data:
            return self.data[name]
        return of_kind(name, [data.get(name) for data in self.data[DATA]])


class Visit(NamedTuple):
    """One clean session.

    `session`: session_id, user_id, model_group, experiment_id, start_time, end_time (aware; None without events and
    end), end_estimated, open, environment. `events`: {"t" (int ms), "at_s", "type", "data"} in order of t. `cleaned`:
    the same as columns, of one session.
    """

    session: dict[str, Any]
    events: list[dict[str, Any]]
    cleaned: Cleaned

    @property
    def excluded(self) -> dict[str, int]:
        """What cleaning left out, reason → how many."""
        return self.cleaned.excluded

    @property
    def repaired(self) -> dict[str, int]:
        """What cleaning mended, reason → how many."""
        return self.cleaned.repaired


def clean(batch: Batch, now: datetime) -> Cleaned:
    """The sessions of one batch, cleaned. `now` (aware) decides which sessions are open."""
    excluded, repaired = Counter(batch.broken), Counter[str]()
    sessions, session, t = len(batch.counts), _session_of(batch), batch.t
    again, gaps = _numbered(batch, session)
    again |= _twins(batch, session)
    duplicates = np.bincount(session[again], minlength=sessions)
    rows = np.flatnonzero(~again) if again.any() else np.arange(len(t))
    session, t = session[rows], t[rows]
    order, inversions = _order(session, t, sessions)
    rows, t = rows[order], t[order]

    start, end = np.array(batch.sessions["start_ms"]), np.array(batch.sessions["end_ms"])
    first_t, _ = _first_and_last(t, session, sessions)
    unplaced = np.isnan(start)
    start = np.where(unplaced, first_t, start)
    backwards = end < start
    end[backwards] = np.nan
    offset = _clock_offset(t, session, start, first_t)
    if offset.any():
        t = t - offset[session]
    outside = (t < start[session] - NEAR_MS) | (t > end[session] + NEAR_MS)
    dropped = np.bincount(session[outside], minlength=sessions)
    if outside.any():
        rows, session, t = rows[~outside], session[~outside], t[~outside]

    data = _taken(batch, rows)
    if LATENCY in data or DATA in data:  # else nobody knows how many there are
        repaired["negative_latency"] = _mend_latencies(data)
    counts = np.bincount(session, minlength=sessions)
    endless = np.isnan(end)
    _, last_t = _first_and_last(t, session, sessions)
    end = np.where(endless, last_t, end)
    end_estimated = endless & ~np.isnan(end)
    still = endless & (np.where(counts > 0, last_t, start) > _ms(now) - OPEN_MS)

    if CHAT in data or DATA in data:  # else nobody knows whose first prompt it is
        late = late_chats(batch.types, batch.type_codes[rows], session, t, data)
        repaired["chat_begun_late"] = len(late)
        if late:
            order, t = placed(late, t)
            rows, data = rows[order], {key: values[order] for key, values in data.items()}

    excluded.update(duplicates=int(duplicates.sum()), out_of_range=int(dropped.sum()))
    repaired.update(
        inversions=int(inversions.sum()),
        clock_shifted=int(np.count_nonzero(offset)),
        end_estimated=int(end_estimated.sum()),
        start_estimated=int(unplaced.sum()),
        end_before_start=int(backwards.sum()),
    )
    table = {key: np.array(values, dtype=_KINDS.get(key, object)) for key, values in batch.sessions.items()}
    table |= {
        "start_ms": start,
        "end_ms": end,
        "end_estimated": end_estimated,
        "open": still,
        "clock_shifted": offset != 0,
        "clock_offset_ms": offset,
        "events": counts,
        "n_gaps": gaps,
        "duplicates": duplicates,
        "inversions": inversions,
        "out_of_range": dropped,
    }
    codes, pos = batch.type_codes[rows], batch.pos[rows]
    return Cleaned(table, session, pos, t, codes, batch.types, data, dict(excluded), dict(repaired))


def join(parts: Sequence[Cleaned]) -> Cleaned:
    """Several as one (at least one, with the same fields); sessions are numbered on."""
    if len(parts) == 1:
        return parts[0]
    excluded, repaired = Counter[str](), Counter[str]()
    types: dict[str, int] = {}
    codes = []
    for part in parts:
        excluded.update(part.excluded)
        repaired.update(part.repaired)
        known = np.array([types.setdefault(name, len(types)) for name in part.types], dtype=np.int64)
        codes.append(known[part.type_codes])
    first = np.cumsum([0, *map(len, parts)])
    return Cleaned(
        {key: np.concatenate([part.sessions[key] for part in parts]) for key in parts[0].sessions},
        np.concatenate([part.session + before for part, before in zip(parts, first, strict=False)]),
        np.concatenate([part.pos for part in parts]),
        np.concatenate([part.t for part in parts]),
        np.concatenate(codes),
        list(types),
        {key: np.concatenate([part.data[key] for part in parts]) for key in parts[0].data},
        dict(excluded),
        dict(repaired),
    )


def one(document: Document, now: datetime) -> Visit:
    """One session document, cleaned as all others are. Raises LlmtrackError when it is no session."""
    if reason := unusable(document):
        raise LlmtrackError(f"This document is no session: {reason.replace('_', ' ')}.")
    columns = Columns(None)
    columns.add(document)
    cleaned = clean(columns.batch(), now)
    row = {key: values.tolist()[0] for key, values in cleaned.sessions.items()}
    start = row["start_ms"]
    session: dict[str, Any] = {key: row[key] for key in _NAMES}
    session |= {"start_time": _time(start), "end_time": _time(row["end_ms"])}
    session |= {"end_estimated": row["end_estimated"], "open": row["open"]}
    session["environment"] = environment(document)
    events = [
        {"t": round(t), "at_s": (t - start) / 1000, "type": cleaned.types[code], "data": data}
        for t, code, data in zip(cleaned.t.tolist(), cleaned.type_codes.tolist(), cleaned.data[DATA], strict=True)
    ]
    return Visit(session, events, cleaned)


def _session_of(batch: Batch) -> Ints:
    return np.repeat(np.arange(len(batch.counts)), batch.counts)


def _first_and_last(t: Floats, session: Ints, sessions: int) -> tuple[Floats, Floats]:
    """First and last t of each session, NaN for one without events."""
    counts = np.bincount(session, minlength=sessions)
    after = np.cumsum(counts)
    some = counts > 0
    first, last = np.full((2, sessions), np.nan)
    first[some] = t[(after - counts)[some]]
    last[some] = t[after[some] - 1]
    return first, last


def _numbered(batch: Batch, session: Ints) -> tuple[Bools, Ints]:
    """Events whose n an earlier one of the session has; and per session the n up to its largest that never arrived."""
    again = np.zeros(len(session), dtype=bool)
    rows = np.flatnonzero(~np.isnan(batch.n))
    session, n = session[rows], batch.n[rows]
    again[rows] = repeated = _repeated(session, n)
    largest = np.zeros(len(batch.counts))
    np.maximum.at(largest, session, n)
    return again, largest.astype(np.int64) - np.bincount(session[~repeated], minlength=len(largest))


def _twins(batch: Batch, session: Ints) -> Bools:
    """Events without n that an earlier one of the session equals in t, type and data."""
    again = np.zeros(len(session), dtype=bool)
    rows = np.flatnonzero(batch.same)
    again[rows] = _repeated(session[rows], batch.same[rows].astype(np.float64))
    return again


def _repeated(session: Ints, key: Floats) -> Bools:
    """Entries whose key an earlier entry of the session has. Sorts only the sessions whose keys do not rise."""
    again = np.zeros(len(key), dtype=bool)
    rows = _unsorted(session, key, strictly=True)
    order = rows[np.lexsort((key[rows], session[rows]))]
    again[order[1:]] = (key[order[1:]] == key[order[:-1]]) & (session[order[1:]] == session[order[:-1]])
    return again


def _unsorted(session: Ints, key: Floats, *, strictly: bool = False) -> Ints:
    """The entries of those sessions in which a key is less than the one before it, or `strictly` equal to it."""
    back = key[1:] <= key[:-1] if strictly else key[1:] < key[:-1]
    back &= session[1:] == session[:-1]
    if not back.any():
        return np.empty(0, dtype=np.int64)
    unsorted = np.zeros(session[-1] + 1, dtype=bool)
    unsorted[session[1:][back]] = True
    return np.flatnonzero(unsorted[session])


def _order(session: Ints, t: Floats, sessions: int) -> tuple[Ints, Ints]:
    """The order by session and t, stable; how often t steps back in each session."""
    order = np.arange(len(t))
    rows = _unsorted(session, t)
    order[rows] = rows[np.lexsort((t[rows], session[rows]))]
    back = (t[1:] < t[:-1]) & (session[1:] == session[:-1])
    return order, np.bincount(session[1:][back], minlength=sessions)


def _clock_offset(t: Floats, session: Ints, start: Floats, first_t: Floats) -> Floats:
    """By how much to move the sessions of which no event lies near the start; 0 for the others."""
    near = np.zeros(len(start), dtype=bool)
    near[session[np.abs(t - start[session]) <= NEAR_MS]] = True
    return np.where(near | np.isnan(first_t), 0.0, first_t - start)


def _taken(batch: Batch, rows: Ints) -> dict[str, Any]:
    """The data of these rows; the batch's own columns where nothing was left out or moved."""
    if len(rows) == len(batch.t) and (rows[1:] > rows[:-1]).all():
        return dict(batch.data)
    return {key: values[rows] for key, values in batch.data.items()}


def _mend_latencies(data: dict[str, Any]) -> int:
    """Negative latencies become missing; how many there were. Changes `data`, not the arrays in it."""
    if LATENCY in data:
        negative = data[LATENCY] < 0
        data[LATENCY] = np.where(negative, np.nan, data[LATENCY])
        return int(negative.sum())
    data[DATA] = objects = data[DATA].copy()
    rows = [row for row, each in enumerate(objects) if LATENCY in each and number(each[LATENCY]) < 0]
    for row in rows:
        objects[row] = {key: value for key, value in objects[row].items() if key != LATENCY}
    return len(rows)


def _ms(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(milliseconds=1)


def _time(ms: float) -> datetime | None:
    return None if np.isnan(ms) else _EPOCH + timedelta(milliseconds=ms)
