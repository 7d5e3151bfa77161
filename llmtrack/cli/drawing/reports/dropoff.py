"""What `llmtrack dropoff` draws: where people stop."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.figures import NONE, Share, contrasts, points, sentences, side_by_side, spark
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import duration, many, percent, percents
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.dropoff.result import DropoffResult, Turn

FEW = 10  # sessions: later turns that fewer reached say little, a terminal does not show them
NUMBERS = 70  # characters of a turn's row beside its bar
BAR = (8, 30)  # the least and the most characters of the longest bar
TITLES = {"left_share": "left after a turn", "idle_share": "went idle first"}


class Table(StrEnum):
    """Which of the tables CSV and markdown hold."""

    turns = "turns"
    exits = "exits"
    idle = "idle"
    latency = "latency"


def _share(key: str, title: str) -> Column:
    return Column(key, title, percent, right=True)


def _count(key: str, title: str = "") -> Column:
    return Column(key, title or key, "{:,}".format, right=True)


_GROUP = Column("group", "group")
COLUMNS = {
    Table.turns: (
        _GROUP, _count("turn"), _count("reached"), _count("went_on", "went on"), _count("left"), _count("idle"),
        _count("open"), _share("hazard", "hazard"), _share("hazard_lo", "from"), _share("hazard_hi", "to"),
        _share("remaining", "remaining"),
    ),
    Table.exits: (
        _GROUP, Column("exit_reason", "exit"), _count("sessions"), _share("share", "share"),
        _share("share_lo", "from"), _share("share_hi", "to"),
    ),
    Table.idle: (
        _GROUP, _count("answers"), Column("p25_s", "p25", duration, right=True),
        Column("median_s", "median", duration, right=True), Column("p75_s", "p75", duration, right=True),
    ),
    Table.latency: (
        _GROUP, _count("from_ms", "from ms"), _count("below_ms", "below ms"),
        _count("responses", "answers"), _count("left"),
        _share("left_share", "left"), _share("left_share_lo", "from"), _share("left_share_hi", "to"),
    ),
}  # fmt: skip


def _rows(found: DropoffResult, table: Table) -> list[dict[str, Any]]:
    """The rows of one table, each interval as two columns."""
    rows: list[dict[str, Any]] = [each._asdict() for each in getattr(found, table.value)]
    for row in rows:
        for key in [key for key in row if key.endswith("_ci")]:
            value = row.pop(key) or NONE
            row[f"{key.removesuffix('_ci')}_lo"], row[f"{key.removesuffix('_ci')}_hi"] = value
        if "bucket_ms" in row:
            row["from_ms"], row["below_ms"] = row.pop("bucket_ms")
    return rows


def lines(found: DropoffResult, width: int, by: str) -> Iterator[Text]:
    """The lines and tables of a drop-off, for a terminal of this width."""
    from rich.text import Text

    by_group = "" if by == "none" else f" by {by}"
    counted = f" of {many(found.sessions, 'session')} of {many(found.users, 'user')}{by_group}"
    yield Text.assemble(("Drop-off", "bold"), counted)
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    if not found.sessions:
        return
    yield Text()
    yield from _overview(found, width)
    if found.comparisons:
        yield Text()
        yield from contrasts(found.comparisons, TITLES, points, width)
    yield from _titled("Turn by turn", "hazard: share that left; remaining: go on past the turn")
    yield from _turns(found, width)
    yield from _titled("Why sessions ended", "the first reason that fits; leaving is not failing")
    yield from _exits(found, width)
    yield from _titled("Left after an answer, by its latency", "compare within a group")
    yield from _latency(found, width)
    if any(each.partial for each in found.groups):
        yield from _titled("Partial answers", "cut off, filtered or stopped; compare within a group")
        yield from _wholeness(found, width)
    if any(each.answers for each in found.idle):
        edges = ", ".join(f"{start}" for start in found.idle[0].from_s)
        yield from _titled("From an answer to going idle", f"bars: from {edges} s")
        yield from _idle(found, width)


def _titled(title: str, means: str) -> Iterator[Text]:
    from rich.text import Text

    yield Text()
    yield Text.assemble((title, "bold"), (f"  {means}", "dim"))


def _overview(found: DropoffResult, width: int) -> Iterator[Text]:
    columns = [
        Cell("", right=False, cut=True),
        Cell("left per turn", style="bold"),
        Cell("95 %"),
        Cell("idle first", style="bold"),
        Cell("95 %"),
        Cell("turns", optional=1),
        Cell("sessions", optional=2),
        Cell("users", optional=3),
    ]
    rows = [
        (
            line(group.group),
            percent(group.left_share),
            percents(group.left_share_ci or NONE),
            percent(group.idle_share),
            percents(group.idle_share_ci or NONE),
            f"{group.turns:,}",
            f"{group.sessions:,}",
            f"{group.users:,}",
        )
        for group in found.groups
    ]
    return aligned(columns, [(None, rows)], width)


def _turns(found: DropoffResult, width: int) -> Iterator[Text]:
    from rich.text import Text

    columns = [
        Cell("turn", right=False),
        *map(Cell, ("reached", "went on", "left")),
        Cell("idle", optional=1),
        Cell("open", optional=2),
        Cell("hazard", style="bold"),
        *map(Cell, ("95 %", "remaining")),
        Cell("", right=False, optional=3),
    ]
    bar = min(max(width - NUMBERS, BAR[0]), BAR[1])
    sections = []
    for group in found.groups:
        turns = [turn for turn in found.turns if turn.group == group.group]
        shown = [turn for turn in turns if turn.reached >= FEW] or turns[:1]
        heading = Text(line(group.group), "bold")
        if len(turns) > len(shown):
            heading.append(f"  turns {len(shown) + 1} to {len(turns)}: under {FEW} sessions, not shown", "not bold dim")
        sections.append((heading, [_turn(turn, bar) for turn in shown]))
    return aligned(columns, sections, width)


def _turn(turn: Turn, width: int) -> Sequence[str]:
    counts = (turn.turn, turn.reached, turn.went_on, turn.left, turn.idle, turn.open)
    interval = percents(turn.hazard_ci or NONE)
    bar = "█" * round(width * (turn.remaining or 0))
    return (
        *("-" if count is None else f"{count:,}" for count in counts),
        percent(turn.hazard),
        interval,
        percent(turn.remaining),
        bar,
    )


def _exits(found: DropoffResult, width: int) -> Iterator[Text]:
    sessions = {group.group: group.sessions for group in found.groups}
    reasons = list(dict.fromkeys(each.exit_reason for each in found.exits if each.sessions is not None))
    rows = [
        (
            reason.replace("_", " "),
            {
                each.group: Share(each.share, each.share_ci, sessions[each.group])
                for each in found.exits
                if each.exit_reason == reason
            },
        )
        for reason in reasons
    ]
    return side_by_side("ended", rows, [group.group for group in found.groups], width)


def _latency(found: DropoffResult, width: int) -> Iterator[Text]:
    rows = []
    for start, end in sorted({each.bucket_ms for each in found.latency}):
        here = [each for each in found.latency if each.bucket_ms[0] == start]
        label = f"{start / 1000:g} s and more" if end is None else f"{start / 1000:g} to {end / 1000:g} s"
        rows.append((label, {each.group: Share(each.left_share, each.left_share_ci, each.responses) for each in here}))
    return side_by_side("latency", rows, [group.group for group in found.groups], width)


def _wholeness(found: DropoffResult, width: int) -> Iterator[Text]:
    groups = found.groups
    rows = [
        (
            "of all answers",
            {each.group: Share(each.partial_share, each.partial_share_ci, each.answers) for each in groups},
        ),
        (
            "left after one",
            {each.group: Share(each.left_after_partial, each.left_after_partial_ci, each.partial) for each in groups},
        ),
        (
            "left after a whole one",
            {
                each.group: Share(each.left_after_whole, each.left_after_whole_ci, each.answers - each.partial)
                for each in groups
            },
        ),
    ]
    return side_by_side("answer", rows, [group.group for group in groups], width)


def _idle(found: DropoffResult, width: int) -> Iterator[Text]:
    columns = [
        Cell("", right=False, cut=True),
        Cell("25 % within"),
        Cell("median", style="bold"),
        Cell("75 % within"),
        Cell("distribution", right=False),
        Cell("answers"),
    ]
    rows = [
        (
            line(each.group),
            duration(each.p25_s),
            duration(each.median_s),
            duration(each.p75_s),
            spark(each.counts),
            f"{each.answers:,}",
        )
        for each in found.idle
    ]
    return aligned(columns, [(None, rows)], width)


def conclusions(found: DropoffResult) -> list[str]:
    """What differs between groups: a sentence a metric and group."""
    return sentences(found.comparisons, TITLES, points)


DRAWINGS = {each: Drawing(COLUMNS[each], lines, partial(_rows, table=each), conclusions=conclusions) for each in Table}
