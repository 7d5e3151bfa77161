"""The list of sessions: as many columns as the terminal has room for, ids cut where they are still unique."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import duration
from llmtrack.session.document import SHORTEST_ID

BETWEEN = 3  # characters between two columns of a table

_ID = Column("id", "id")
_START = Column("start_time", "start (UTC)", lambda start: f"{start:%Y-%m-%d %H:%M}")
_GROUP = Column("model_group", "group")
_DURATION = Column("duration_s", "duration", duration, right=True)
_COUNTS = (Column("prompts", "prompts", right=True), Column("copies", "copies", right=True))
_SORTED = (*_COUNTS, Column("active_s", "active", duration, right=True), Column("errors", "errors", right=True))
_EXIT = Column("exit_reason", "exit", lambda reason: reason.replace("_", " "))
WIDE = (
    _ID, _START, Column("user_id", "user"), _GROUP, Column("device", "device"), _DURATION, *_COUNTS, _EXIT,
)  # fmt: skip
_SHORT_EXIT = Column("exit_reason", "exit", lambda reason: reason.removeprefix("after_").replace("_", " "), fold=True)
_DAY = Column("start_time", "day", lambda start: f"{start:%m-%d}")
_MINUTES = Column("duration_s", "min:s", lambda s: f"{round(s) // 60}:{round(s) % 60:02}", right=True)
LAYOUTS = (  # the first that fits the terminal
    WIDE,
    tuple(column for column in WIDE if column.key != "user_id"),  # the user stands in the id
    (_ID, _START, _GROUP, _DURATION, *_COUNTS, _EXIT),
    (_ID, _START._replace(show=lambda start: f"{start:%m-%d %H:%M}"), _GROUP, _MINUTES, *_COUNTS, _SHORT_EXIT),
    (_ID, _DAY, _GROUP, _MINUTES, *_COUNTS, _SHORT_EXIT),
    (_ID, _DAY, _GROUP, _MINUTES, *_COUNTS),
    (_ID, _DAY, _GROUP, _MINUTES, _COUNTS[0]),
    (_ID, _DAY, _MINUTES, _COUNTS[0]),
)


def fitting(rows: Sequence[Mapping[str, Any]], width: int, key: str = "") -> Sequence[Column]:
    """The first layout for which `width` has room; with the column of `key`, in the place of a count where it must."""
    layouts = [each for layout in LAYOUTS for each in showing(layout, key)]
    for layout in layouts:
        cells = [max(len(column.title), *(_length(column, row) for row in rows), 0) for column in layout]
        if sum(cells) + BETWEEN * (len(layout) - 1) <= width:
            return layout
    return layouts[-1]


def showing(layout: Sequence[Column], key: str) -> list[Sequence[Column]]:
    """The layout, where it has to with the column of `key`: added, or in the place of its last count."""
    also = next((column for column in _SORTED if column.key == key), None)
    if also is None or key in [column.key for column in layout]:
        return [layout]
    last = max(place for place, column in enumerate(layout) if column in _COUNTS)
    return [(*layout[: last + 1], also, *layout[last + 1 :]), (*layout[:last], also, *layout[last + 1 :])]


def _length(column: Column, row: Mapping[str, Any]) -> int:
    value = row[column.key]
    shown = "-" if value is None or value != value else column.show(value)
    return max(map(len, shown.split())) if column.fold else len(shown)


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
