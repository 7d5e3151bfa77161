"""Frames: sessions as tidy, clean tables: one row a session, one row an event.

Cleaning, in this order, each step counted: duplicates; order of time; clocks that disagree, then events out of range;
negative latencies; sessions without an end; chats that begin late. The counts are part of every report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from llmtrack.analysis.clocks import late_chats, placed
from llmtrack.errors import LlmtrackError
from llmtrack.session.batch import DATA, Batch, Bools, Ints, select
from llmtrack.session.columns import Columns
from llmtrack.session.document import Document, environment, unusable
from llmtrack.session.schema import CHAT, SILENT_AFTER_S
from llmtrack.session.values import Floats, number

NEAR_MS: Final = 5 * 60 * 1000  # clocks this close agree
OPEN_MS: Final = SILENT_AFTER_S * 1000
LATENCY: Final = "latency_ms"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NOT_NAMES: Final = {"viewport_height_px": float, "automation": bool, "start_ms": float, "end_ms": float}


class Frames(NamedTuple):
    """Clean sessions.

    `sessions`: a row a session, index 0…: session_id, user_id, model_group, experiment_id, device, browser, os
    ("unknown" when missing), viewport_height_px, automation, start_ms, end_ms (epoch ms; end_ms is NaN without events
    and end), end_estimated, open, clock_shifted (bool), clock_offset_ms (by how much the events' clock was ahead),
    events, n_gaps (events known to be lost), duplicates, inversions, out_of_range (counts).

    `events`: a row an event, sorted by session and t; session (row of `sessions`), pos (place in the stored document),
    t (epoch ms), type (categorical), and the data fields asked for.

    `excluded` and `repaired`: what cleaning left out and mended, reason → how many.
    """

    sessions: pd.DataFrame
    events: pd.DataFrame
    excluded: dict[str, int]
    repaired: dict[str, int]


class Visit(NamedTuple):
    """One clean session.

    `session`: session_id, user_id, model_group, experiment_id, start_time, end_time (aware; None without events and
    end), end_estimated, open, environment. `events`: {"t" (int ms), "at_s", "type", "data"} in order of t.
    """

    session: dict[str, Any]
    events: list[dict[str, Any]]
    excluded: dict[str, int]
    repaired: dict[str, int]


def build(batches: Iterable[Batch], now: datetime) -> Frames:
    """All sessions of the batches, cleaned, in one Frames. `now` (aware) decides which sessions are open."""
    return concat([clean(batch, now) for batch in batches])


def clean(batch: Batch, now: datetime) -> Frames:
    """The sessions of one batch, cleaned. `now` (aware) decides which sessions are open."""
    excluded, repaired = Counter(batch.broken), Counter[str]()
    sessions = len(batch.counts)
    gaps = _gaps(batch)
    duplicate = _duplicates(batch)
    duplicates = np.bincount(_session_of(batch)[duplicate], minlength=sessions)
    if duplicate.any():
        batch = select(batch, ~duplicate)
    order, inversions = _order(batch)
    session, t = _session_of(batch), batch.t[order]

    start, end = np.array(batch.sessions["start_ms"]), np.array(batch.sessions["end_ms"])
    first_t, _ = _first_and_last(t, batch.counts)
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
        order, session, t = np.arange(len(t))[order][~outside], session[~outside], t[~outside]
    counts = np.bincount(session, minlength=sessions)

    columns: dict[str, Any] = {key: values[order] for key, values in batch.data.items()}
    if LATENCY in columns or DATA in columns:  # else nobody knows how many there are
        repaired["negative_latency"] = _mend_latencies(columns)
    endless = np.isnan(end)
    _, last_t = _first_and_last(t, counts)
    end = np.where(endless, last_t, end)
    end_estimated = endless & ~np.isnan(end)
    still = endless & (np.where(counts > 0, last_t, start) > _ms(now) - OPEN_MS)

    codes = batch.type_codes[order]
    if CHAT in columns or DATA in columns:  # else nobody knows whose first prompt it is
        late = late_chats(batch.types, codes, session, t, columns)
        repaired["chat_begun_late"] = len(late)
        if late:
            again, t = placed(late, t)
            order, codes = np.arange(len(batch.t))[order][again], codes[again]
            columns = {key: values[again] for key, values in columns.items()}

    excluded.update(duplicates=int(duplicates.sum()), out_of_range=int(dropped.sum()))
    repaired.update(
        inversions=int(inversions.sum()),
        clock_shifted=int(np.count_nonzero(offset)),
        end_estimated=int(end_estimated.sum()),
        start_estimated=int(unplaced.sum()),
        end_before_start=int(backwards.sum()),
    )
    table = _session_table(batch).assign(
        start_ms=start,
        end_ms=end,
        end_estimated=end_estimated,
        open=still,
        clock_shifted=offset != 0,
        clock_offset_ms=offset,
        events=counts,
        n_gaps=gaps,
        duplicates=duplicates,
        inversions=inversions,
        out_of_range=dropped,
    )
    kinds = pd.Categorical.from_codes(codes, categories=pd.Index(batch.types, dtype="str"))
    typed = {key: pd.Series(values, dtype=values.dtype) for key, values in columns.items()}  # objects stay objects
    events = pd.DataFrame({"session": session, "pos": batch.pos[order], "t": t, "type": kinds, **typed}, copy=False)
    return Frames(table, events, dict(excluded), dict(repaired))


def concat(parts: list[Frames]) -> Frames:
    """Several Frames (at least one, with the same fields) as one."""
    if len(parts) == 1:
        return parts[0]
    excluded, repaired = Counter[str](), Counter[str]()
    for part in parts:
        excluded.update(part.excluded)
        repaired.update(part.repaired)
    first = np.cumsum([0, *(len(part.sessions) for part in parts)])
    kinds = union_categoricals([part.events["type"] for part in parts])
    moved = [part.events.assign(session=part.events["session"] + n) for part, n in zip(parts, first, strict=False)]
    events = pd.concat([part.drop(columns="type") for part in moved], ignore_index=True)
    events["type"] = kinds
    sessions = pd.concat([part.sessions for part in parts], ignore_index=True)
    return Frames(sessions, events, dict(excluded), dict(repaired))


def one(document: Document, now: datetime) -> Visit:
    """One session document, cleaned as all others are. Raises LlmtrackError when it is no session."""
    if reason := unusable(document):
        raise LlmtrackError(f"This document is no session: {reason.replace('_', ' ')}.")
    columns = Columns(None)
    columns.add(document)
    frames = clean(columns.batch(), now)
    row = frames.sessions.iloc[0]
    start = float(row["start_ms"])
    session: dict[str, Any] = {key: row[key] for key in ("session_id", "user_id", "model_group", "experiment_id")}
    session |= {"start_time": _time(start), "end_time": _time(row["end_ms"])}
    session |= {"end_estimated": bool(row["end_estimated"]), "open": bool(row["open"])}
    session["environment"] = environment(document)
    events = [
        {"t": round(t), "at_s": (t - start) / 1000, "type": kind, "data": data}
        for t, kind, data in zip(*(frames.events[key].tolist() for key in ("t", "type", DATA)), strict=True)
    ]
    return Visit(session, events, frames.excluded, frames.repaired)


def _session_table(batch: Batch) -> pd.DataFrame:
    names = {key: pd.array(values, dtype="str") for key, values in batch.sessions.items() if key not in _NOT_NAMES}
    return pd.DataFrame(
        {**names, **{key: np.array(batch.sessions[key], dtype=kind) for key, kind in _NOT_NAMES.items()}}
    )


def _session_of(batch: Batch) -> Ints:
    return np.repeat(np.arange(len(batch.counts)), batch.counts)


def _first_and_last(values: Floats, counts: Ints) -> tuple[Floats, Floats]:
    """First and last value of each session, NaN for one without events."""
    after = np.cumsum(counts)
    some = counts > 0
    first, last = np.full((2, len(counts)), np.nan)
    first[some] = values[(after - counts)[some]]
    last[some] = values[after[some] - 1]
    return first, last


def _gaps(batch: Batch) -> Ints:
    """Numbers n up to the largest of the session that never arrived."""
    numbered = ~np.isnan(batch.n)
    session, n = _session_of(batch)[numbered], batch.n[numbered]
    largest = np.zeros(len(batch.counts))
    np.maximum.at(largest, session, n)
    different = np.unique(np.stack([session, n]), axis=1)[0].astype(np.int64) if _repeats(session, n) else session
    return largest.astype(np.int64) - np.bincount(different, minlength=len(batch.counts))


def _repeats(session: Ints, n: Floats) -> bool:
    """Whether a number may stand twice in a session (False is certain)."""
    return bool(((n[1:] <= n[:-1]) & (session[1:] == session[:-1])).any())


def _duplicates(batch: Batch) -> Bools:
    """Events after the first with the same n, or without n and with the same t, type and data."""
    session = _session_of(batch)
    duplicate = np.zeros(len(session), dtype=bool)
    numbered = np.flatnonzero(~np.isnan(batch.n))
    if _repeats(session[numbered], batch.n[numbered]):
        keys = pd.DataFrame({"session": session[numbered], "n": batch.n[numbered]})
        duplicate[numbered] = keys.duplicated().to_numpy()
    twins = np.flatnonzero(batch.same)
    if len(twins):
        keys = pd.DataFrame({"session": session[twins], "same": batch.same[twins]})
        duplicate[twins] |= keys.duplicated().to_numpy()
    return duplicate


def _order(batch: Batch) -> tuple[Ints | slice, Ints]:
    """Rows by session and t, stable; how often t steps back in each session."""
    session = _session_of(batch)
    back = (batch.t[1:] < batch.t[:-1]) & (session[1:] == session[:-1])
    inversions = np.bincount(session[1:][back], minlength=len(batch.counts))
    return (np.lexsort((batch.t, session)) if back.any() else slice(None)), inversions


def _clock_offset(t: Floats, session: Ints, start: Floats, first_t: Floats) -> Floats:
    """By how much to move the sessions of which no event lies near the start; 0 for the others."""
    near = np.zeros(len(start), dtype=bool)
    near[session[np.abs(t - start[session]) <= NEAR_MS]] = True
    return np.where(near | np.isnan(first_t), 0.0, first_t - start)


def _mend_latencies(columns: dict[str, Any]) -> int:
    """Negative latencies become missing, in place; how many there were."""
    if LATENCY in columns:
        negative = columns[LATENCY] < 0
        columns[LATENCY] = np.where(negative, np.nan, columns[LATENCY])
        return int(negative.sum())
    objects = columns[DATA]
    rows = [row for row, data in enumerate(objects) if LATENCY in data and number(data[LATENCY]) < 0]
    for row in rows:
        objects[row] = {key: value for key, value in objects[row].items() if key != LATENCY}
    return len(rows)


def _ms(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(milliseconds=1)


def _time(ms: float) -> datetime | None:
    return None if np.isnan(ms) else _EPOCH + timedelta(milliseconds=ms)
