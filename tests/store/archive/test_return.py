"""A visitor who comes back after the visit was archived: it goes on, for writers, readers, the archive and restore."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmtrack.config import Settings
from llmtrack.errors import NotTheirs
from llmtrack.session.claim import Claim
from llmtrack.session.filters import Filters
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.move import run
from llmtrack.store.archive.restore import restore
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.mongo import MongoSource
from llmtrack.store.sources.open import open_source
from llmtrack.store.sources.several import SeveralSources
from tests.store.archive.crash import Crash, Crashes, fresh
from tests.store.archive.world import archived, check_all_there, counted, move, raw, session, small

START = datetime(2026, 3, 1, 10, tzinfo=UTC)
T0 = round(START.timestamp() * 1000)
FIRST, LATER = list(range(1, 51)), [51, 52, 53]


def events(numbers: list[int]) -> list[dict[str, Any]]:
    return [{"n": n, "t": T0 + 1000 * n, "type": "prompt", "data": {"text": f"{n}"}} for n in numbers]


def visit(store: Store, session_id: str = "v", user: str = "u") -> None:
    who = {"user_id": user, "model_group": "a", "experiment_id": "e", "environment": {"device": "desktop"}}
    store.start({"session_id": session_id, **who, "start_time": START, "start_proof": "sha256:mine"})
    store.append(session_id, events(FIRST), end=START + timedelta(minutes=2))
    long_ago(store)


def long_ago(store: Store) -> None:
    store.sessions.update_many({}, {"$set": {"updated_at": START + timedelta(minutes=5)}})


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """A visit of 50 events and another session, both archived."""
    visit(store)
    store.sessions.insert_one(session(1))
    move(store, tmp_path / "archive")
    assert raw(store) == {}
    return tmp_path / "archive"


def both(store: Store, folder: Path) -> SeveralSources:
    return SeveralSources([MongoSource(store, "db"), ArchiveSource(open_folder(str(folder)))])


def numbers(document: dict[str, Any] | None) -> list[int]:
    assert document is not None
    return [event["n"] for event in document["events"]]


def test_it_is_still_the_visit_of_the_one_who_began_it(store: Store, folder: Path) -> None:
    known = store.start({"session_id": "v", "user_id": "stranger", "start_time": START, "start_proof": "sha256:other"})
    assert "_id" not in known
    assert (known["user_id"], known["start_proof"]) == ("u", "sha256:mine")
    assert (store.owner("v") or {})["start_proof"] == "sha256:mine"
    with pytest.raises(NotTheirs):
        store.append("v", events(LATER), claim=Claim(("sha256:other",)))
    assert raw(store) == {}
    assert store.append("v", events([51]), claim=Claim(("sha256:mine",))).accepted == 1
    with pytest.raises(NotTheirs):  # nor now that it goes on
        store.append("v", events([52]), claim=Claim(("sha256:other",)))
    assert store.append("v", events([52]), claim=Claim(("sha256:mine",))).accepted == 1


def test_what_was_sent_before_counts_once(store: Store, folder: Path) -> None:
    assert tuple(store.append("v", events([49, 50]))) == (0, 2)
    assert raw(store) == {}
    assert tuple(store.append("v", events([50, *LATER]))) == (3, 1)
    assert tuple(store.append("v", events(LATER))) == (0, 3)
    assert numbers(store.find("v")) == LATER


def test_every_reader_joins_it(store: Store, folder: Path, settings: Settings, mongodb_uri: str) -> None:
    store.append("v", events(LATER), end=START + timedelta(hours=1))
    several = both(store, folder)
    found = {document["session_id"]: document for document in several.documents()}
    assert sorted(found) == ["s1", "v"]
    assert numbers(found["v"]) == FIRST + LATER
    assert found["v"]["end_time"] == START + timedelta(hours=1)
    assert several.unreadable.total() == 0
    assert numbers(several.get("v")) == FIRST + LATER
    for fields in (("text",), None):
        counts = {
            session_id: count
            for batch in several.batches(fields=fields)
            for session_id, count in zip(batch.sessions["session_id"], batch.counts.tolist(), strict=True)
        }
        assert counts == {"v": 53, "s1": 3}
    assert {head.session_id for head in several.heads()} == {"v", "s1"}
    assert several.count() == 2
    assert len(list(several.documents(Filters(device="desktop", user="u")))) == 1
    with open_source([str(folder), mongodb_uri], settings) as opened:
        assert numbers(opened.get("v")) == FIRST + LATER


def test_it_is_joined_where_the_server_sends_the_asked_fields_alone(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MongoSource, "_sends_whole", False)  # as on every server but the embedded one
    store.append("v", events(LATER), end=START + timedelta(hours=1))
    batches = [*both(store, folder).batches(fields=("text",))]
    assert sum(int(batch.counts.sum()) for batch in batches) == 53 + 3


def test_alone_the_database_says_that_something_is_missing(store: Store, folder: Path) -> None:
    store.append("v", events(LATER))
    source = MongoSource(store, "db")
    assert [*source.documents()] == []
    assert dict(source.unreadable) == {"part_without_first": 1}
    assert [*source.heads()] == []
    assert source.count() == 0


def test_it_is_archived_again_as_its_next_part_and_restored_as_one(store: Store, folder: Path) -> None:
    for later in ([51], [52, 53], [54]):
        store.append("v", events(later), end=START + timedelta(hours=1))
        assert move(store, folder).sessions == 0  # it was here just now
        long_ago(store)
        moved = move(store, folder)
        assert (moved.sessions, moved.deleted, moved.conflicts, dict(moved.unreadable)) == (1, 1, [], {})
        assert store.sessions.count_documents({}) == 0
    assert sorted(archived(folder)) == ["s1", "v"]
    assert numbers(ArchiveSource(open_folder(str(folder))).get("v")) == [*FIRST, 51, 52, 53, 54]
    assert move(store, folder).sessions == 0
    assert restore(store, open_folder(str(folder)), session_id="v").restored == 1
    assert numbers(MongoSource(store, "db").get("v")) == [*FIRST, 51, 52, 53, 54]
    assert tuple(store.append("v", events([54, 55]))) == (1, 1)
    assert numbers(store.find("v")) == [*FIRST, 51, 52, 53, 54, 55]


def test_restored_while_it_goes_on_it_is_one(store: Store, folder: Path) -> None:
    store.append("v", events(LATER))
    done = restore(store, open_folder(str(folder)))
    assert (done.restored, done.different) == (2, [])
    assert restore(store, open_folder(str(folder))).equal == 2
    [document] = [each for each in MongoSource(store, "db").documents() if each["session_id"] == "v"]
    assert numbers(document) == FIRST + LATER
    long_ago(store)
    moved = move(store, folder)
    assert (moved.conflicts, dict(moved.unreadable)) == ([], {})
    assert store.sessions.count_documents({}) == 0
    assert numbers(ArchiveSource(open_folder(str(folder))).get("v")) == FIRST + LATER


def test_forgotten_with_all_its_parts_it_cannot_come_back(store: Store, folder: Path) -> None:
    store.append("v", events(LATER))
    forget(store, "u")
    assert counted(store, folder) == {"s1": 1}
    assert store.archived.count_documents({"user_id": "u"}) == 0
    assert store.owner("v") is None


def test_another_archive_than_that_of_its_first_part_leaves_it_and_names_it(
    store: Store, folder: Path, tmp_path: Path
) -> None:
    store.append("v", events(LATER))
    long_ago(store)
    moved = move(store, tmp_path / "another")
    assert (moved.sessions, dict(moved.unreadable)) == (0, {"part_without_first": 1})
    assert numbers(store.find("v")) == LATER


def crashes(store: Store, folder: Path) -> Iterator[Crash]:
    """An archive run that takes five visits along that came back; at every step one of them writes again."""
    fresh(store, folder, [])
    ids = [f"v{number}" for number in range(5)]
    for each in ids:
        visit(store, each)
    move(store, folder)
    sent = dict.fromkeys(ids, 50)
    for each in ids:
        store.append(each, events([51, 52]))
        sent[each] = 52
    long_ago(store)
    steps = 0

    def write() -> dict[str, int]:
        nonlocal steps
        steps += 1
        writer = ids[steps % 3]  # the others do not write
        assert store.append(writer, events([sent[writer] + 1])).accepted == 1
        sent[writer] += 1
        return sent.copy()

    found = Crashes(store, folder, write)
    run(store, open_folder(str(folder)), small(), step=found.step)
    yield from found.all


def test_no_event_is_lost_or_counted_twice_whatever_step_archive_was_killed_after(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    for crash in crashes(store, folder):
        crash.put(store, folder)
        for again in range(2):
            found = {document["session_id"]: numbers(document) for document in both(store, folder).documents()}
            last = crash.acknowledged
            assert found == {each: list(range(1, last[each] + 1)) for each in last}, (crash.after, again)
            if again == 1:  # all that is left goes as well
                long_ago(store)
            moved = move(store, folder)
            assert (moved.conflicts, dict(moved.unreadable)) == ([], {}), crash.after
        assert store.sessions.count_documents({}) == 0
        check_all_there(store, folder, set(last))


def test_restore_puts_each_back_once_whatever_step_it_was_killed_after(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    ids = [f"v{number}" for number in range(3)]
    for each in ids:
        visit(store, each)
    store.sessions.insert_one(session(1))
    move(store, folder)
    store.append("v0", events([51]))
    long_ago(store)
    move(store, folder)  # v0 has two documents now
    for each in ids[:2]:
        store.append(each, events([52]))  # v0 and v1 came back
    found = Crashes(store, folder)
    restore(store, open_folder(str(folder)), step=found.step)
    assert len(found.all) >= 4
    whole = {"s1": [1, 2], "v0": [*FIRST, 51, 52], "v1": [*FIRST, 52], "v2": FIRST}
    for crash in found.all:
        crash.put(store, folder)
        for _ in range(2):
            seen = {
                each["session_id"]: [e["n"] for e in each["events"] if "n" in e]
                for each in both(store, folder).documents()
            }
            assert seen == whole, crash.after
            done = restore(store, open_folder(str(folder)))
            assert done.different == [], crash.after
        here = {
            each["session_id"]: [e["n"] for e in each["events"] if "n" in e]
            for each in MongoSource(store, "").documents()
        }
        assert here == whole, crash.after


def test_another_session_under_the_same_id_never_costs_the_archived_one(store: Store, tmp_path: Path) -> None:
    """A writer that knows nothing of archives begins the session anew, while a killed run still has to delete it."""
    folder = tmp_path / "archive"
    visit(store)

    def stop(step: str) -> None:
        if step == "recorded":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, open_folder(str(folder)), small(), step=stop)
    store.sessions.replace_one({"_id": "v"}, {"session_id": "v", "start_time": START, "events": events(LATER)})
    assert move(store, folder).conflicts == ["v"]
    assert numbers(ArchiveSource(open_folder(str(folder))).get("v")) == FIRST
    assert numbers(store.find("v")) == LATER
