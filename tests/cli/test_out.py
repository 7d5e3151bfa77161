"""--out: an ending is a format everywhere, and no file is lost; CSV that no spreadsheet takes for something else."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from llmtrack.cli.drawing.formats import as_csv
from tests.cli.running import run

COMMANDS = (["sessions"], ["chats"], ["replay", "last"])


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_the_ending_says_the_format(words: list[str], source: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("o.json", "o.csv", "o.md", "o.txt", "plain"):
        assert run(capsys, *words, "--source", source, "--out", name, "-q") == (0, "", "")
    assert json.loads(Path("o.json").read_text())
    assert Path("o.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert Path("o.md").read_text().startswith("| ")
    assert Path("o.txt").read_text() == Path("plain").read_text()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--out", "o.xlsx"], "No format ends in '.xlsx'. Endings: .txt, .json, .csv, .md, .markdown"),
        (["--out", "o.csv", "--format", "json"], "'o.csv' does not end in json."),
        (["--out", "gone/o.csv"], "'gone' is no folder."),
        (["--out", "."], "'.' is no file."),
        (["--delimiter", "x"], "'x' is no delimiter"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    options: list[str], said: str, source: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = run(capsys, "sessions", "--source", source, *options)
    assert (code, out) == (2, "")
    assert said in err


def test_an_export_is_no_excel_file(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "export", "sessions", "--source", source, "--out", "o.xlsx")
    assert (code, "No format ends in '.xlsx'" in err) == (2, True)


def test_nothing_is_replaced_unasked(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("o.csv").write_text("mine")
    code, _, err = run(capsys, "sessions", "--source", source, "--out", "o.csv")
    assert (code, Path("o.csv").read_text()) == (2, "mine")
    assert "is there already. Name another file, or replace it with --force." in err
    assert run(capsys, "sessions", "--source", source, "--out", "o.csv", "--force", "-q")[0] == 0
    assert "session_id" in Path("o.csv").read_text()


@pytest.mark.parametrize("words", [["sessions"], ["export", "sessions", "--format", "jsonl"], ["funnel"]], ids=" ".join)
def test_a_source_is_never_written(words: list[str], source: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path(source).read_text()
    target = [*words, "--out", source, "--force", *([] if "--format" in words else ["--format", "json"])]
    for named in (source, str(Path(source).parent)):
        code, _, err = run(capsys, *target, "--source", named)
        assert code == 2, err
        assert "what is read" in err
    assert Path(source).read_text() == before


def test_a_receipt_is_never_replaced(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    receipt = json.dumps({"command": "forget", "dry_run": False}, indent=2)
    Path("receipt.json").write_text(receipt)
    code, _, err = run(capsys, "sessions", "--source", source, "--out", "receipt.json", "--force")
    assert (code, "the receipt of an erasure, which is never replaced" in err) == (2, True)
    assert Path("receipt.json").read_text() == receipt


DANGEROUS = ["=1+1", "\n=1+1", "  =1", "+1", "-1", "@x", "\uff1d1+1", "\uff0b1", "\uff0d1", "\uff201", "\t=1"]


@pytest.mark.parametrize("text", DANGEROUS)
def test_a_formula_is_a_text(text: str) -> None:
    cell = next(csv.reader(io.StringIO(as_csv([{"a": text}], ["a"]).partition("\r\n")[2])))[0]
    assert cell == f"'{text}"


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_texts_are_quoted_and_numbers_are_not(delimiter: str) -> None:
    rows = [{"a": "x;=1,=2\ty", "b": 1.5, "c": None, "d": True, "e": 'say "hi"'}]
    text = as_csv(rows, ["a", "b", "c", "d", "e"], delimiter)
    cells = ['"x;=1,=2\ty"', "1.5", "", "True", '"say ""hi"""']
    assert text == f"{delimiter.join('abcde')}\r\n{delimiter.join(cells)}\r\n"
    assert list(csv.reader(io.StringIO(text), delimiter=delimiter))[1] == ["x;=1,=2\ty", "1.5", "", "True", 'say "hi"']


def test_a_delimiter_is_asked_for(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["sessions", "--format", "csv"], ["export", "sessions"]):
        code, out, _ = run(capsys, *words, "--source", source, "--delimiter", ";", "-q")
        assert (code, out.splitlines()[0].count(";") > 10, "," in out.splitlines()[0]) == (0, True, False)
