"""What `llmtrack health` draws: can this experiment be trusted?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import amount, many, percent, probability
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, Row, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.health.result import Check, HealthResult

MARKS = {"ok": ("ok", "green"), "warning": ("! warning", "bold yellow"), "failed": ("x FAILED", "bold red")}
TITLES = {"srm": "split of users", "users_in_several_groups": "several groups"}
UNCHECKED = ("? unchecked", "yellow")

COLUMNS = (
    Column("check", "check"),
    Column("status", "status"),
    Column("value", "share", percent, right=True),
    Column("p", "p", probability, right=True),
    Column("finding", "finding", fold=True),
    Column("threshold", "threshold", fold=True),
    Column("advice", "what to do", fold=True),
)


def _dated(found: HealthResult) -> dict[str, Any]:
    """The result with times instead of epoch ms."""
    document = found.to_dict()
    for seen in document["groups"]:
        for key in ("first_seen", "last_seen"):
            seen[key] = _time(seen.pop(f"{key}_ms"))
    return document


def _time(ms: float) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def lines(found: HealthResult, width: int, by: str) -> Iterator[Text]:
    """The lines and tables of a health check, for a terminal of this width."""
    from rich.text import Text

    by_group = "" if by == "none" else f" by {by}"
    counted = f" of {many(found.sessions, 'session')} of {many(found.users, 'user')}{by_group}: "
    yield Text.assemble(("Health", "bold"), counted, _verdict(found))
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    yield Text()
    yield from _checks(found, width)
    for check in found.checks:
        if check.advice:
            yield Text()
            yield from _explained(check)
    if found.groups:
        yield Text()
        yield from _seen(found, width)


def _verdict(found: HealthResult) -> Text:
    from rich.text import Text

    if found.failed:
        return Text(f"{many(len(found.failed), 'check')} failed", "bold red")
    warned = sum(check.status == "warning" for check in found.checks)
    return Text(f"{many(warned, 'warning')}", "yellow") if warned else Text("nothing failed", "green")


def _checks(found: HealthResult, width: int) -> Iterator[Text]:

    groups = [group.group for group in found.groups] if len(found.groups) > 1 else []
    drawn = _table(found, groups, width)
    if groups and drawn[1].cell_len > width:  # the rule below the header is as wide as the table
        drawn = _table(found, [], width)
    return iter(drawn)


def _table(found: HealthResult, groups: Sequence[str], width: int) -> list[Text]:
    from rich.text import Text

    columns = [Cell("check", right=False), Cell("", right=False), Cell("all", style="bold")]
    columns += [Cell(line(group)) for group in groups]
    columns += [Cell("p"), Cell("limit", style="dim"), Cell("finding", right=False, optional=1)]
    rows: list[Row] = []
    for check in found.checks:
        shares = {part.group: percent(part.value) for part in check.groups}
        own = [shares.get(group, "") for group in groups]
        value = percent(check.value) if check.value is not None else ""
        p = probability(check.p) if check.p is not None else ""
        mark = Text(*MARKS.get(check.status, UNCHECKED))
        rows.append((_title(check), mark, value, *own, p, _limit(check), line(check.finding)))
    return list(aligned(columns, [(None, rows)], width))


def _title(check: Check) -> str:
    return TITLES.get(check.check) or check.check.replace("_", " ")


def _limit(check: Check) -> str:
    return "p .001" if check.check == "srm" else percent(check.limit)


def _explained(check: Check) -> Iterator[Text]:
    """What was found, where the limit is, and what to do: one line each."""
    from rich.text import Text

    _, style = MARKS.get(check.status, UNCHECKED)
    yield Text.assemble((_title(check), style), f": {line(check.finding)}")
    yield Text(f"  limit: {check.threshold}", "dim")
    yield Text(f"  do: {check.advice}")


def _seen(found: HealthResult, width: int) -> Iterator[Text]:
    columns = [
        Cell("group", right=False, cut=True),
        *map(Cell, ("sessions", "users", "open", "events each")),
        Cell("median", optional=2),
        Cell("first (UTC)", right=False, optional=1),
        Cell("last (UTC)", right=False),
    ]
    rows: list[Row] = [
        (
            line(group.group),
            f"{group.sessions:,}",
            f"{group.users:,}",
            f"{group.open:,}",
            amount(group.events_per_session, ""),
            amount(group.events_median, ""),
            f"{_time(group.first_seen_ms):%m-%d %H:%M}",
            f"{_time(group.last_seen_ms):%m-%d %H:%M}",
        )
        for group in found.groups
    ]
    return aligned(columns, [(None, rows)], width)


DRAWING = Drawing(COLUMNS, lines, document=_dated, also_none=True)
