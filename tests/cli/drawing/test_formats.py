"""How results leave: nothing commands a terminal, a spreadsheet or a markdown page."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmtrack.cli.drawing.formats import Column, Format, as_csv, as_json, as_markdown, emit
from llmtrack.cli.drawing.numbers import age, clock, duration
from llmtrack.cli.drawing.text import line, safe
from llmtrack.errors import LlmtrackError
from llmtrack.session.jsonable import iso, jsonable

COLUMNS = (
    Column("name", "name"),
    Column("copies", "copies", "{:,}".format, right=True),
    Column("share", "share", "{:.0%}".format, right=True),
    Column("prompt", "prompt", fold=True),
)
ROWS = [
    {"name": "base", "copies": 1234, "share": 0.5, "prompt": "What is\nmachine learning?"},
    {"name": "deep", "copies": 0, "share": float("nan"), "prompt": None},
]
DOCUMENT = {"command": "test", "rows": ROWS}


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("plain, ünïcödé, 漢字, 🙂\tand\nlines", "plain, ünïcödé, 漢字, 🙂\tand\nlines"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1bP1$qm\x1b\\dcs", "dcs"),
        ("\x9b2Jc1", "2Jc1"),
        ("\x9d0;title\x9cc1 osc", "0;titlec1 osc"),
        ("\x1bc\x1b7reset", "reset"),
        ("broken \x1b", "broken "),
        ("unfinished \x1b]0;stays as text", "unfinished ]0;stays as text"),
        ("bell\x07 back\x08 nul\x00 del\x7f cr\r", "bell back nul del cr"),
        ("\u202egnp.exe\u2066\u2069\u200f", "gnp.exe"),
        ("\u2028\u2029\ufeff\ufff9", ""),
        ("\ud800lone", "lone"),
        ("👩‍👧 keeps its joiner", "👩‍👧 keeps its joiner"),
    ],
)
def test_what_commands_a_terminal_is_left_out(text: str, kept: str) -> None:
    assert safe(text) == kept


@given(st.text())
def test_nothing_that_commands_a_terminal_is_left(text: str) -> None:
    left = set(safe(text))
    assert not left & {chr(code) for code in [*range(9), *range(11, 32), *range(127, 160), *range(0x202A, 0x202F)]}
    assert safe(safe(text)) == safe(text)


def test_a_line_is_one_line() -> None:
    assert line(" a\r\n\tb\u2028 c ") == "a b c"


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("=1+2", "'=1+2"),
        ("+49 30 1234", "'+49 30 1234"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        (-5, "-5"),
        (-0.5, "-0.5"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        ("a = b", "a = b"),
        ('with "quotes", commas\nand lines', 'with "quotes", commas\nand lines'),
        ("\x1b[31mred", "red"),
        (["a", 1], '["a", 1]'),
        (datetime(2026, 11, 22, tzinfo=UTC), "2026-11-22T00:00:00Z"),
    ],
)
def test_a_csv_cell_is_no_formula(value: Any, cell: str) -> None:
    text = as_csv([{"key": value, "other": 1}], ["key", "other"])
    assert text.startswith("key,other\r\n")
    assert text.endswith("\r\n")
    assert list(csv.reader(io.StringIO(text, newline=""), strict=True)) == [["key", "other"], [cell, "1"]]


def test_json_keeps_every_character_and_shows_none_that_commands() -> None:
    document = {"text": "\x1b[31m\u202e\x9b\x7f ü 漢字 \ud800", "t": datetime(2026, 11, 22, tzinfo=UTC)}
    text = as_json(document)
    assert safe(text) == text
    assert "漢字" in text
    assert json.loads(text) == {**document, "t": "2026-11-22T00:00:00Z"}


class ObjectId:
    def __str__(self) -> str:
        return "65a"


def test_any_value_becomes_json() -> None:
    odd = {1: float("nan"), "b": b"\x01", "o": ObjectId(), "t": (1, {2}), "n": None, "inf": float("inf"), "yes": True}
    expected = {"1": None, "b": "01", "o": "65a", "t": [1, [2]], "n": None, "inf": None, "yes": True}
    assert jsonable(odd) == expected


def test_markdown_cells_are_text() -> None:
    text = as_markdown([{"name": "a|b <img src=x> [x](y) `c`", "prompt": "1\n2"}], [COLUMNS[0], COLUMNS[3]])
    assert text == "| name | prompt |\n| --- | --- |\n| a\\|b \\<img src=x\\> \\[x\\](y) \\`c\\` | 1<br>2 |\n"


def test_a_table_is_whole_where_nobody_sees_its_width(capsys: pytest.CaptureFixture[str]) -> None:
    emit([{**ROWS[0], "name": "n" * 200}, ROWS[1]], COLUMNS, DOCUMENT)
    heading, _, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["name", "copies", "share", "prompt"]
    assert rows[0].split() == ["n" * 200, "1,234", "50%", "What", "is", "machine", "learning?"]
    assert rows[1].split() == ["deep", "0", "-", "-"]


@pytest.mark.parametrize("format", [each for each in Format if each not in (Format.cast, Format.cast3)])
def test_every_format_goes_to_a_file(format: Format, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, COLUMNS, DOCUMENT, format=format, out=tmp_path / "out")
    written = (tmp_path / "out").read_bytes().decode().removeprefix("\ufeff")  # of CSV
    emit(ROWS, COLUMNS, DOCUMENT, format=format)
    printed = capsys.readouterr().out
    assert [row.rstrip() for row in written.splitlines()] == [row.rstrip() for row in printed.splitlines()]
    assert not any(row != row.rstrip() for row in written.splitlines())


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(LlmtrackError, match=r"'.*gone' is no folder"):
        emit(ROWS, COLUMNS, DOCUMENT, format=Format.csv, out=tmp_path / "gone" / "out")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "-"),
        (float("nan"), "-"),
        (0, "0 s"),
        (0.04, "0 s"),
        (2.5, "2.5 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (19.96, "20 s"),
        (59.4, "59 s"),
        (99.4, "99 s"),
        (99.6, "1.7 min"),
        (300, "5 min"),
        (1800, "30 min"),
        (5400, "90 min"),
        (7325, "2 h"),
        (86_400, "24 h"),
        (172_800, "2 days"),
        (1_000_000, "11.6 days"),
        (90 * 86_400, "90 days"),
    ],
)
def test_a_duration_reads_well(seconds: float | None, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0:00.0"), (59.97, "1:00.0"), (3599.99, "1:00:00.0"), (-2, "-0:02.0"), (-0.01, "0:00.0")]
)
def test_a_position_reads_as_a_clock(seconds: float, words: str) -> None:
    assert clock(seconds) == words


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=5), "now"),
        (timedelta(minutes=5), "5 min ago"),
        (timedelta(hours=30), "1 day ago"),
        (timedelta(days=29), "29 days ago"),
        (timedelta(days=30), "2026-10-23"),
        (timedelta(seconds=-5), "2026-11-22"),
    ],
)
def test_an_age_reads_well(ago: timedelta, words: str) -> None:
    now = datetime(2026, 11, 22, 12, tzinfo=UTC)
    assert age(now - ago, now) == words
    assert age(None, now) == "-"


def test_a_time_is_iso_with_z() -> None:
    assert iso(datetime(2026, 11, 22, 12, 0, 0, 5000)) == "2026-11-22T12:00:00.005Z"  # noqa: DTZ001 - naive
    assert iso(datetime.fromisoformat("2026-11-22T12:00:00+02:00")) == "2026-11-22T10:00:00Z"
