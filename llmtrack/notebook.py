"""Sessions of any source as pandas frames, and the reports on them: for notebooks, and for the command line.

docs/notebooks.md shows how to use it. Frames and reports are made by the pure functions of llmtrack.analysis.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack

import numpy as np
import pandas as pd

from llmtrack.analysis import export, frames
from llmtrack.batch import UNKNOWN, without_bots
from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.store.source import Filters, Source, open_source

if TYPE_CHECKING:
    from llmtrack.analysis.aa import AA
    from llmtrack.analysis.chats import Chats
    from llmtrack.analysis.dropoff import Dropoff
    from llmtrack.analysis.engagement_result import Engagement
    from llmtrack.analysis.frames import Frames
    from llmtrack.analysis.funnel_history import By, Unit
    from llmtrack.analysis.funnel_moments import Order
    from llmtrack.analysis.funnel_result import Funnel
    from llmtrack.analysis.health import Health
    from llmtrack.analysis.queries import Queries

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
        """Clean batches of sessions with these data fields of their events (None: whole data objects)."""
        self.count = 0
        self.excluded.clear()
        self.repaired.clear()
        for batch in self.source.batches(self.filters, fields):
            if not self.filters.with_bots:
                batch, bots = without_bots(batch)
                if bots:
                    self.excluded["bots"] += bots
            clean = frames.clean(batch, self.now)
            self.count += len(clean.sessions)
            self.excluded.update(clean.excluded)
            self.repaired.update(clean.repaired)
            yield clean
        self.excluded.update(self.source.unreadable)

    def tables(self, table: Table, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
        """A table of docs/export.md, batch by batch. Raises UsageError when a column does not exist."""
        chosen = export.choose(table, columns)
        for batch in self.frames(export.fields(table, chosen)):
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


def funnel(
    sessions: Sessions,
    steps: Sequence[str] | None = None,
    *,
    unit: Unit = "session",
    order: Order = "ordered",
    window_s: float = 24 * 60 * 60,
    exclude: Sequence[str] = (),
    among: Sequence[str] = (),
    by: By = "model_group",
    control: str | None = None,
    **where: Unpack[Where],
) -> Funnel:
    """How many sessions, chats or users of each group get how far through `steps`; docs/funnel.md has the rules.

    Raises StepError and UsageError.
    """
    from llmtrack.analysis.funnel import DEFAULT_STEPS, needed_fields
    from llmtrack.analysis.funnel import funnel as counted

    chosen, steps = sessions.where(**where), steps or DEFAULT_STEPS
    found = counted(
        chosen.frames(needed_fields(steps, unit=unit, exclude=exclude, among=among)),
        steps,
        unit=unit,
        order=order,
        window_s=window_s,
        exclude=exclude,
        among=among,
        by=by,
        control=control,
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def engagement(
    sessions: Sessions,
    *,
    by: str = "model_group",
    control: str | None = None,
    primary: Sequence[str] | None = None,
    margin: float = 0.05,
    force: bool = False,
    seed: int = 0,
    weights: Mapping[str, float] | None = None,
    **where: Unpack[Where],
) -> Engagement:
    """Every metric by group, each other group against the control; docs/statistics.md says how it is made.

    `primary`: at most 3 metrics; `weights`: configured shares of users, by default those of the experiment in
    llmtrack.toml. Raises UsageError.
    """
    from llmtrack.analysis.engagement import DEFAULT_PRIMARY
    from llmtrack.analysis.engagement import engagement as compared

    chosen, primary = sessions.where(**where), primary or DEFAULT_PRIMARY
    table, responses = _engaged(chosen, by, primary)
    found = compared(
        table,
        by=by,
        control=control,
        primary=primary,
        weights=weights or _weights_of(table, chosen.settings),
        margin=margin,
        seed=seed,
        force=force,
        responses=responses,
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def false_positives(
    sessions: Sessions, runs: int, *, by: str = "model_group", seed: int = 0, **where: Unpack[Where]
) -> AA:
    """How often each metric differs when users are given random groups `runs` times. Raises UsageError."""
    from llmtrack.analysis.aa import aa

    table, responses = _engaged(sessions.where(**where), by)
    return aa(table, runs, by=by, seed=seed, responses=responses)


def queries(sessions: Sessions, limit: int | None = None, **where: Unpack[Where]) -> Queries:
    """Prompts by how useful their answers were; docs/reports.md defines each number."""
    from llmtrack.analysis.queries import FIELDS
    from llmtrack.analysis.queries import queries as ranked

    chosen = sessions.where(**where)
    found = ranked(chosen.frames(FIELDS), limit)
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def dropoff(
    sessions: Sessions, *, by: str = "model_group", control: str | None = None, **where: Unpack[Where]
) -> Dropoff:
    """Where people stop; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.dropoff import FIELDS
    from llmtrack.analysis.dropoff import dropoff as stopped

    chosen = sessions.where(**where)
    found = stopped(chosen.frames(FIELDS), by=by, control=control, weights=_weights(chosen.settings))
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def chats(sessions: Sessions, *, by: str = "model_group", control: str | None = None, **where: Unpack[Where]) -> Chats:
    """How long chats are; docs/reports.md defines each number. Raises UsageError."""
    from llmtrack.analysis.chats import FIELDS
    from llmtrack.analysis.chats import chats as measured

    chosen = sessions.where(**where)
    weights = _weights(chosen.settings)
    found = measured(chosen.frames(FIELDS), chosen.now, by=by, control=control, weights=weights)
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def health(sessions: Sessions, *, by: str = "model_group", **where: Unpack[Where]) -> Health:
    """Whether an experiment can be trusted; docs/reports.md has all checks. Raises UsageError."""
    from llmtrack.analysis.health import FIELDS
    from llmtrack.analysis.health import health as examined

    chosen = sessions.where(**where)
    found = examined(
        chosen.frames(FIELDS),
        by=by,
        weights=_weights(chosen.settings),
        unreadable=lambda: chosen.source.unreadable.total(),
    )
    return found._replace(excluded={**chosen.excluded, **found.excluded})


def _engaged(sessions: Sessions, by: str, primary: Sequence[str] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A row a session and a row a response, both in an order that does not hang on the source."""
    from llmtrack.analysis import summary, turns
    from llmtrack.analysis.engagement import responses_of
    from llmtrack.analysis.engagement_notes import check

    parts, answers, count = [], [], 0
    for batch in sessions.frames(tuple(dict.fromkeys((*summary.TEXT_FIELDS, *turns.FIELDS)))):
        parts.append(summary.sessions(batch))
        found = turns.table(batch)
        answers.append(found.assign(session=found["session"] + count))
        count += len(batch.sessions)
    table = pd.concat(parts, ignore_index=True)
    check(table, by, primary)
    order = table.sort_values(["start_ms", "session_id"]).index.to_numpy()
    place = np.empty(count, dtype=np.int64)
    place[order] = np.arange(count)
    turned = pd.concat(answers, ignore_index=True)
    turned["session"] = place[turned["session"].to_numpy()]
    table = table.iloc[order].reset_index(drop=True)
    return table, responses_of(table, turned.sort_values("session", kind="stable"), by)


def _weights(settings: Settings) -> dict[str, dict[str, float]]:
    """The weight of each group of each configured experiment."""
    named = settings.experiments.items()
    return {name: {group.name: group.weight for group in experiment.groups} for name, experiment in named}


def _weights_of(table: pd.DataFrame, settings: Settings) -> dict[str, float] | None:
    """The weights of the one experiment that these sessions belong to."""
    named = [name for name in table["experiment_id"].unique() if name != UNKNOWN]
    return _weights(settings).get(named[0]) if len(named) == 1 else None


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
