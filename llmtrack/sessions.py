"""Sessions of any source: opened, filtered, read as clean frames and tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.session import moments
from llmtrack.session.batch import without_bots
from llmtrack.session.cleaning import Cleaned, clean
from llmtrack.store.sources.open import Filters, Source, open_source

if TYPE_CHECKING:
    import pandas as pd

    from llmtrack.analysis.frames import Frames


Table = Literal["sessions", "events", "turns"]


class Where(TypedDict, total=False):
    """Which sessions: those that began at `since` or later and before `until`, or in the `last` "7d", "24h" or "90m".

    A date alone as `until` includes that day; without a zone, times are UTC.
    """

    since: moments.When | None
    until: moments.When | None
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
        from llmtrack.analysis.frames import frames

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
        from llmtrack.analysis.export import tables as export

        chosen = export.choose(table, columns)
        for batch in self.cleaned(export.fields(table, chosen)):
            yield export.build(table, batch, chosen)

    def sessions(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a session with all its numbers; the columns are those of docs/export.md."""
        return self.where(**where)._whole("sessions", columns)

    def events(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row an event; the columns are those of docs/export.md. Texts are not read when no column needs them."""
        return self.where(**where)._whole("events", columns)

    def turns(self, columns: Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a turn, a prompt with its answer; the columns are those of docs/export.md."""
        return self.where(**where)._whole("turns", columns)

    def _whole(self, table: Table, columns: Sequence[str] | None) -> pd.DataFrame:
        import pandas as pd

        return pd.concat(self.tables(table, columns), ignore_index=True)


def open(source: str | Sequence[str] | None = None, *, now: moments.When | None = None) -> Sessions:
    """Sessions of a source: a mongodb:// URI, a .jsonl, .json or .bson file, a folder of such files, an archive.

    Several sources are read together, each session once. None means MONGODB_URI, else the embedded server. `now` is for
    results that can be had again. Nothing is ever written. Raises UsageError when there is no such source,
    StoreUnavailable when no server answers.
    """
    settings = load_settings()
    as_of = moments.moment(now) if now is not None else None
    return Sessions(open_source(source, settings), settings, now=as_of)


def _filters(where: Where, now: datetime) -> dict[str, Any]:
    wanted: dict[str, Any] = dict(where)
    length = wanted.pop("last", None)
    if unknown := set(wanted) - set(Filters.__slots__):
        raise UsageError(f"There is no filter {min(unknown)!r}.", f"Filters: last, {', '.join(Filters.__slots__)}.")
    since, until = wanted.get("since"), wanted.get("until")
    if until is not None:
        wanted["until"] = moments.end(until)
    if since is not None or length is not None:
        begin = moments.moment(since) if since is not None else None
        wanted["since"] = moments.begin(begin, moments.length(length) if length is not None else None, now)
    return wanted
