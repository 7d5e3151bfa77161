"""What the smaller reports draw alike: sparklines, groups side by side, groups against the control."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from llmtrack.cli.drawing.numbers import change, changes, percent, percents, probability
from llmtrack.cli.drawing.sections import Cell, Row, aligned
from llmtrack.cli.drawing.terminal import PIPED_WIDTH
from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

    from llmtrack.analysis.result import Comparison

Pair = tuple[float, float] | None
NONE = (None, None)  # no interval, as the amounts take it


class Share(NamedTuple):
    """A share in one group, its interval, and of how many."""

    share: float | None
    ci: Pair
    of: int


def spark(counts: Sequence[float]) -> str:
    """A small distribution; a dot is none at all.

    >>> spark([0, 1, 4, 8])
    '·▁▄█'
    """
    most = max(counts, default=0)
    return "".join("▁▂▃▄▅▆▇█"[max(0, round(8 * count / most) - 1)] if count else "·" for count in counts)


def side_by_side(
    title: str, rows: Sequence[tuple[str, Mapping[str, Share]]], groups: Sequence[str], width: int
) -> Iterator[Text]:
    """Shares in columns, one a group; on a narrow terminal without how many they are of, then without intervals.

    Groups that have no room even then stand in a table of their own below.
    """
    from rich.text import Text

    kinds = (Cell("", style="bold", cut=True), Cell("95 %"), Cell("of", style="dim"))
    missing = Share(None, None, 0)
    for count in (3, 2, 1):
        columns = [Cell(title, right=False)]
        for group in groups:
            columns += [kinds[0]._replace(title=line(group)), *kinds[1:count]]
        table: list[Row] = []
        for label, shares in rows:
            found = [shares.get(group, missing) for group in groups]
            cells = [(percent(each.share), percents(each.ci or NONE), f"{each.of:,}")[:count] for each in found]
            table.append((label, *(cell for some in cells for cell in some)))
        drawn = list(aligned(columns, [(None, table)], width if count == 1 else PIPED_WIDTH))
        if drawn[1].cell_len <= width:  # the rule below the header is as wide as the table
            return iter(drawn)
    if len(groups) == 1:
        return iter(drawn)
    half = (len(groups) + 1) // 2
    parts = (side_by_side(title, rows, some, width) for some in (groups[:half], groups[half:]))
    return chain(next(parts), [Text()], next(parts))


def contrasts(
    comparisons: Sequence[Comparison],
    titles: Mapping[str, str],
    shown: Callable[[Comparison], Sequence[str]],
    width: int,
) -> Iterator[Text]:
    """Each group against the control by metric; `shown` words a difference and its interval."""
    from rich.text import Text

    columns = [Cell("", right=False, cut=True), Cell("difference", style="bold"), *map(Cell, ("95 %", "p adjusted"))]
    columns.append(Cell("", right=False))
    sections: list[tuple[Text | None, list[Row]]] = []
    for group in dict.fromkeys(each.group for each in comparisons):
        mine = [each for each in comparisons if each.group == group]
        heading = Text.assemble((line(group), "bold"), (f"  against {line(mine[0].control)}", "dim"))
        rows: list[Row] = [
            (titles[each.metric], *shown(each), probability(each.p_adjusted), word(each)) for each in mine
        ]
        sections.append((heading, rows))
    return aligned(columns, sections, width)


def sentences(
    comparisons: Iterable[Comparison], titles: Mapping[str, str], shown: Callable[[Comparison], Sequence[str]]
) -> list[str]:
    """What `contrasts` draws, a sentence a comparison: for formats that hold one table."""
    told = []
    for each in comparisons:
        difference, interval = shown(each)
        title, p = titles.get(each.metric, each.metric), probability(each.p_adjusted)
        about = "" if each.method == "none" else f": {difference} (95 %: {interval}; p adjusted {p})"
        told.append(f"{title}, {each.group} against {each.control}{about}: {word(each).plain}.")
    return told


def points(each: Comparison) -> tuple[str, str]:
    """A difference of shares, in percentage points."""
    return change(each.difference, " points"), changes(each.difference_ci or NONE, "")


def lifts(each: Comparison) -> tuple[str, str]:
    """A difference as a share of the control's value."""
    return change(each.lift), changes(each.lift_ci or NONE)


def word(each: Comparison) -> Text:
    """What may be concluded."""
    from rich.text import Text

    if each.method == "none":
        return Text("too few users", "dim")
    return Text(each.verdict or "no verdict", "bold" if each.verdict in ("higher", "lower") else "dim")
