"""`llmtrack forget` as it is called."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from llmtrack.cli import main
from llmtrack.session.pseudonym import pseudonym
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import counted, move, sessions

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _archived(store: Store, monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    store.sessions.insert_many(sessions(12))
    move(store, Path("archive"), limit=8)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exited:
        main(["forget", *arguments])
    out, err = capsys.readouterr()
    return int(exited.value.code or 0), out, err


def test_all_of_a_user_is_erased_and_the_receipt_written(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    code, out, err = run(capsys, "user-1", "--yes", "--out", "receipt.json")
    assert (code, err) == (0, "")
    where = f"1 session and 0 chats in {store.database.name}, 2 sessions in "
    assert out.startswith(f"Erased {where}")
    assert out.endswith(" Nothing with this user_id is left.\n")
    receipt = json.loads(Path("receipt.json").read_text())
    assert receipt["command"] == "forget"
    assert receipt["database"]["sessions"] == 1
    assert receipt["archives"][0]["sessions"] == 2
    assert "user-1" not in Path("receipt.json").read_text()
    assert len(counted(store, Path("archive"))) == 9


def test_what_was_stored_before_and_since_there_is_a_key_is_erased(
    capsys: pytest.CaptureFixture[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLMTRACK_PRIVACY__USER_KEY", "a key for these tests")
    known_as = pseudonym("a key for these tests", "user-1")
    chats = [{"_id": f"{name}:c", "user_id": name} for name in (known_as, "user-1", "user-2")]
    store.database["chats"].insert_many(chats)
    store.sessions.insert_one(sessions(1)[0] | {"_id": "new", "session_id": "new", "user_id": known_as})
    for options in (["--dry-run"], ["--yes"]):
        code, out, err = run(capsys, "user-1", *options, "--format", "json")
        assert (code, err) == (0, "")
        receipt = json.loads(out)
        assert (receipt["database"]["sessions"], receipt["database"]["chats"]) == (2, 2)
        assert receipt["archives"][0]["sessions"] == 2
    assert [chat["user_id"] for chat in store.database["chats"].find()] == ["user-2"]
    assert store.sessions.count_documents({"user_id": {"$in": ["user-1", known_as]}}) == 0


def test_a_dry_run_erases_nothing(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    code, out, _ = run(capsys, "user-1", "--dry-run", "--format", "json")
    assert code == 0
    assert json.loads(out)["dry_run"] is True
    assert len(counted(store, Path("archive"))) == 12


def test_without_a_terminal_somebody_must_have_said_yes(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    code, _, err = run(capsys, "user-1")
    assert (code, err) == (2, "llmtrack: Nobody is there to confirm. Give --yes, or --dry-run to see what would go.\n")
    assert len(counted(store, Path("archive"))) == 12


@pytest.mark.parametrize(("answer", "left"), [("n\n", 12), ("y\n", 9)])
def test_on_a_terminal_it_asks(
    capsys: pytest.CaptureFixture[str], store: Store, monkeypatch: pytest.MonkeyPatch, answer: str, left: int
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("typer.confirm", lambda question, err: "Erase 1 session" in question and answer == "y\n")
    code, _, err = run(capsys, "user-1")
    assert code == (0 if left == 9 else 1)
    assert ("Nothing was changed." in err) == (left == 12)
    assert len(counted(store, Path("archive"))) == left


def test_leaving_at_the_question_changes_nothing(
    capsys: pytest.CaptureFixture[str], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdin = io.StringIO("")  # Ctrl-D
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    code, _, err = run(capsys, "user-1")
    assert code == 130
    assert "bug" not in err
    assert len(counted(store, Path("archive"))) == 12


def test_an_archive_that_cannot_be_reached_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    Path("archive").rename("away")
    code, out, err = run(capsys, "user-1", "--yes")
    assert code == 3
    assert "is left" not in out
    assert err.startswith("Not reached from here: the archive ")


@pytest.mark.parametrize("options", [["--yes"], ["--dry-run"], ["--yes", "--out", "receipt.json"]])
def test_an_id_that_nobody_has_gets_no_receipt(
    capsys: pytest.CaptureFixture[str], store: Store, options: list[str]
) -> None:
    code, out, err = run(capsys, "user-", *options)
    said = "llmtrack: Nobody is called 'user-' here, nothing was erased. Ids that begin so: user-0, user-1, user-2"
    assert (code, out, err[: len(said)]) == (1, "", said)
    assert not Path("receipt.json").exists()
    assert len(counted(store, Path("archive"))) == 12
    assert "begin so" not in run(capsys, "user.", *options)[2], "an id is no pattern"


def test_ids_of_archives_are_listed_too(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.sessions.delete_many({})
    assert "Ids that begin so: user-0, user-1" in run(capsys, "use", "--yes")[2]


def test_who_was_erased_half_is_still_completed(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    store.database["forgets"].insert_one({"_id": "gone", "job": "j", "started_at": NOW, "sessions": 4, "chats": 0})
    code, out, _ = run(capsys, "gone", "--yes")
    assert (code, out.startswith("Erased 4 sessions"), out.endswith(" Nothing with this user_id is left.\n")) == (
        0,
        True,
        True,
    )
