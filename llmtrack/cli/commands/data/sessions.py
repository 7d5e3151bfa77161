"""`llmtrack sessions`: which visits are there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llmtrack.cli.drawing.formats import Column, Format, emit
from llmtrack.cli.drawing.numbers import duration, many
from llmtrack.cli.drawing.terminal import PIPED_WIDTH, console, note
from llmtrack.cli.options import (
    Device,
    Experiment,
    Group,
    Last,
    Out,
    OutputFormat,
    Quiet,
    Since,
    Source,
    Until,
    User,
    filters,
)
from llmtrack.session.document import SHORTEST_ID

if TYPE_CHECKING:
    from llmtrack.store.sources.open import Filters
    from llmtrack.store.sources.open import Source as Sessions

BETWEEN = 3  # characters between two columns of a table


class Sort(StrEnum):
    """What --sort takes; all but start put the largest first, start the newest."""

    start = "start"
    duration = "duration"
    active = "active"
    prompts = "prompts"
    copies = "copies"
    errors = "errors"


_SORTED_BY = {"start": "start_ms", "duration": "duration_s", "active": "active_s"}

_ID = Column("id", "id")
_START = Column("start_time", "start (UTC)", lambda start: f"{start:%Y-%m-%d %H:%M}")
_GROUP = Column("model_group", "group")
_DURATION = Column("duration_s", "duration", duration, right=True)
_COUNTS = (Column("prompts", "prompts", right=True), Column("copies", "copies", right=True))
_EXIT = Column("exit_reason", "exit", lambda reason: reason.replace("_", " "))
_WIDE = (
    _ID, _START, Column("user_id", "user"), _GROUP, Column("device", "device"), _DURATION, *_COUNTS, _EXIT,
)  # fmt: skip
_SHORT_EXIT = Column("exit_reason", "exit", lambda reason: reason.removeprefix("after_").replace("_", " "), fold=True)
_MINUTES = Column("duration_s", "min:s", lambda s: f"{round(s) // 60}:{round(s) % 60:02}", right=True)
LAYOUTS = (  # the first that fits the terminal
    _WIDE,
    tuple(column for column in _WIDE if column.key != "user_id"),  # the user stands in the id
    (_ID, _START, _GROUP, _DURATION, *_COUNTS, _EXIT),
    (_ID, _START._replace(show=lambda start: f"{start:%m-%d %H:%M}"), _GROUP, _MINUTES, *_COUNTS, _SHORT_EXIT),
    (_ID, Column("start_time", "day", lambda start: f"{start:%m-%d}"), _GROUP, _MINUTES, *_COUNTS, _SHORT_EXIT),
)
KEYS = (
    "session_id", "user_id", "model_group", "experiment_id", "device", "browser", "os", "start_time", "end_time",
    "end_estimated", "open", "duration_s", "active_s", "waiting_s", "reading_s", "away_s", "events", "chats",
    "prompts", "responses", "errors", "unanswered", "copies", "clicks", "latency_p50_ms", "exit_reason",
)  # fmt: skip


def sessions(
    source: Source = None,
    sort: Annotated[Sort, typer.Option(help="Largest first; start: newest first.")] = Sort.start,
    limit: Annotated[int, typer.Option(help="So many at most; 0: all.", min=0, metavar="N")] = 20,
    since: Since = None,
    until: Until = None,
    last: Last = None,
    group: Group = None,
    experiment: Experiment = None,
    user: User = None,
    device: Device = None,
    format: OutputFormat = Format.table,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """List visits, newest first. The id is cut where it is still unique: `llmtrack replay` takes it as it stands.

    CSV and JSON have whole ids and more columns; docs/numbers.md says what each number means.

    Example: llmtrack sessions --last 7d --sort copies --limit 10
    """
    from llmtrack.cli.drawing.empty import why_empty
    from llmtrack.config import load_settings
    from llmtrack.store.sources.open import open_source

    now = datetime.now(UTC)
    wanted = filters(
        since=since, until=until, last=last, group=group, experiment=experiment, user=user, device=device, now=now
    )
    with open_source(source, load_settings()) as opened:
        table, matched = _summaries(opened, wanted, sort, limit, now)
        unreadable, named = dict(opened.unreadable), opened.unreadable.named
        rows = _rows(table, sort, limit)
        for row, short in zip(rows, _short_ids(rows, opened, format), strict=True):
            row["id"] = short
        if not matched:
            note(why_empty(opened, wanted), quiet)
        name = opened.name
    columns = {
        Format.table: _fitting(rows, PIPED_WIDTH if out else console().width),
        Format.csv: [Column(key, key) for key in KEYS],
    }.get(format, _WIDE)
    document = {
        "command": "sessions",
        "source": name,
        "filters": wanted.as_dict(),
        "sort": sort.value,
        "matched": matched,
        "unreadable": unreadable,
        "sessions": [{key: row[key] for key in KEYS} for row in rows],
    }
    if rows or format is not Format.table:
        emit(rows, columns, document, format=format, out=out)
    _remark(len(rows), matched, unreadable, named, quiet)


def _summaries(opened: Sessions, wanted: Filters, sort: Sort, limit: int, now: datetime) -> tuple[dict[str, Any], int]:
    """Columns of numbers, a value a session, of those at least that are shown; how many there are in all.

    By start the source is asked for the newest alone. Any other order has to read the events of all.
    """
    import numpy as np

    from llmtrack.analysis.interaction import Interaction, summary
    from llmtrack.session.cleaning import clean

    matched = None
    if sort is Sort.start and limit:
        newest = opened.newest(wanted, limit)
        matched = opened.count(wanted) if len(newest) == limit else len(newest)
        wanted = replace(wanted, ids=frozenset(head.session_id for head in newest))
    parts = [Interaction(clean(batch, now)).summary() for batch in opened.batches(wanted, summary.FIELDS)]
    table = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    return table, matched if matched is not None else len(table["session_id"])


def _rows(table: Mapping[str, Any], sort: Sort, limit: int) -> list[dict[str, Any]]:
    import numpy as np

    ids = np.argsort(np.argsort(table["session_id"], kind="stable"))
    wanted = table[_SORTED_BY.get(sort, sort.value)]
    order = np.lexsort((-ids, -table["start_ms"], -wanted))  # NaN comes last
    if limit:
        order = order[:limit]
    chosen = {key: values[order].tolist() for key, values in table.items()}
    rows = [dict(zip(chosen, values, strict=True)) for values in zip(*chosen.values(), strict=True)]
    for row in rows:
        row["start_time"], row["end_time"] = _date(row["start_ms"]), _date(row["end_ms"])
    return rows


def _date(ms: float) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms == ms else None


def _short_ids(rows: Sequence[Mapping[str, Any]], opened: Sessions, format: Format) -> list[str]:
    """The ids of the rows, cut where they are still unique among all sessions, not only among those wanted."""
    ids = [row["session_id"] for row in rows]
    if format in (Format.json, Format.csv) or not rows:
        return ids
    return shortened(ids, opened.beside(ids))


def shortened(ids: Iterable[str], everything: Iterable[str]) -> list[str]:
    """Each id cut where no other one of `everything` starts alike.

    >>> shortened(["user_anna_1700001"], ["user_anna_1700001", "user_anna_1700422", "user_ben_1"])
    ['user_anna_17000']
    """
    ordered = sorted(set(everything))
    cut = []
    for full in ids:
        place = bisect_left(ordered, full)
        beside = [other for other in ordered[max(0, place - 1) : place + 2] if other != full]
        shared = max((_alike(full, other) for other in beside), default=0)
        cut.append(full[: max(SHORTEST_ID, shared + 1)])
    return cut


def _alike(one: str, other: str) -> int:
    """How many characters two different texts have in common at their start."""
    differs = (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return next(differs, min(len(one), len(other)))


def _fitting(rows: Sequence[Mapping[str, Any]], width: int) -> Sequence[Column]:
    """The first layout for which `width` has room."""
    for layout in LAYOUTS:
        cells = [max(len(column.title), *(_length(column, row) for row in rows), 0) for column in layout]
        if sum(cells) + BETWEEN * (len(layout) - 1) <= width:
            return layout
    return LAYOUTS[-1]


def _length(column: Column, row: Mapping[str, Any]) -> int:
    value = row[column.key]
    return 1 if value is None or value != value else len(column.show(value))


def _remark(shown: int, matched: int, unreadable: Mapping[str, int], named: Sequence[str], quiet: bool) -> None:
    if matched:
        rest = "" if shown == matched else "; all with --limit 0"
        note(f"{shown:,} of {many(matched, 'session')}{rest}. Play one: llmtrack replay ID", quiet)
    if count := sum(unreadable.values()):
        reasons = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in unreadable.items())
        note(f"{many(count, 'document')} could not be read ({reasons}): {'; '.join(named)}", quiet)
