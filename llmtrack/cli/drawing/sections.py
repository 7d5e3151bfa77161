"""Tables of several sections: one header, the same columns throughout, never wider than the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from llmtrack.cli.drawing.text import line

if TYPE_CHECKING:
    from rich.text import Text

GAP, NARROW = "  ", " "  # between two columns; where they have no room else
SHORTEST = 8  # characters left of a column that gives way


class Cell(NamedTuple):
    """A column of `aligned`. `optional` ones leave a narrow terminal, the highest first; `cut` ones give way then."""

    title: str
    right: bool = True
    style: str = ""
    optional: int = 0
    cut: bool = False


Row = Sequence["str | Text"]


def aligned(
    columns: Sequence[Cell], sections: Sequence[tuple[Text | None, Sequence[Row]]], width: int
) -> Iterator[Text]:
    """Rows in sections under one header; the same widths in all of them, and no more than `width` together.

    Only columns that neither leave nor give way any further can be wider.
    """
    from rich.cells import cell_len
    from rich.text import Text

    table = [[_text(cell) for cell in row] for _, rows in sections for row in rows]
    wide = [
        max(cell_len(column.title), *(cell_len(row[i].plain) for row in table), 0) for i, column in enumerate(columns)
    ]
    kept = list(range(len(columns)))
    while _total(wide, kept) > width and (spare := [i for i in kept if columns[i].optional]):
        kept.remove(max(spare, key=lambda i: columns[i].optional))
    # The widest gives way first, of equal ones the last: labels stand before the names of groups.
    while _total(wide, kept) > width and (long := [i for i in kept if columns[i].cut and wide[i] > SHORTEST]):
        wide[max(long, key=lambda i: (wide[i], i))] -= 1
    gap = GAP if _total(wide, kept) <= width else NARROW
    titles = [Text(columns[i].title, "bold") for i in kept]
    yield _joined(titles, [columns[i] for i in kept], [wide[i] for i in kept], gap)
    yield Text("─" * _total(wide, kept, gap), "dim")
    for number, (heading, rows) in enumerate(sections):
        if number:
            yield Text()
        if heading is not None:
            yield heading
        for row in rows:
            cells = [_text(row[i], columns[i].style) for i in kept]
            yield _joined(cells, [columns[i] for i in kept], [wide[i] for i in kept], gap)


def _total(wide: Sequence[int], kept: Sequence[int], gap: str = GAP) -> int:
    return sum(wide[i] for i in kept) + len(gap) * (len(kept) - 1)


def _text(cell: str | Text, style: str = "") -> Text:
    from rich.text import Text

    return Text(line(cell), style) if isinstance(cell, str) else cell


def _joined(cells: Sequence[Text], columns: Sequence[Cell], wide: Sequence[int], gap: str) -> Text:
    from rich.text import Text

    padded = []
    for cell, column, size in zip(cells, columns, wide, strict=True):
        cell = _cut(cell, size)
        (cell.pad_left if column.right else cell.pad_right)(size - cell.cell_len)
        padded.append(cell)
    joined = Text(gap).join(padded)
    joined.rstrip()
    return joined


def _cut(cell: Text, size: int) -> Text:
    """At most `size` wide; what goes is in the middle, for names of models differ at their ends."""
    from rich.text import Text

    if cell.cell_len > size:
        left, right = size // 2, (size - 1) // 2
        cell = Text(f"{cell.plain[:left]}…{cell.plain[len(cell.plain) - right :]}", cell.style)
    cell = cell.copy()
    cell.truncate(size)  # letters of double width
    return cell
