"""From session documents to columns.

Other writers' documents are met here, once: times of any shape become epoch milliseconds, names become text, numbers
become floats, and events that cannot be used are counted and named. Nothing here knows where documents lie.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from llmtrack.session.cleaning.batch import DATA, ENVIRONMENT, IDS, NAMES, NUMBERS, TEXTS, Batch, Ints, select
from llmtrack.session.document import UNKNOWN, Document, device, environment
from llmtrack.session.ids import name, names, unnamed
from llmtrack.session.tally import Broken
from llmtrack.session.times import epoch_ms, raw_ms, refusal, times
from llmtrack.session.values import Floats, Objects, number, numbers, texts

_EVENT_IDS: Final = ("id", "_id", "event_id", "uuid")  # where other writers keep an event's own id
_ENDED: Final = ("ended", "closed", "completed", "complete", "finished", "inactive")  # what a `status` says then
_RATINGS: Final = ("up", "down", "neutral")
_NO_OBJECT: Final = ("not an object",)  # stands for the type of an event that is none


class Columns:
    """Gathers usable session documents (see `unusable`) and gives them as a Batch.

    `fields` are the data fields wanted; None delivers whole data objects as the column `data`.
    """

    def __init__(self, fields: Iterable[str] | None = ()) -> None:
        self.fields = None if fields is None else tuple(dict.fromkeys(fields))
        self._sessions: list[tuple[Any, ...]] = []
        self._counts: list[int] = []
        self._t: list[float] = []
        self._n: list[Any] = []
        self._codes: list[int] = []
        self._shapes = _Shapes()
        self._values: list[Any] = []
        self._same: dict[int, int] = {}
        self._rates = self.fields is not None and "rating" in self.fields

    def __len__(self) -> int:
        return len(self._counts)

    @property
    def events(self) -> int:
        """Events gathered so far."""
        return len(self._t)

    def add(self, document: Document) -> None:
        """Add a session and its events."""
        events = document.get("events") or []
        first, values = len(self._t), len(self._values)
        try:
            self._add_events(events)
        except (TypeError, KeyError, AttributeError):  # another writer's shapes: make them ours, then again
            self._forget(first, values)
            events = [_normal(event) for event in events]
            self._add_events(events)
        if len(set(self._t[first:])) < len(events) and has_twins(events):
            self._same.update((first + i, key) for i, key in _same(events).items())
        self._sessions.append(_session(document))
        self._counts.append(len(events))

    def _add_events(self, events: list[Any]) -> None:
        # The one loop over events there is. It runs while the decoded document is still in the processor's cache, and
        # keeps nothing of it but what is asked for: one value after the other, told apart by the event's shape.
        shapes, wanted = self._shapes, self._wanted
        add_t, add_n, add_code, add_values = self._t.append, self._n.append, self._codes.append, self._values.extend
        for event in events:
            add_t(event["t"] + 0.0)
            add_n(event.get("n"))
            data = event.get("data")
            if data:
                data = wanted(data)
            if data:
                add_code(shapes[event["type"], *data])
                add_values(data.values())
            else:
                add_code(shapes[(event["type"],)])

    def _wanted(self, data: Document) -> Document:
        if self.fields is None:
            return {DATA: _rated(data | {})}
        keys = data.keys()
        found = {key: data[key] for key in self.fields if key in keys}
        return _rated(found, data) if self._rates and "feedback" in keys else found

    def _forget(self, event: int, value: int) -> None:
        del self._t[event:], self._n[event:], self._codes[event:], self._values[value:]

    def batch(self, broken: Broken | None = None) -> Batch:
        """What was gathered. Events that are no object, or have no usable t or type, are left out and counted."""
        counts = np.array(self._counts, dtype=np.int64)
        first = np.cumsum(counts) - counts
        same = np.zeros(self.events, dtype=np.int64)
        if self._same:
            same[list(self._same)] = list(self._same.values())
        codes = np.array(self._codes, dtype=np.int64)
        types: dict[Any, int] = {}
        of_shape = [types.setdefault(shape[0], len(types)) for shape in self._shapes]
        batch = Batch(
            sessions=_session_columns(self._sessions),
            counts=counts,
            pos=np.arange(self.events) - np.repeat(first, counts),
            t=times(self._t),
            n=numbers(self._n),
            type_codes=np.array(of_shape, dtype=np.int64)[codes],
            types=list(types),
            same=same,
            data=self._data(codes),
            broken=_unnamed(self._sessions),
        )
        return _without_broken(batch, self._t, broken if broken is not None else Broken())

    def _data(self, codes: Ints) -> dict[str, Floats | Objects]:
        values = np.fromiter(self._values, dtype=object, count=len(self._values))
        lengths = np.array([len(shape) - 1 for shape in self._shapes], dtype=np.int64)[codes]
        first = np.cumsum(lengths) - lengths
        by_shape = np.argsort(codes, kind="stable")
        ends = np.cumsum(np.bincount(codes, minlength=len(self._shapes)))
        keys = (DATA,) if self.fields is None else self.fields
        found: dict[str, tuple[list[Ints], list[Ints]]] = {key: ([], []) for key in keys}
        for shape, end, begin in zip(self._shapes, ends, np.append(0, ends), strict=False):
            rows = by_shape[begin:end]
            for place, key in enumerate(shape[1:]):
                if key in found:
                    found[key][0].append(rows)
                    found[key][1].append(first[rows] + place)
        return {key: _column(key, rows, places, values, len(codes)) for key, (rows, places) in found.items()}


def _rated(found: Document, data: Document | None = None) -> Document:
    """With a `rating` that stands under `feedback`, as some writers have it. Changes `found`."""
    said = (found if data is None else data).get("feedback")
    if "rating" not in found and isinstance(said, str) and said in _RATINGS:
        found["rating"] = said
    return found


class _Shapes(dict[tuple[Any, ...], int]):
    """Numbers the shapes of events: their type and the names of their data."""

    def __missing__(self, key: tuple[Any, ...]) -> int:
        self[key] = len(self)
        return self[key]


def _session(document: Document) -> tuple[Any, ...]:
    where = environment(document)
    viewport = where.get("viewport")
    return (
        document["session_id"],
        *map(document.get, NAMES),
        device(where),
        *map(where.get, ENVIRONMENT[1:]),
        viewport.get("height") if isinstance(viewport, dict) else None,
        where.get("automation") is True,
        epoch_ms(document.get("start_time")),
        epoch_ms(document.get("end_time")),
        epoch_ms(document.get("last_activity")),
        str(document.get("status")).lower() in _ENDED,
        document.get("is_chat") is True,
    )


def _session_columns(sessions: list[tuple[Any, ...]]) -> dict[str, list[str] | Floats | Ints]:
    named = ("session_id", *NAMES, *ENVIRONMENT)
    columns = list(zip(*sessions, strict=True)) or [()] * (len(named) + 7)
    found: dict[str, Any] = {key: names(values, UNKNOWN) for key, values in zip(named, columns, strict=False)}
    height, automation, start, end, active, ended, chat = columns[len(named) :]
    found |= {"viewport_height_px": numbers(height), "automation": np.array(automation, dtype=bool)}
    found |= {"start_ms": numbers(start), "end_ms": numbers(end), "last_activity_ms": numbers(active)}
    return found | {"ended": np.array(ended, dtype=bool), "is_chat": np.array(chat, dtype=bool)}


def _unnamed(sessions: list[tuple[Any, ...]]) -> Counter[str]:
    """Of how many sessions a name is stored that is none: they are shown as unknown, but somebody wrote one down."""
    found = Counter[str]()
    for place, key in enumerate(NAMES, 1):
        values = [session[place] for session in sessions if type(session[place]) is not str]
        if lost := sum(map(unnamed, values)):
            found[f"unreadable_{key}"] = lost
    return found


def _normal(event: Any) -> Document:
    """An event of any shape with t as ms (NaN: unusable), type (None: unusable), n and a data object."""
    if not isinstance(event, dict):
        return {"t": float("nan"), "type": _NO_OBJECT}
    kind, data, n = event.get("type"), event.get("data"), number(event.get("n"))
    return {
        "t": raw_ms(event.get("t")),
        "type": str(kind) if isinstance(kind, str) else None,  # BSON's code is a str that cannot be hashed
        "n": None if math.isnan(n) else n,
        **{key: event[key] for key in _EVENT_IDS if key in event},
        "data": data if isinstance(data, dict) else {},
    }


def has_twins(events: list[Document]) -> bool:
    """Whether two events without n share t and type: their whole data tells whether they are the same."""
    plain = [(event["t"], event["type"]) for event in events if event.get("n") is None]
    return len(set(plain)) < len(plain)


def _same(events: list[Document]) -> dict[int, int]:
    """Position → number for events without n that are one event, stored twice (numbers from 1).

    They share t, type, data and the id that the writer gave. In a log of whole seconds that is no sign without an id:
    people click twice in a second.
    """
    times = {t for event in events if (t := epoch_ms(event["t"])) is not None}
    seconds = len(times) > 1 and all(t % 1000 == 0 for t in times)
    alike: dict[Any, list[int]] = {}
    for i, event in enumerate(events):
        given = next((_frozen(event[key]) for key in _EVENT_IDS if event.get(key) is not None), None)
        if event.get("n") is None and not (seconds and given is None):
            alike.setdefault((event["t"], event["type"], _frozen(event.get("data") or {}), given), []).append(i)
    several = [positions for positions in alike.values() if len(positions) > 1]
    return {i: number for number, positions in enumerate(several, 1) for i in positions}


def _frozen(value: Any) -> Any:
    if isinstance(value, dict):
        return frozenset((key, _frozen(member)) for key, member in value.items())
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value if isinstance(value, str | int) else repr(value)


def _column(key: str, rows: list[Ints], places: list[Ints], values: Objects, total: int) -> Floats | Objects:
    chosen = values[np.concatenate(places)].tolist() if places else []
    at = np.concatenate(rows or [np.empty(0, dtype=np.int64)])
    column: Any = np.full(total, np.nan) if key in NUMBERS else np.empty(total, dtype=object)
    if key == DATA:
        column[:] = [{} for _ in range(total)]
    column[at] = of_kind(key, chosen)
    return column  # type: ignore[no-any-return]


def of_kind(key: str, values: list[Any]) -> Floats | Objects:
    """Values of a data field as they are read: floats for NUMBERS, texts or None for TEXTS, else as stored."""
    if key in NUMBERS:
        return numbers(values)
    if key in IDS and not {*map(type, values)} <= {str}:
        values = [name(value) for value in values]
    return texts(values) if key in TEXTS else np.fromiter(values, dtype=object, count=len(values))


def _without_broken(batch: Batch, raw: list[float], broken: Broken) -> Batch:
    """The batch without events that are unusable; they are counted in it, and named in `broken`."""
    typed = np.array([isinstance(kind, str) and kind != "" for kind in batch.types], dtype=bool)
    usable = np.isfinite(batch.t) & (typed[batch.type_codes] if len(batch.t) else True)
    if not usable.all():
        session = np.repeat(np.arange(len(batch.counts)), batch.counts)
        for row in np.flatnonzero(~usable):
            kind = batch.types[batch.type_codes[row]]
            why = refusal(raw[row])
            reason = f"event_with_t_{why}" if why else "event_without_t"
            reason = reason if typed[batch.type_codes[row]] else "event_without_type"
            reason = "event_not_an_object" if kind == _NO_OBJECT else reason
            batch.broken[reason] += 1
            session_id = batch.sessions["session_id"][session[row]]
            broken.name(reason, f"{session_id}, event {batch.pos[row] + 1}")
        batch = select(batch, usable)
    if not typed.all():
        batch.type_codes = (np.cumsum(typed) - 1)[batch.type_codes]
        batch.types = [kind for kind, ok in zip(batch.types, typed, strict=True) if ok]
    return batch
