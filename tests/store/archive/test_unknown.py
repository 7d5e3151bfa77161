"""Parts that no line of the manifest names: never removed, never read; adopted when asked, or set aside."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from llmtrack.errors import LlmtrackError
from llmtrack.store.archive.adopt import adopt
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import plan
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from tests.store.archive.world import archived, check_all_there, counted, move, raw, session, sessions, small

MANIFEST = "_manifest.jsonl"
IDS = {f"s{number}" for number in range(10)}


@pytest.fixture
def folder(store: Store, tmp_path: Path) -> Path:
    """An archive of ten sessions in two parts; nothing is in the database."""
    store.sessions.insert_many(sessions(10))
    move(store, tmp_path / "archive", row_group_sessions=9, limit=6)
    (tmp_path / "older").write_bytes((tmp_path / "archive" / MANIFEST).read_bytes())
    move(store, tmp_path / "archive", row_group_sessions=9)
    return tmp_path / "archive"


def older(folder: Path) -> None:
    (folder / MANIFEST).write_bytes((folder.with_name("older")).read_bytes())


LOST: dict[str, Callable[[Path], object]] = {
    "missing": lambda folder: (folder / MANIFEST).unlink(),
    "empty": lambda folder: (folder / MANIFEST).write_bytes(b""),
    "older": older,
    "cut in the first line": lambda folder: (folder / MANIFEST).write_bytes(b'{"record": "arch'),
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*part-*")}


@pytest.mark.parametrize("moved", [True, False], ids=["at another place", "where it was"])
@pytest.mark.parametrize("lose", LOST.values(), ids=LOST)
def test_without_its_manifest_no_part_is_removed_and_the_parts_are_named_and_adopted(
    store: Store, folder: Path, lose: Callable[[Path], object], moved: bool
) -> None:
    if moved:
        folder = Path(shutil.copytree(folder, folder.with_name("copy")))
        shutil.rmtree(folder.with_name("archive"))
    lose(folder)
    before = files(folder)
    store.sessions.insert_one(session(20))
    opened = open_folder(str(folder))
    for use in (lambda: move(store, folder), lambda: plan(store, opened, small())):
        with pytest.raises(LlmtrackError) as raised:
            use()
        assert "--adopt" in str(raised.value)
        assert str(folder) in raised.value.message
    assert files(folder) == before
    done = adopt(store, opened)
    assert (done.set_aside, done.conflicts) == ([], [])
    assert sorted(archived(folder)) == sorted(IDS)
    assert not verify(opened).damaged
    move(store, folder)
    check_all_there(store, folder, IDS | {"s20"})
    assert restore(store, opened).restored == 11
    assert adopt(store, opened).parts == []


def test_an_archive_keeps_its_id_without_its_manifest(store: Store, folder: Path) -> None:
    before = Manifest(open_folder(str(folder))).id
    (folder / MANIFEST).unlink()
    adopt(store, open_folder(str(folder)))
    assert Manifest(open_folder(str(folder))).id == before
    assert forget(store, "user-1").unreached == []
    assert "s1" not in archived(folder)


def test_of_two_versions_the_one_with_all_events_counts(store: Store, folder: Path) -> None:
    restore(store, open_folder(str(folder)), session_id="s3")
    store.sessions.update_one({"session_id": "s3"}, {"$push": {"events": {"t": 1_700_000_000_000, "type": "late"}}})
    newer = raw(store)["s3"]
    move(store, folder)
    for lost in (lambda: None, older, lambda folder: (folder / MANIFEST).unlink()):
        if lost.__code__.co_argcount:
            lost(folder)
            adopt(store, open_folder(str(folder)))
        assert sorted(archived(folder)) == sorted(IDS)
        restore(store, open_folder(str(folder)), session_id="s3")
        assert raw(store) == {"s3": newer}
        store.sessions.delete_many({})


def test_what_cannot_be_read_is_set_aside_and_stays(store: Store, folder: Path) -> None:
    part = sorted(folder.glob("month=*/part-*.parquet"))[0]
    odd = {"cut": part.read_bytes()[:900], "other": b"PAR1 no", "twin": part.read_bytes()}
    for name, content in odd.items():
        part.with_name(f"part-{name}.parquet").write_bytes(content)
    with pytest.raises(LlmtrackError, match=r"part-cut.parquet' and 2 more: the manifest does not name it"):
        move(store, folder)
    done = adopt(store, open_folder(str(folder)))
    assert done.parts == []
    assert sorted(Path(path).name for path in done.set_aside) == [f"part-{name}.parquet" for name in odd]
    for name, content in odd.items():
        assert (folder / "_unknown" / part.parent.name / f"part-{name}.parquet").read_bytes() == content
    assert move(store, folder).foreign == []
    assert sorted(archived(folder)) == sorted(IDS)


def test_forget_names_what_was_set_aside_and_may_hold_the_user(store: Store, folder: Path) -> None:
    for part in list(folder.glob("month=*/part-*.parquet")):
        shutil.copy(part, part.with_name(f"part-twin-{part.name}"))
    adopt(store, open_folder(str(folder)))
    receipt = forget(store, "user-1")
    assert receipt.set_aside
    assert all("_unknown/month=" in each for each in receipt.set_aside)
    assert forget(store, "nobody").set_aside == []


def test_what_a_killed_run_left_is_removed_only_while_its_sessions_are_somewhere_else(
    store: Store, tmp_path: Path
) -> None:
    store.sessions.insert_many(sessions(4))

    def stop(step: str) -> None:
        if step == "verified":
            raise KeyboardInterrupt

    from llmtrack.store.archive.move import run

    folder = tmp_path / "archive"
    with pytest.raises(KeyboardInterrupt):
        run(store, open_folder(str(folder)), small(), step=stop)
    left = files(folder)
    assert any(path.endswith(".parquet") for path in left)
    lost = store.sessions.find_one_and_delete({"session_id": "s1"}) or {}
    store.sessions.delete_one({"session_id": "s0"})
    with pytest.raises(LlmtrackError, match="may hold the only copy"):
        move(store, folder)
    assert files(folder) == left
    store.sessions.insert_many([lost, session(0)])
    assert len(move(store, folder).cleaned) == 2
    assert counted(store, folder) == {f"s{number}": 1 for number in range(4)}
