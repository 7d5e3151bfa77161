"""Tables that fit: what gives way on a narrow terminal, and what never does."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from llmtrack.cli.drawing.figures import Share, side_by_side
from llmtrack.cli.drawing.sections import Cell, aligned

GROUPS = ["x", "gpt-mini-2026-08-very-long-name", "gpt-mini-2026-08-very-long-namf", "模型-长的名字", "llama", "b-7"]
SHARES = {group: Share(0.385, (0.345, 0.425), 1_234) for group in GROUPS}


def drawn(groups: list[str], width: int) -> list[str]:
    rows = [("after reading", {group: SHARES.get(group, SHARES["x"]) for group in groups})]
    return [row.plain for row in side_by_side("ended", rows, groups, width)]


def test_the_widest_column_gives_way_and_none_grows() -> None:
    columns = [Cell("", cut=True), Cell("a", cut=True), Cell("n")]
    table = [row.plain for row in aligned(columns, [(None, [("a long label of a row", "12", "1,234,567")])], 30)]
    assert table[1:] == ["─" * 30, "a long …f a row  12  1,234,567"]


def test_columns_move_together_before_a_line_breaks() -> None:
    row = ("visit", "+24 points", "+15 to +33", "<.001", "inconclusive")
    columns = [Cell(""), *(Cell(title) for title in ("of all", "95 %", "p adjusted", ""))]
    roomy, tight = ([row.plain for row in aligned(columns, [(None, [row])], width)] for width in (60, 52))
    assert (cell_len(roomy[1]), cell_len(tight[1])) == (55, 51)
    assert tight[2] == "visit +24 points +15 to +33      <.001 inconclusive"


@pytest.mark.parametrize("width", [80, 120, 200])
@pytest.mark.parametrize("count", [1, 3, 6, 14])
def test_groups_side_by_side_fit_and_no_number_is_cut(width: int, count: int) -> None:
    groups = [*GROUPS, *(f"model-{'x' * n}-{n}" for n in range(8))][:count]
    table = drawn(groups, width)
    assert max(map(cell_len, table)) <= width
    assert sum(row.count("38 %") for row in table) == count
    assert all(row.startswith("after reading") for row in table if "38 %" in row)
