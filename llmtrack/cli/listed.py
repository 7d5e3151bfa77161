"""Rows of sessions: which are looked at, their numbers, their order. For `llmtrack sessions` and the player's list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmtrack.analysis.happened import Happened
    from llmtrack.session.tally import Tally
    from llmtrack.sessions import Sessions


class Sort(StrEnum):
    """What sessions can be sorted by; all but start put the largest first, start the newest."""

    start = "start"
    duration = "duration"
    active = "active"
    prompts = "prompts"
    copies = "copies"
    errors = "errors"

    @property
    def column(self) -> str:
        """The column that it sorts by."""
        return {"start": "start_ms", "duration": "duration_s", "active": "active_s"}.get(self, self.value)


def listed(asked: Sessions, sort: Sort, limit: int, every: bool = False) -> tuple[Sessions, int | None]:
    """The sessions that are looked at, and how many there are in all, where that is known before reading.

    By start the source is asked for the newest alone. Any other order, and `every`, has to read the events of all.
    """
    from llmtrack.sessions import Sessions

    source, wanted, matched = asked.source, asked.filters.listed(), None
    hold_several = source.chats or asked.settings.ids_are_chats or wanted.ids is not None
    if sort is Sort.start and limit and not every and not hold_several:
        newest = source.newest(wanted, limit)
        matched = source.count(wanted) if len(newest) == limit else len(newest)
        wanted = replace(wanted, ids=frozenset(head.session_id for head in newest))
    return Sessions(source, asked.settings, wanted, asked.now), matched


def summaries(sessions: Sessions, happened: Happened | None = None) -> tuple[dict[str, Any], Tally]:
    """Columns of numbers, a value a session in which that happened, and what was counted on the way.

    Events are let go batch by batch.
    """
    import numpy as np

    from llmtrack.analysis.interaction import Interaction, summary
    from llmtrack.session.tally import Tally, total

    parts, tallies = [], []
    for batch in sessions.cleaned(happened.fields if happened else summary.FIELDS):
        found = Interaction(batch)
        numbers = found.summary()
        if happened:
            which = happened.which(found, numbers)
            numbers = {key: values[which] for key, values in numbers.items()}
        parts.append(numbers)
        tallies.append(Tally.of(batch))
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}, total(tallies)


def told(table: dict[str, Any], asked: Sessions, tally: Tally) -> dict[str, Any]:
    """The columns that are listed; what the whole source never records is missing."""
    from llmtrack.analysis.recorded import without_untold

    return without_untold({**table}, asked.recorded(tally.recorded))


def rows(table: Mapping[str, Any], sort: Sort, limit: int, reverse: bool = False) -> list[dict[str, Any]]:
    """A row a session, in order or in reverse, `limit` at most (0: all); those without a value come last."""
    import numpy as np

    ids = np.argsort(np.argsort(table["session_id"], kind="stable"))
    way = 1 if reverse else -1
    order = np.lexsort((way * ids, way * table["start_ms"], way * table[sort.column]))  # NaN comes last
    if limit:
        order = order[:limit]
    chosen = {
        key: (np.round(values[order], 3) if key.endswith("_s") else values[order]).tolist()
        for key, values in table.items()
    }
    found = [dict(zip(chosen, values, strict=True)) for values in zip(*chosen.values(), strict=True)]
    for row in found:
        row["start_time"], row["end_time"] = _date(row["start_ms"]), _date(row["end_ms"])
    return found


def _date(ms: float) -> datetime | None:
    return datetime.fromtimestamp(ms / 1000, UTC) if ms == ms else None
