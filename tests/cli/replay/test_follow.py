"""What `--follow` prints while a database is written, by a clock that does not wait."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from llmtrack.analysis.interaction import timeline
from llmtrack.cli import main
from llmtrack.cli.replay.follow import begun_and_ended, follow
from llmtrack.cli.replay.plain import Screen
from llmtrack.config import load_settings
from llmtrack.sessions import Sessions
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.mongo import MongoSource

START = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=60)


def event(n: int, kind: str, **data: Any) -> dict[str, Any]:
    return {"n": n, "t": START.timestamp() * 1000 + n * 1000, "type": kind, "data": data}


def insert(store: Store, session_id: str, *events: dict[str, Any], **fields: Any) -> None:
    head = {"session_id": session_id, "user_id": "u", "model_group": "m", "start_time": START, "end_time": None}
    store.sessions.insert_one({**head, "events": list(events), "event_count": len(events), "rev": 0, **fields})


def happens(*steps: Callable[[], object]) -> Callable[[float], None]:
    """A sleep in which one thing happens after the other; then it is interrupted."""
    left = list(steps)

    def sleep(_: float) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop(0)()

    return sleep


def push(store: Store, session_id: str, *events: dict[str, Any], **fields: Any) -> Callable[[], object]:
    change = {"$push": {"events": {"$each": list(events)}}, "$inc": {"event_count": len(events), "rev": 1}}
    return lambda: store.sessions.update_one(
        {"session_id": session_id}, {**change, **({"$set": fields} if fields else {})}
    )


def followed(store: Store, *steps: Callable[[], object]) -> str:
    out = io.StringIO()
    screen = Screen(Console(file=out, width=100, markup=False, highlight=False), 60.0)
    follow(
        MongoSource(store, "db"), load_settings(), "s1", lambda visit: list(timeline.relative(visit)), screen,
        happens(*steps),
    )  # fmt: skip
    return out.getvalue()


def test_each_event_is_told_once_and_the_end_ends_it(store: Store) -> None:
    insert(store, "s1", event(1, "activity", activity_state="active"))
    told = followed(
        store,
        push(store, "s1", event(3, "prompt", text="What is bread?")),
        lambda: None,
        push(store, "s1", event(2, "click", target="A"), event(4, "copy", selected_text="late and new")),
        push(store, "s1", end_time=START + timedelta(seconds=9), ended_by="page"),
    )
    rows = [row.strip() for row in told.partition("\n\n")[2].splitlines()]
    assert [row.partition("  ")[2] for row in rows if row.startswith("0:")] == [
        "arrived", "asked  3 words", "clicked <a>", "copied “late and new”",
        "closed the page with the last prompt unanswered",
    ]  # fmt: skip
    assert told.count("session  s1") == 1


def test_nothing_is_read_while_nothing_happens(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    insert(store, "s1", event(1, "activity", activity_state="active"))
    read = []
    monkeypatch.setattr(
        MongoSource, "get", lambda self, name, get=MongoSource.get: read.append(name) or get(self, name)
    )
    with pytest.raises(KeyboardInterrupt):
        followed(store, *[lambda: None] * 5)
    assert read == ["s1"]


def test_a_session_that_is_erased_meanwhile_is_said_to_be_gone(store: Store) -> None:
    insert(store, "s1", event(1, "activity", activity_state="active"))
    assert "gone" in followed(store, lambda: store.sessions.delete_one({"session_id": "s1"}))


def test_sessions_are_told_when_they_begin_and_end(store: Store) -> None:
    insert(store, "over", start_time=START - timedelta(hours=2), end_time=START - timedelta(hours=1))
    insert(store, "open", event(1, "activity", activity_state="active"))
    sleep = happens(
        lambda: insert(store, "new", event(1, "prompt", text="a")),
        lambda: None,
        push(store, "open", event(5, "prompt", text="b"), end_time=START + timedelta(seconds=6)),
    )
    lines: list[str] = []

    with pytest.raises(KeyboardInterrupt):
        lines.extend(begun_and_ended(Sessions(MongoSource(store, "db"), load_settings()), sleep))
    assert [" ".join(each.split()[1:]) for each in lines] == [
        "began m unknown open", "began m unknown new", "ended 6 s, 1 prompt, waiting open",
    ]  # fmt: skip


@pytest.mark.parametrize("command", [["replay", "s1"], ["sessions"]])
def test_a_file_is_not_followed(command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: Any) -> None:
    (tmp_path / "s.jsonl").write_text('{"session_id": "s1", "start_time": 1730000000000, "events": []}\n')
    with pytest.raises(SystemExit) as ended:
        main([*command, "--follow", "--source", str(tmp_path / "s.jsonl")])
    assert ended.value.code == 2
    assert "is no database: nothing happens there." in capsys.readouterr().err
