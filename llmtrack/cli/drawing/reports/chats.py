"""What `llmtrack chats` draws: how long chats are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.figures import NONE, contrasts, lifts, sentences, spark
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import amount, amounts, many, percent, percents
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, Row, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.chats.result import Bin, ChatsResult
    from llmtrack.analysis.chats.result import Group as GroupOfChats

TITLES = {"turns": "turns", "messages": "messages", "duration_s": "duration", "words": "words"}
UNITS = {"duration_s": "s"}


def _number(value: float) -> str:
    return f"{value:.4g}"


COLUMNS = (
    Column("group", "group"),
    Column("metric", "metric"),
    Column("mean", "mean", _number, right=True),
    Column("mean_lo", "from", _number, right=True),
    Column("mean_hi", "to", _number, right=True),
    Column("median", "median", _number, right=True),
    Column("p90", "p90", _number, right=True),
    Column("chats", "chats", "{:,}".format, right=True),
    Column("users", "users", "{:,}".format, right=True),
    Column("difference", "difference", _number, right=True),
    Column("difference_lo", "from", _number, right=True),
    Column("difference_hi", "to", _number, right=True),
    Column("p_adjusted", "p adjusted", "{:.4f}".format, right=True),
)


def lines(found: ChatsResult, width: int, by: str) -> Iterator[Text]:
    """The lines and tables of chats, for a terminal of this width."""
    from rich.text import Text

    by_group = "" if by == "none" else f" by {by}"
    counted = f" of {many(found.chats, 'chat')} of {many(found.users, 'user')}{by_group}"
    yield Text.assemble(("Length", "bold"), counted)
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    if not found.chats:
        return
    yield Text()
    columns = [
        Cell("", right=False, cut=True),
        Cell("mean", style="bold"),
        *map(Cell, ("95 %", "median")),
        Cell("p90", optional=1),
        Cell("distribution", right=False),
        Cell("chats", optional=2),
        Cell("users", optional=3),
    ]
    sections = []
    for metric, title in TITLES.items():
        bars = getattr(found.groups[0], metric).distribution
        heading = Text.assemble((title, "bold"), (f"  bars: {_bins(bars, metric)}", "dim"))
        sections.append((heading, [_row(group, metric) for group in found.groups]))
    if any(group.partial for group in found.groups):
        heading = Text.assemble(("partial", "bold"), ("  share of the answers that are not whole", "dim"))
        sections.append((heading, [_partial(group) for group in found.groups]))
    yield from aligned(columns, sections, width)
    if found.comparisons:
        yield Text()
        yield from contrasts(found.comparisons, TITLES, lifts, width)


def _row(group: GroupOfChats, metric: str) -> Row:
    length = getattr(group, metric)
    unit = UNITS.get(metric, "")
    like = length.ci[1] if length.ci else length.mean
    return (
        line(group.group),
        amount(length.mean, unit, like),
        amounts(length.ci or NONE, unit),
        _quantile(length.median, unit),
        _quantile(length.p90, unit),
        spark([each.chats for each in length.distribution]),
        f"{length.chats:,}",
        f"{group.users:,}",
    )


def _partial(group: GroupOfChats) -> Row:
    interval = percents(group.partial_share_ci or NONE)
    return (
        line(group.group), percent(group.partial_share), interval, "", "", "", f"{group.chats:,}", f"{group.users:,}"
    )  # fmt: skip


def _quantile(value: float | None, unit: str) -> str:
    """As `amount`, but a count stays whole."""
    return f"{value:,.0f}" if value is not None and not unit and value.is_integer() else amount(value, unit)


def _bins(bars: list[Bin], metric: str) -> str:
    """Which chats each bar stands for."""
    if metric == "duration_s":
        seconds = [f"{each.from_}" for each in bars if each.from_ < 60]
        minutes = [f"{each.from_ // 60}" for each in bars if each.from_ >= 60]
        return f"from {', '.join(seconds)} s, {', '.join(minutes)} min"
    return ", ".join(f"{each.from_:,}+" if each.below is None else _span(each.from_, each.below - 1) for each in bars)


def _span(first: int, last: int) -> str:
    return f"{first}" if first == last else f"{first}-{last}"


def conclusions(found: ChatsResult) -> list[str]:
    """What differs between groups: a sentence a metric and group."""
    return sentences(found.comparisons, TITLES, lifts)


DRAWING = Drawing(COLUMNS, lines, conclusions=conclusions)
