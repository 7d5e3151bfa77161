"""Sessions of any source: opened, filtered, read as clean frames and tables."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal, Self, TypedDict, TypeVar, Unpack

import numpy as np

from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.session import moments
from llmtrack.session.cleaning.batch import Batch, of_sessions, without_bots
from llmtrack.session.cleaning.clean import Cleaned, Visit, clean, clocks_of, needed, one, only
from llmtrack.session.cleaning.clocks import Told
from llmtrack.session.cleaning.visits import document_of
from llmtrack.session.document import UNKNOWN, Document
from llmtrack.session.ids import name
from llmtrack.session.recorded import USUAL, kinds
from llmtrack.session.values import Floats, several
from llmtrack.store.sources.open import Filters, Source, open_source

if TYPE_CHECKING:
    import pandas as pd

    from llmtrack.analysis.parts import Part
    from llmtrack.analysis.report import Report, ReportSettings

Table = Literal["sessions", "events", "turns"]
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
PROBED: Final = 2_000  # sessions that tell what a source records, where filters hide most of them

Finding = TypeVar("Finding")


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

    `now` decides which sessions are still open, and what "last" counts back from.
    """

    def __init__(
        self, source: Source, settings: Settings, filters: Filters | None = None, now: datetime | None = None
    ) -> None:
        self.source, self.settings = source, settings
        self.filters = filters or Filters()
        self.now = now or datetime.now(UTC)

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

    def run(self, report: Report[Finding]) -> Finding:
        """The result of a report on these sessions."""
        from llmtrack.analysis.result import with_notices

        found: Finding = with_notices(report.finish(self.parts(report), self.report_settings()), self.away())
        return found

    def away(self) -> list[tuple[str, str]]:
        """A code and a text, when some of these sessions were moved to archives that are not read; else nothing."""
        found = self.source.away(self.filters.listed())
        if found is None:
            return []
        count = "" if found.sessions is None else f"{found.sessions:,} "
        what = f"{count}session{'s' * (found.sessions != 1)} that moved to {', '.join(found.folders.values())}"
        how = " ".join(f"--source {each}" for each in found.together)
        return [("archived", f"Not counted: {what}. To read all: {how}")]

    def parts(self, report: Report[Any]) -> Iterator[Part]:
        """What a report picks of each batch of these sessions."""
        return map(report.pick, self.cleaned(report.fields))

    def report_settings(self) -> ReportSettings:
        """What a report must know of these sessions beside themselves."""
        from llmtrack.analysis.report import ReportSettings

        named = self.settings.experiments.items()
        weights = {name: {group.name: group.weight for group in experiment.groups} for name, experiment in named}
        return ReportSettings(
            now=self.now, weights=weights, one_group=self.filters.group is not None, recorded=self.recorded
        )

    def recorded(self, seen: frozenset[str] = frozenset(), wanted: frozenset[str] = USUAL) -> frozenset[str]:
        """The kinds of events that the source records, of which `seen` are known from these sessions.

        Where filters hide sessions, and nothing of a `wanted` kind was seen, the first PROBED of all sessions tell.
        """
        if wanted <= seen or replace(self.filters, bots=False, people=False) == Filters():
            return seen
        return self.source_records(wanted, seen, PROBED)

    def source_records(
        self, wanted: frozenset[str], seen: frozenset[str] = frozenset(), most: float = math.inf
    ) -> frozenset[str]:
        """The kinds of events in the source, read until all that are `wanted` were met, or `most` sessions."""
        met = 0
        for batch in self.source.batches(Filters()) if not wanted <= seen else ():
            seen |= kinds(batch)
            met += len(batch.counts)
            if wanted <= seen or met >= most:
                break
        return seen

    def grouping(self, by: str | None = None) -> str:
        """What reports group by: `by`, else "model_group"; "model" where answers name models and no session a group.

        The first session decides at once where it names a group, as those of a collector do.
        """
        first = None if by else next(self.source.documents(self.filters), None)
        if by or first is None or name(first.get("model_group")):
            return by or "model_group"
        answered = False
        for batch in self.source.batches(self.filters, ("model",)):
            if any(group != UNKNOWN for group in batch.sessions["model_group"]):
                return "model_group"
            answered = answered or any(model is not None for model in batch.data["model"])
        return "model" if answered else "model_group"

    def cleaned(self, fields: Iterable[str] | None = ()) -> Iterator[Cleaned]:
        """Clean batches of sessions (at least one) with these data fields of their events (None: whole data objects).

        What could not be read is told with the last one.
        """
        waiting: Cleaned | None = None
        for batch, bots, told in self._batches(needed(fields, self.settings.rules)):
            if waiting is not None:
                yield waiting
            waiting = self._wanted(clean(batch, self.now, self.settings.rules, told))
            if bots:
                waiting = replace(waiting, excluded={**waiting.excluded, "bots": bots})
        if waiting is not None:
            yield replace(waiting, unreadable=self.source.unreadable)

    def _batches(self, fields: Iterable[str] | None) -> Iterator[tuple[Batch, int, Told]]:
        """The batches, how many bots were left out of each, and what is known of the clocks of its days.

        Sessions that cannot tell how their clocks are off come last, when all others have told.
        """
        told: Told = Counter()
        waiting: list[Batch] = []
        for batch in self.source.batches(self._stored, fields):
            bots = 0
            if not self.filters.with_bots:
                batch, bots = without_bots(batch)
            clocks = clocks_of(batch)
            told.update(clocks.told())
            if clocks.unsure.any():
                waiting.append(replace(of_sessions(batch, clocks.unsure), broken=Counter()))
                batch = of_sessions(batch, ~clocks.unsure)
            yield batch, bots, Counter()
        if waiting and replace(self.filters, bots=False, people=False) != Filters():
            told = self._told(np.concatenate([_unsure_days(batch) for batch in waiting]))
        for batch in waiting:
            yield batch, 0, told

    def visit(self, document: Document, number: int = 1) -> Visit:
        """A session of this source, cleaned as among all others (`clean.one`)."""
        return one(document, self.now, self.settings.rules, number, told=lambda batch: self._told(_unsure_days(batch)))

    def _told(self, days: Floats) -> Told:
        """What all sessions of the source tell of the clocks of these days, whatever filters hide."""
        told: Told = Counter()
        if len(days):
            first, last = (float(bound(days)) for bound in (np.min, np.max))
            begin = _EPOCH + timedelta(days=first) if first else None  # 0: a session without a start
            wanted = Filters(since=begin, until=_EPOCH + timedelta(days=last + 1) if last else None)
            for batch in self.source.batches(wanted):
                told.update(clocks_of(batch).told())
        return told

    @property
    def _stored(self) -> Filters:
        """The filters of documents: where they are chats, one that began earlier may hold sessions that are wanted."""
        wanted = self.filters
        if wanted.ids is not None:
            documents = {found[0] for each in wanted.ids if (found := document_of(each))}
            wanted = replace(wanted, ids=wanted.ids | documents)
        return replace(wanted, since=None) if self.settings.ids_are_chats else wanted

    def _wanted(self, cleaned: Cleaned) -> Cleaned:
        """Of the sessions of chats those that are wanted; of others the source has delivered no more."""
        wanted, which = self.filters, np.ones(len(cleaned), dtype=bool)
        if wanted.ids is not None:
            ids = [{each, (document_of(each) or (each,))[0]} for each in cleaned.sessions["session_id"]]
            which = np.array([not wanted.ids.isdisjoint(each) for each in ids], dtype=bool)
        for bound, after in ((wanted.since, True), (wanted.until, False)):
            if bound is not None:
                late = cleaned.sessions["start_ms"] >= bound.timestamp() * 1000
                which &= ~cleaned.sessions["of_chat"] | (late == after)
        return cleaned if which.all() else only(cleaned, which)

    def tables(self, table: Table, columns: str | Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """A table of docs/export.md, batch by batch. Raises UsageError when a column does not exist."""
        from llmtrack.analysis.export.tables import Export, rows_of

        report = Export(table=table, columns=None if columns is None else several(columns))
        recorded = self.source_records(report.looked_for)
        return (rows_of(part, table, recorded) for part in self.parts(report))

    def sessions(self, columns: str | Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a session with all its numbers; the columns are those of docs/export.md.

        `attrs["excluded"]` and `attrs["repaired"]` of each table tell what was left out and mended.
        """
        return self.where(**where)._table("sessions", columns)

    def events(self, columns: str | Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row an event; the columns are those of docs/export.md. Texts are not read when no column needs them."""
        return self.where(**where)._table("events", columns)

    def turns(self, columns: str | Sequence[str] | None = None, **where: Unpack[Where]) -> pd.DataFrame:
        """A row a turn, a prompt with its answer; the columns are those of docs/export.md."""
        return self.where(**where)._table("turns", columns)

    def _table(self, table: Table, columns: str | Sequence[str] | None) -> pd.DataFrame:
        from llmtrack.analysis.export.tables import Export

        return self.run(Export(table=table, columns=None if columns is None else several(columns))).to_frame()


def open(source: str | Sequence[str] | None = None, *, now: moments.When | None = None) -> Sessions:
    """Sessions of a source: a mongodb:// URI, a .jsonl, .json or .bson file, a folder of such files, an archive.

    Several sources are read together, each session once. None means MONGODB_URI, else the embedded server. `now` is for
    results that can be had again. Nothing is ever written. Raises UsageError when there is no such source,
    StoreUnavailable when no server answers.
    """
    settings = load_settings()
    as_of = moments.moment(now) if now is not None else None
    return Sessions(open_source(source, settings), settings, now=as_of)


def _unsure_days(batch: Batch) -> Floats:
    """The days of the sessions that cannot tell how their clocks are off."""
    clocks = clocks_of(batch)
    return clocks.days[clocks.unsure]


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
