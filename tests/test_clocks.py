"""A session that cannot tell how its clock is off takes what the store's other sessions of its day tell."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import llmtrack
from llmtrack.cli import main

DAY = 1_790_000_000_000
FIVE_HOURS = 5 * 3_600_000


def session(name: str, *events: tuple[float, str], start: int = DAY) -> dict[str, Any]:
    """Prompts and answers lie five hours ahead of the page's events."""
    ahead = {"prompt": FIVE_HOURS, "model_response": FIVE_HOURS}
    told = [{"t": start + at * 1000 + ahead.get(kind, 0), "type": kind, "data": {}} for at, kind in events]
    return {"session_id": name, "start_time": start, "end_time": start + 60_000, "events": told}


TELLS = [(1.0, "click"), (2.0, "prompt"), (4.0, "model_response"), (9.0, "click")]
MUTE = session("mute", (7.0, "prompt"), (9.0, "model_response"))
DOCUMENTS = [MUTE, *(session(f"s{number}", *TELLS) for number in range(3))]


@pytest.mark.parametrize("size", [1, 2, 100])
@pytest.mark.parametrize("backwards", [False, True])
def test_batches_and_their_order_change_no_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, backwards: bool
) -> None:
    monkeypatch.setattr("llmtrack.store.sources.files.BATCH_SESSIONS", size)
    path = tmp_path / "sessions.jsonl"
    documents = DOCUMENTS[::-1] if backwards else DOCUMENTS
    path.write_text("".join(json.dumps(each) + "\n" for each in documents))
    with llmtrack.open(str(path)) as sessions:
        table = sessions.sessions(["session_id", "clock_offset_ms", "waiting_s"]).set_index("session_id")
    assert table["clock_offset_ms"].to_dict() == dict.fromkeys(("mute", "s0", "s1", "s2"), FIVE_HOURS)
    assert table["waiting_s"].tolist() == [2.0] * 4


def test_one_session_and_a_short_list_take_the_clock_of_their_day(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "sessions.jsonl"
    another_day = [session(f"d{number}", *TELLS[:1], start=DAY + 86_400_000) for number in range(2)]
    path.write_text("".join(json.dumps(each) + "\n" for each in [*DOCUMENTS, *another_day]))
    source = ["--source", str(path)]
    with pytest.raises(SystemExit):
        main(["replay", "mute", "--format", "json", *source])
    replayed = json.loads(capsys.readouterr().out)
    assert [event["at_s"] for event in replayed["events"]] == [7.0, 9.0]
    assert replayed["session"]["repaired"]["clock_moved_+5h"] == 1
    with pytest.raises(SystemExit):
        main(["sessions", "--limit", "5", "--until", "2026-09-21T14:13:21Z", "--format", "json", *source])
    (mute,) = (row for row in json.loads(capsys.readouterr().out)["sessions"] if row["session_id"] == "mute")
    assert mute["waiting_s"] == 2
