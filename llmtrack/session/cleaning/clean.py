"""Cleaning: what a session is, whatever wrote it.

In this order, each step counted: duplicates; two clocks in one session; order of time; clocks that disagree with the
start, then events before it; answers before their prompts; sessions without an end; latencies and failures; documents
that hold several sessions.
The counts are part of every report.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import numpy as np

from llmtrack.errors import LlmtrackError
from llmtrack.session.cleaning.answers import mend
from llmtrack.session.cleaning.batch import DATA, Batch, Bools, Ints
from llmtrack.session.cleaning.clocks import NEAR_MS, Clocks, Told, align, start_offset, survey
from llmtrack.session.cleaning.columns import Columns, of_kind
from llmtrack.session.cleaning.events import Events
from llmtrack.session.cleaning.notices import noticed
from llmtrack.session.cleaning.order import settle, sort
from llmtrack.session.cleaning.repeats import repeats
from llmtrack.session.cleaning.series import first_and_last
from llmtrack.session.cleaning.visits import divide
from llmtrack.session.document import Document, environment, unusable
from llmtrack.session.recorded import kinds
from llmtrack.session.rules import PLAIN, Rules
from llmtrack.session.schema import CHAT, SILENT_AFTER_S
from llmtrack.session.tally import Broken
from llmtrack.session.values import Floats, distinct

OPEN_MS: Final = SILENT_AFTER_S * 1000
BREATH_MS: Final = 1_000  # clocks of one session differ by this at least: no repair worth a word

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_NAMES: Final = ("session_id", "user_id", "model_group", "experiment_id")
_KINDS: Final = {"viewport_height_px": float, "automation": bool}
_SIGNS: Final = ("last_activity_ms", "ended", "is_chat")
_ORDER: Final = (CHAT, "turn_id")  # what the order of events hangs on


@dataclass(frozen=True, eq=False)
class Cleaned:
    """Clean sessions and their events, as columns.

    `sessions`, one value a session: session_id, user_id, model_group, experiment_id, device, browser, os ("unknown"
    when missing), viewport_height_px, automation, start_ms, end_ms (epoch ms; end_ms is NaN without events and end),
    end_estimated, open, clock_shifted (bool), clock_offset_ms (by how much the events' clock was ahead), events,
    n_gaps (events known to be lost), duplicates, inversions, out_of_range (counts), number (of the session in its
    document, from 1), of_chat (whether its document is a chat, which may hold several).

    Of each event, sorted by session and t: `session` (from 0), `pos` (place in the stored document), `t` (epoch ms),
    `type_codes` (places in `types`), and in `data` the fields asked for.

    `excluded` and `repaired`: what cleaning left out and mended, reason → how many. `noticed`: what a reader of the
    whole source may have to know, what → how many. `unreadable`: documents met on the way that no session could be made
    of. `recorded`: the kinds of events that were there (session/recorded.py).
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
    noticed: dict[str, int] = field(default_factory=dict)
    unreadable: Broken = field(default_factory=Broken)
    recorded: frozenset[str] = frozenset()

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


def needed(fields: Iterable[str] | None, rules: Rules = PLAIN) -> tuple[str, ...] | None:
    """These data fields and those that cleaning itself looks at (None: whole data objects)."""
    more = ("error", "text") if rules.failed_answer else ()
    return None if fields is None else tuple(dict.fromkeys((*fields, *_ORDER, *more)))


def clocks_of(batch: Batch) -> Clocks:
    """What the sessions of a batch tell of their clocks."""
    return survey(Events.of(batch), np.array(batch.sessions["start_ms"]))


def clean(batch: Batch, now: datetime, rules: Rules = PLAIN, told: Told | None = None) -> Cleaned:
    """The sessions of one batch, cleaned. `now` (aware) decides which sessions are open.

    `told`: what all sessions tell of the clocks of their days (`clocks_of`); without it those of the batch do.
    """
    excluded, repaired = Counter(batch.broken), Counter[str]()
    events, sessions = Events.of(batch), len(batch.counts)
    start, end = np.array(batch.sessions["start_ms"]), np.array(batch.sessions["end_ms"])
    again, gaps = repeats(batch, events.session)
    by_content = int((again & np.isnan(batch.n)).sum())
    duplicates = np.bincount(events.session[again], minlength=sessions)
    if again.any():
        events.take(~again)
    ahead, counts = align(events, start, told)
    repaired.update(counts)
    inversions = sort(events)

    first_t, _ = first_and_last(events.t, events.session, sessions)
    unplaced = np.isnan(start)
    start = np.where(unplaced, first_t, start)
    backwards = end < start
    end[backwards] = np.nan
    are_chats = np.asarray(batch.sessions["is_chat"], dtype=bool)
    known_chats = are_chats if rules.chats is None else np.full(sessions, rules.chats)
    offset = start_offset(events.t, events.session, start, first_t, known_chats)
    if offset.any():
        events.t = events.t - offset[events.session]
    outside = events.t < start[events.session] - NEAR_MS
    dropped = np.bincount(events.session[outside], minlength=sessions)
    if outside.any():
        events.take(~outside)
    start, early = _begun(events, start)

    end, end_estimated, still, ignored = _ended(events, batch.sessions, start, end, _ms(now))
    repaired.update(settle(events))
    stored = np.bincount(events.session, minlength=sessions)
    data = events.data()
    repaired.update(mend(events, data, rules))

    excluded.update(duplicates=int(duplicates.sum()), out_of_range=int(dropped.sum()))
    if by_content:  # some of the duplicates: nothing but what they say tells that they are
        excluded["duplicates_by_content"] = by_content
    repaired.update(
        inversions=int(inversions.sum()),
        clock_shifted=int(np.count_nonzero(offset)),
        end_estimated=int((end_estimated & ~ignored).sum()),
        start_estimated=int(unplaced.sum()),
        start_after_first_event=early,
        end_before_start=int(backwards.sum()),
        end_before_last_event=int(ignored.sum()),
    )
    named = {key: values for key, values in batch.sessions.items() if key not in _SIGNS}
    table = {key: np.array(values, dtype=_KINDS.get(key, object)) for key, values in named.items()}
    table |= {
        "start_ms": start,
        "end_ms": end,
        "end_estimated": end_estimated,
        "open": still,
        "clock_shifted": (ahead + offset) != 0,
        "clock_offset_ms": ahead + offset,
        "events": stored,
        "n_gaps": gaps,
        "duplicates": duplicates,
        "inversions": inversions,
        "out_of_range": dropped,
        "number": np.ones(sessions, dtype=np.int64),
    }
    pos = batch.pos[events.rows]
    found = Cleaned(
        table,
        events.session,
        pos,
        events.t,
        events.codes,
        events.types,
        data,
        dict(excluded),
        dict(repaired),
        recorded=kinds(batch).union(events.types[code] for code in distinct(events.codes).tolist()),
    )
    found = replace(found, noticed=noticed(found))
    return divide(found, are_chats, rules)


def only(cleaned: Cleaned, which: Bools) -> Cleaned:
    """Of these sessions some."""
    events = which[cleaned.session]
    return replace(
        cleaned,
        sessions={key: values[which] for key, values in cleaned.sessions.items()},
        session=(np.cumsum(which) - 1)[cleaned.session[events]],
        pos=cleaned.pos[events],
        t=cleaned.t[events],
        type_codes=cleaned.type_codes[events],
        data={key: values[events] for key, values in cleaned.data.items()},
    )


def _begun(events: Events, start: Floats) -> tuple[Floats, int]:
    """The start of each session, no later than its first event; how many began more than a breath before theirs."""
    first_t, _ = first_and_last(events.t, events.session, events.sessions)
    return np.fmin(start, first_t), int((first_t < start - BREATH_MS).sum())


def _ended(
    events: Events, sessions: dict[str, Any], start: Floats, end: Floats, now_ms: float
) -> tuple[Floats, Bools, Bools, Bools]:
    """The end of each session, whether it is an estimate, whether the session is open, and whether its end was none.

    An end before later events is none: a reload or a change of the model wrote it, and the session went on.
    """
    _, last_t = first_and_last(events.t, events.session, events.sessions)
    active = np.asarray(sessions["last_activity_ms"], dtype=np.float64)
    last_t = np.fmax(last_t, np.where(active > start, active, np.nan))
    ignored = last_t > end + BREATH_MS
    endless = np.isnan(end) | ignored
    found = np.where(endless, last_t, np.fmax(end, last_t))
    closed = np.asarray(sessions["ended"], dtype=bool)
    still = endless & ~closed & (np.where(np.isnan(last_t), start, last_t) > now_ms - OPEN_MS)
    return found, endless & ~np.isnan(found), still, ignored


def join(parts: Sequence[Cleaned]) -> Cleaned:
    """Several as one (at least one, with the same fields); sessions are numbered on."""
    if len(parts) == 1:
        return parts[0]
    excluded, repaired, notices = Counter[str](), Counter[str](), Counter[str]()
    types: dict[str, int] = {}
    codes = []
    for part in parts:
        excluded.update(part.excluded)
        repaired.update(part.repaired)
        notices.update(part.noticed)
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
        dict(notices),
        recorded=frozenset[str]().union(*(part.recorded for part in parts)),
    )


def one(
    document: Document,
    now: datetime,
    rules: Rules = PLAIN,
    number: int = 1,
    told: Callable[[Batch], Told] | None = None,
) -> Visit:
    """One session document, cleaned as all others are; of a document of several the session with this number.

    -1 is the last one. `told`: what all sessions tell of the clocks of these sessions' days. Raises LlmtrackError when
    it is no session, or has not so many.
    """
    if reason := unusable(document):
        raise LlmtrackError(f"This document is no session: {reason.replace('_', ' ')}.")
    columns = Columns(None)
    columns.add(document)
    batch = columns.batch()
    cleaned = clean(batch, now, rules, told(batch) if told else None)
    several = len(cleaned)
    if number > several:
        raise LlmtrackError(f"The document of this session holds {several}, not {number}.")
    cleaned = only(cleaned, np.arange(several) == (number - 1 if number > 0 else several - 1))
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


def _ms(moment: datetime) -> float:
    return (moment - _EPOCH) / timedelta(milliseconds=1)


def _time(ms: float) -> datetime | None:
    return None if np.isnan(ms) else _EPOCH + timedelta(milliseconds=ms)
