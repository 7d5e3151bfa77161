"""`llmtrack spool`, on a spool that holds what can never be stored."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from llmtrack.cli import main
from llmtrack.config import load_settings
from llmtrack.store.spool.queue import APPEND, Spool, spool_of


@pytest.fixture
def spool() -> Spool:
    spool = spool_of(load_settings())
    for number in range(3):
        spool.put(APPEND, f"session-{number}", {"events": [{"n": 1}] * number})
    for record in spool.of("session-1") + spool.of("session-2"):
        spool.refuse(record, "No session")
    return spool


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["spool", *words])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_it_lists_tries_again_and_drops(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys)
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if "session-" in line] == ["2", "3"]
    assert "1 record waiting, 2 put aside." in err
    listed = json.loads(run(capsys, "list", "--format", "json")[1])
    assert [(each["id"], each["events"], each["why"]) for each in listed["put_aside"]] == [
        (2, 1, "No session"),
        (3, 2, "No session"),
    ]
    assert run(capsys, "retry", "2", "--dry-run")[1] == "Would try again: 1 record.\n"
    assert (spool.depth, spool.refused) == (1, 2)
    assert run(capsys, "retry", "2")[1] == "1 record will be tried again.\n"
    assert run(capsys, "drop", "--all", "--yes")[1] == "1 record dropped.\n"
    assert (spool.depth, spool.refused) == (2, 0)


WRONG = {
    "no record is named": (["retry"], "Which records?"),
    "two ways at once": (["retry", "2", "--all"], "Which records?"),
    "one that is not there": (["drop", "7", "--yes"], "There is no record 7"),
    "nobody to confirm": (["drop", "--all"], "Nobody is there to confirm"),
}


@pytest.mark.parametrize(("words", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_said(spool: Spool, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out, said in err) == (2, "", True)
    assert spool.refused == 2


def test_listing_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "list")[0] == 0
    assert not (load_settings().data_dir).exists()
