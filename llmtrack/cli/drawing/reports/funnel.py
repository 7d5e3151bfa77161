"""What `llmtrack funnel` draws: how many sessions get how far."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from llmtrack.cli.drawing.cautions import cautions, cleaning
from llmtrack.cli.drawing.figures import points, sentences, word
from llmtrack.cli.drawing.formats import Column
from llmtrack.cli.drawing.numbers import change, changes, duration, percent, percents, probability
from llmtrack.cli.drawing.report import Drawing
from llmtrack.cli.drawing.sections import Cell, aligned
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.funnel.result import FunnelResult
    from llmtrack.analysis.result import Comparison

UNITS = {"session": ("session", "sessions"), "chat": ("chat", "chats"), "user": ("user", "users")}
BAR = (8, 40)  # the least and the most characters of the longest bar
NUMBERS = 62  # characters of a row beside its step and its bar

COLUMNS = (
    Column("group", "group"),
    Column("step", "step"),
    Column("reached", "reached", "{:,}".format, right=True),
    Column("of_all", "of all", percent, right=True),
    Column("of_all_lo", "from", percent, right=True),
    Column("of_all_hi", "to", percent, right=True),
    Column("of_previous", "of previous", percent, right=True),
    Column("median_s", "median", duration, right=True),
    Column("p90_s", "90 % within", duration, right=True),
    Column("units", "units", "{:,}".format, right=True),
)


def lines(found: FunnelResult, width: int, by: str) -> Iterator[Text]:
    """The lines and tables of a funnel, for a terminal of this width."""
    from rich.text import Text

    one, several = UNITS[found.unit]
    asked = {"ordered": "steps in order", "strict": "nothing between the steps", "unordered": "steps in any order"}
    by_group = "" if by == "none" else f" by {by}"
    counted = f"{found.units:,} {one if found.units == 1 else several}"
    yield Text.assemble(
        ("Funnel", "bold"), f" of {counted}{by_group}: {asked[found.order]}, within {duration(found.window_s)}"
    )
    yield from cautions(found.warnings)
    yield from cleaning(found.excluded, found.repaired)
    if found.groups:
        yield Text()
        yield from _steps(found, several, width)
        yield Text()
        yield Text(f"of all: share of all {several} of the group; compare groups by this one", "dim")
        yield Text("of previous: share of those that did the step before; median, p90: time since it", "dim")
    tested = [each for each in found.comparisons if each.p is not None]
    if tested:
        yield Text()
        yield from _compared(tested, several, width)


def _steps(found: FunnelResult, several: str, width: int) -> Iterator[Text]:
    from rich.text import Text

    longest = max(len(line(step.step)) for step in found.groups[0].steps)
    bar = min(max(width - NUMBERS - longest, BAR[0]), BAR[1])
    columns = [
        Cell("step", right=False, cut=True),
        Cell("", right=False),
        Cell("of all", style="bold"),
        *map(Cell, ("95 %", "of previous")),
        Cell("median", optional=1),
        Cell("p90", optional=2),
        Cell(several),
    ]
    sections = []
    for group in found.groups:
        heading = Text.assemble((line(group.group), "bold"), (f"  {group.units:,} {several}", "dim"))
        rows = [
            (
                step.step,
                bars(step.of_all or 0, bar),
                percent(step.of_all),
                percents(step.of_all_ci),
                percent(step.of_previous),
                duration(step.median_s),
                duration(step.p90_s),
                "-" if step.reached is None else f"{step.reached:,}",
            )
            for step in group.steps
        ]
        sections.append((heading, rows))
    return aligned(columns, sections, width)


def _compared(tested: Sequence[Comparison], several: str, width: int) -> Iterator[Text]:
    from rich.text import Text

    columns = [
        Cell("step", right=False, cut=True),
        Cell(f"of all {several}", style="bold"),
        *map(Cell, ("95 %", "p adjusted")),
        Cell("", right=False),
    ]
    sections = []
    for group in dict.fromkeys(each.group for each in tested):
        heading = Text.assemble((line(group), "bold"), (f"  against {line(tested[0].control)}", "dim"))
        rows = [
            (
                each.metric,
                change(each.difference, " points"),
                changes(each.difference_ci, ""),
                probability(each.p_adjusted),
                word(each),
            )
            for each in tested
            if each.group == group
        ]
        sections.append((heading, rows))
    return aligned(columns, sections, width)


def bars(share: float, width: int) -> str:
    """A bar of eighths of a character.

    >>> bars(0.5, 4), bars(0.2, 4), bars(0, 4)
    ('██', '▊', '')
    """
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def conclusions(found: FunnelResult) -> list[str]:
    """What differs between groups, of all units of a group: a sentence a step and group."""
    return sentences((each for each in found.comparisons if each.p is not None), {}, points)


DRAWING = Drawing(COLUMNS, lines, conclusions=conclusions)
