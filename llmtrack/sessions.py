"""Sessions of any source: opened, filtered, read as clean frames and tables."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

import pandas as pd

from llmtrack.analysis.export import tables as export
from llmtrack.analysis.frames import frames
from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.session.batch import without_bots
from llmtrack.session.cleaning import Cleaned, clean
from llmtrack.store.sources.open import Filters, Source, open_source

if TYPE_CHECKING:
    from llmtrack.analysis.frames import Frames


When = datetime | date | str
Table = Literal["sessions", "events", "turns"]
_LENGTH = re.compile(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|w)", re.IGNORECASE)
_UNITS = {"s": "seconds", "min": "minutes", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Where(TypedDict, total=False):
    """Which sessions: those that began at `since` or later and before `until`, or in the `last` "7d", "24h" or "90m".

    A date alone as `until` includes that day; without a zone, times are UTC.
    """

    since: When | None
    until: When | None
    last: timedelta | str | None
    group: str | None
    experiment: str | None
    user: str | None
    device: str | None
    bots: bool


class Sessions:
    """Sessions of a source, read anew by each call; what `llmtrack.open` returns.

    `count` sessions came of the last reading; `excluded` and `repaired` count what it left out and mended, by reason
    (documents that could not be read are among `excluded`). `now` decides which sessions are still open, and what
    "last" counts back from.
    """

    def __init__(
        self, source: Source, settings: Settings, filters: Filters | None = None, now: datetime | None = None
    ) -> None:
        self.source, self.settings = source, settings
        self.filters = filters or Filters()
        self.now = now or datetime.now(UTC)
        self.count = 0
        self.excluded: Counter[str] = Counter()
        self.repaired: Counter[str] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        only = "".join(f", {key}={value!r}" for key, value in self.filters.as_dict().items())
        return f"<Sessions of {self.source.name}{only}>"

    def close(self) -> None:
        """Close connections and files."""
        self.source.close()

    def where(self, **where: Unpack[Where]) -> Sessions:
        """Of these sessions those that `where` names. Raises UsageError."""
        if not where:
            return self
        wanted = {**{key: getattr(self.filters, key) for key in Filters.__slots__}, **_filters(where, self.now)}
        return Sessions(self.source, self.settings, Filters(**wanted), self.now)

    def frames(self, fields: Iterable[str] | None = ()) -> Iterator[Frames]:
        """The batches of `cleaned` as tables."""
        return map(frames, self.cleaned(fields))

    def cleaned(self, fields: Iterable[str] | None = ()) -> Iterator[Cleaned]:
        """Clean batches of sessions with these data fields of their events (None: whole data objects)."""
        self.count = 0
        self.excluded.clear()
        self.repaired.clear()
        for batch in self.source.batches(self.filters, fields):
            if not self.filters.with_bots:
                batch, bots = without_bots(batch)
                if bots:
                    self.excluded["bots"] += bots
            cleaned = clean(batch, self.now)
            self.count += len(cleaned)
            self.excluded.update(cleaned.excluded)
            self.repaired.update(cleaned.repaired)
            yield cleaned
        self.excluded.update(self.source.unreadable)

    def tables(self, table: Table, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """A table of docs/export.md, batch by batch. Raises UsageError when a column does not exist."""
        chosen = export.choose(table, columns)
        for batch in self.cleaned(export.fields(table, chosen)):
            yield export.build(table, batch, chosen)

    def sessions(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a session with all its numbers; the columns are those of docs/export.md."""
        return pd.concat(self.where(**where).tables("sessions", columns), ignore_index=True)

    def events(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row an event; the columns are those of docs/export.md. Texts are not read when no column needs them."""
        return pd.concat(self.where(**where).tables("events", columns), ignore_index=True)

    def turns(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a turn, a prompt with its answer; the columns are those of docs/export.md."""
        return pd.concat(self.where(**where).tables("turns", columns), ignore_index=True)


def open(source: str | None = None, *, now: datetime | None = None) -> Sessions:
    """Sessions of a source: a mongodb:// URI, a .jsonl, .json or .bson file, a folder of such files.

    None means MONGODB_URI, else the embedded server. `now` is for results that can be had again. Nothing is ever
    written. Raises UsageError when there is no such source, StoreUnavailable when no server answers.
    """
    settings = load_settings()
    return Sessions(open_source(source, settings), settings, now=now)


def _filters(where: Where, now: datetime) -> dict[str, Any]:
    wanted: dict[str, Any] = dict(where)
    last = wanted.pop("last", None)
    if "since" in wanted:
        wanted["since"] = _moment(wanted["since"])
    if "until" in wanted:
        wanted["until"] = _moment(wanted["until"], whole_day=True)
    if last is not None:
        if wanted.get("since"):
            raise UsageError("since and last both say where to begin.", "Give one of them.")
        wanted["since"] = now - _length(last)
    if unknown := set(wanted) - set(Filters.__slots__):
        raise UsageError(f"There is no filter {min(unknown)!r}.", f"Filters: last, {', '.join(Filters.__slots__)}.")
    return wanted


def _length(value: timedelta | str) -> timedelta:
    found = _LENGTH.fullmatch(value.strip()) if isinstance(value, str) else None
    with suppress(OverflowError):
        length = timedelta(**{_UNITS[found[2].lower()]: float(found[1])}) if found else value
        if isinstance(length, timedelta) and length > timedelta():
            return length
    raise UsageError(f"{value!r} is not a length of time.", "Write 7d, 24h, 90m or 30s.")


def _moment(value: When | None, *, whole_day: bool = False) -> datetime | None:
    """A moment (UTC); a date alone is its first moment, or with `whole_day` the first after it."""
    if value is None:
        return None
    try:
        found = datetime.fromisoformat(str(value).strip())
    except ValueError:
        raise UsageError(f"{value!r} is not a date.", "Write 2026-11-01 or 2026-11-01T10:00Z.") from None
    if whole_day and len(str(value).strip()) <= len("2026-11-01"):
        found += timedelta(days=1)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
