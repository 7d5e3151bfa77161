"""What can go wrong around an archive: each is one clear line, and nothing is deleted that is not archived."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from llmtrack.errors import LlmtrackError, StoreUnavailable, UsageError
from llmtrack.store.archive import manifest
from llmtrack.store.archive.folder import open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import run
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.archive import ArchiveSource
from tests.store.archive.world import archived, check_all_there, move, session, sessions, small


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "archive"


def the_part(folder: Path) -> Path:
    return next(folder.glob("month=*/part-*.parquet"))


def flip(path: Path, place: float = 0.5) -> None:
    content = bytearray(path.read_bytes())
    content[int(len(content) * place)] ^= 0x20
    path.write_bytes(content)


def flip_document(path: Path) -> None:
    """Flip a byte in the middle of the column that holds the documents."""
    group = pq.read_metadata(path).row_group(0)
    column = next(c for i in range(group.num_columns) if (c := group.column(i)).path_in_schema == "document")
    start = column.dictionary_page_offset or column.data_page_offset
    flip(path, (start + column.total_compressed_size // 2) / path.stat().st_size)


def at(step: str, do: Callable[[], object]) -> Callable[[str], None]:
    return lambda name: do() and None if name == step else None


@pytest.mark.parametrize("place", [0.02, 0.3, 0.5, 0.9, 0.999])
def test_a_byte_flipped_before_the_part_is_verified_costs_nothing(store: Store, folder: Path, place: float) -> None:
    store.sessions.insert_many(sessions(10))
    with pytest.raises(LlmtrackError, match="does not hold what was written to it"):
        run(store, open_folder(str(folder)), small(), step=at("index written", lambda: flip(the_part(folder), place)))
    assert store.sessions.count_documents({}) == 10
    move(store, folder)
    check_all_there(store, folder, {f"s{number}" for number in range(10)})
    assert verify(open_folder(str(folder))).damaged == []


def test_a_byte_flipped_before_the_deletion_of_a_killed_run_is_noticed(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(10))

    def stop(step: str) -> None:
        if step == "recorded":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(store, open_folder(str(folder)), small(), step=stop)
    flip(the_part(folder))
    with pytest.raises(LlmtrackError, match=r"its content has changed \(SHA-256\)\. Nothing was deleted"):
        move(store, folder)
    assert store.sessions.count_documents({}) == 10


DAMAGE: dict[str, tuple[Callable[[Path], object], str]] = {
    "flipped": (lambda folder: flip(the_part(folder)), "its content has changed (SHA-256)"),
    "cut": (lambda folder: os.truncate(the_part(folder), 500), "500 bytes instead of"),
    "missing": (lambda folder: the_part(folder).unlink(), "missing"),
    "index flipped": (lambda folder: flip(next(folder.glob("month=*/_part*"))), ".ids: its content has changed"),
}


@pytest.mark.parametrize(("harm", "named"), DAMAGE.values(), ids=DAMAGE)
def test_verify_names_what_is_damaged(store: Store, folder: Path, harm: Callable[[Path], object], named: str) -> None:
    store.sessions.insert_many(sessions(10))
    move(store, folder)
    harm(folder)
    damaged = verify(open_folder(str(folder))).damaged
    assert len(damaged) == 1
    assert named in damaged[0]
    assert damaged[0].startswith("month=")


@pytest.mark.parametrize("name", ["flipped", "cut", "missing"])
def test_readers_say_which_file_is_damaged(store: Store, folder: Path, name: str) -> None:
    store.sessions.insert_many(sessions(5))
    move(store, folder)
    for path in folder.glob("month=*/part*"):
        if name == "missing":
            path.unlink()
        elif name == "cut":
            os.truncate(path, 500)
        else:
            flip_document(path)
    source = ArchiveSource(open_folder(str(folder)))
    with pytest.raises(LlmtrackError, match=r"part-.*parquet' is (damaged|not there)"):
        list(source.documents())
    with pytest.raises(LlmtrackError, match=r"part-.*parquet' is (damaged|not there)"):
        restore(store, open_folder(str(folder)))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_damaged_index_never_hides_a_session(store: Store, folder: Path, place: float) -> None:
    store.sessions.insert_many(sessions(5))
    move(store, folder, keep=True)
    flip(next(folder.glob("month=*/_part*")), place)
    source = ArchiveSource(open_folder(str(folder)))
    for use in (lambda: source.get("none"), lambda: source.find("s"), lambda: move(store, folder)):
        with pytest.raises(LlmtrackError, match=r"\.ids' is damaged: its content has changed"):
            use()
    assert store.sessions.count_documents({}) == 5


def test_a_damaged_line_of_the_manifest_is_named_and_stops_everything(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(5))
    move(store, folder)
    flip(folder / "_manifest.jsonl", 0.3)
    store.sessions.insert_many(sessions(2))
    for use in (lambda: archived(folder), lambda: move(store, folder), lambda: verify(open_folder(str(folder)))):
        with pytest.raises(LlmtrackError, match=r"Line \d of '.*_manifest.jsonl' is damaged"):
            use()
    assert store.sessions.count_documents({}) == 2


def test_a_line_of_the_manifest_that_was_cut_off_counts_as_not_written(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(4))
    move(store, folder)
    manifest = folder / "_manifest.jsonl"
    whole = manifest.read_bytes()
    for cut in (1, 30, 200):
        manifest.write_bytes(whole[:-cut])
        assert sorted(archived(folder)) == ["s0", "s1", "s2", "s3"]
    move(store, folder)
    lines = [json.loads(line) for line in manifest.read_bytes().split(b"\n")[:-1]]
    assert [line["record"] for line in lines] == ["archive", "writing", "part", "deleted", "writing", "part", "deleted"]


def test_files_without_sessions_that_no_manifest_names_are_cleaned(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(4))
    move(store, folder)
    part = the_part(folder)
    beside = part.with_name(".part-20200101T000000-abcdef-2.parquet.writing")
    beside.write_bytes(b"PAR1")
    index = part.with_name("_part-20200101T000000-abcdef-2.ids")
    index.write_bytes(b"")
    mine = folder / "README"
    mine.write_text("not llmtrack's")
    moved = move(store, folder)
    assert (len(moved.cleaned), moved.foreign) == (2, ["README"])
    assert not beside.exists()
    assert not index.exists()
    assert mine.exists()


def test_a_part_that_is_not_the_one_of_the_manifest_is_neither_read_nor_restored(store: Store, folder: Path) -> None:
    other = folder.with_name("other")
    for place in (folder, other):
        store.sessions.insert_many(sessions(5))
        move(store, place)
    part, theirs = the_part(folder), the_part(other)
    part.write_bytes(theirs.read_bytes())  # as good as the one that was there, but not that one
    opened = open_folder(str(folder))
    source = ArchiveSource(opened)
    for use in (
        lambda: list(source.documents()),
        lambda: list(source.batches()),
        lambda: list(source.heads()),
        lambda: restore(store, opened),
        lambda: forget(store, "user-1"),
    ):
        with pytest.raises(LlmtrackError, match=r"is damaged: (its content has changed|.* bytes instead of)"):
            use()
    assert store.sessions.count_documents({}) == 0


def linked(folder: Path) -> None:
    """The month of another archive stands in for the own one."""
    month = next(folder.glob("month=*"))
    shutil.copytree(month, folder.with_name("other"))
    shutil.rmtree(month)
    month.symlink_to(folder.with_name("other"), target_is_directory=True)


def linked_part(folder: Path) -> None:
    part = the_part(folder)
    part.rename(folder.with_name("part"))
    part.symlink_to(folder.with_name("part"))


@pytest.mark.parametrize("link", [linked, linked_part])
def test_links_are_not_followed(store: Store, folder: Path, link: Callable[[Path], None]) -> None:
    store.sessions.insert_many([session(1), session(2)])
    move(store, folder)
    link(folder)
    opened = open_folder(str(folder))
    for use in (lambda: archived(folder), lambda: forget(store, "user-1"), lambda: restore(store, opened)):
        with pytest.raises(LlmtrackError, match="is a link, and an archive holds none"):
            use()
    assert [path for path in folder.parent.rglob("*part*") if path.is_file() and not path.is_symlink()]


PART = {
    "record": "part",
    "path": "month=2026-08/part-x.parquet",
    "sessions": 2,
    "events": 3,
    "first_start": 1.0,
    "last_start": 2.5,
    "bytes": 10,
    "sha256": "0" * 64,
    "ids_bytes": 10,
    "ids_sha256": "0" * 64,
    "keep": False,
    "drops": [],
}
FIRST = {"record": "archive", "format": 1, "id": "a"}
ODD_LINES: dict[str, list[dict[str, Any]]] = {
    "out of the archive": [FIRST, PART | {"path": "../other/month=2026-08/part-x.parquet"}],
    "an absolute path": [FIRST, PART | {"path": "/etc/passwd"}],
    "up out of a month": [FIRST, PART | {"path": "month=2026-08/../../part-x.parquet"}],
    "no path": [FIRST, PART | {"path": None}],
    "a path that is a list": [FIRST, PART | {"path": ["month=2026-08/part-x.parquet"]}],
    "no hash": [FIRST, {key: value for key, value in PART.items() if key != "sha256"}],
    "sessions below none": [FIRST, PART | {"sessions": -1}],
    "a start that is no number": [FIRST, PART | {"first_start": "x"}],
    "a start without end": [FIRST, PART | {"first_start": float("inf")}],
    "no first line": [PART],
    "two first lines": [FIRST, FIRST],
    "another format": [FIRST | {"format": 2}],
    "an id that is a path": [FIRST | {"id": "../x"}],
    "no id": [{"record": "archive", "format": 1}],
    "no record": [{}],
    "a part twice": [FIRST, PART, PART],
    "deleted, and never there": [FIRST, {"record": "deleted", "path": PART["path"]}],
    "instead of nothing": [FIRST, PART | {"record": "rewritten", "instead_of": "x"}],
    "drops of nothing": [FIRST, PART | {"drops": [{"path": "x", "rows": [1]}]}],
    "rows that are not there": [FIRST, PART | {"drops": [{"path": PART["path"], "rows": [2]}]}],
    "rows that are text": [FIRST, PART | {"drops": [{"path": PART["path"], "rows": ["1"]}]}],
    "drops without rows": [FIRST, PART | {"drops": [{}]}],
    "drops that are a number": [FIRST, PART | {"drops": 7}],
    "no time": [FIRST | {"at": None}],
    "a time without zone": [FIRST | {"at": "2026-01-01T00:00:00"}],
}


@pytest.mark.parametrize("lines", ODD_LINES.values(), ids=ODD_LINES)
def test_a_manifest_that_cannot_be_is_one_line(folder: Path, lines: list[dict[str, Any]]) -> None:
    folder.mkdir()
    (folder / "_manifest.jsonl").write_text("".join(f"{json.dumps(signed(line))}\n" for line in lines))
    with pytest.raises(LlmtrackError) as raised:
        Manifest(open_folder(str(folder)))
    assert "_manifest.jsonl" in raised.value.message
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500


def signed(line: dict[str, Any]) -> dict[str, Any]:
    line = {"at": "2026-01-01T00:00:00Z"} | line
    return line | {"check": manifest._check(line)}


@pytest.mark.parametrize(
    "content",
    [
        b"[1]\n",
        b"7\n",
        b"null\n",
        b"\n",
        b"\xff\xfe\n",
        b"[" * 100_000 + b"\n",
        b'{"check": 1}\n',
        b'{"a": "\\ud800"}\n',
    ],
    ids=repr,
)
def test_a_manifest_of_something_else_is_one_line(folder: Path, content: bytes) -> None:
    folder.mkdir()
    (folder / "_manifest.jsonl").write_bytes(content)
    with pytest.raises(LlmtrackError, match=r"Line 1 of '.*' is damaged"):
        Manifest(open_folder(str(folder)))


def test_a_disk_that_is_full_is_one_line_and_nothing_is_deleted(store: Store, mongodb_uri: str, folder: Path) -> None:
    store.sessions.insert_many(sessions(30))
    limited = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000)); "
        "from llmtrack.cli import main; main(sys.argv[1:])"
    )
    words = ["archive", "--older-than", "90d", "--to", str(folder)]
    done = subprocess.run(
        [sys.executable, "-c", limited, *words],
        env={**os.environ, "MONGODB_URI": mongodb_uri, "PYTHONDONTWRITEBYTECODE": "1"},  # else it cuts those files, too
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "llmtrack: Cannot write" in done.stderr
    assert "File too large" in done.stderr
    assert store.sessions.count_documents({}) == 30
    assert not list(folder.rglob("*.writing"))


def test_a_folder_that_cannot_be_made_or_written(store: Store, tmp_path: Path) -> None:
    store.sessions.insert_many(sessions(3))
    (tmp_path / "file").write_text("")
    for name in ("missing/archive", "file/archive", "file"):
        with pytest.raises(LlmtrackError, match=r"Cannot|not there"):
            move(store, tmp_path / name)
    with pytest.raises(LlmtrackError):
        move(store, Path("/proc/archive"))
    assert store.sessions.count_documents({}) == 3


def test_without_permission_nothing_is_deleted_and_what_may_be_read_is_read(store: Store) -> None:
    store.sessions.insert_many(sessions(4))
    with tempfile.TemporaryDirectory() as home:  # pytest's own folders are closed to others
        folder = Path(home) / "archive"
        move(store, folder, limit=2)
        for path in (Path(home), *Path(home).rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        with somebody_else():
            assert len(archived(folder)) == 2
            for place in (folder, Path(home) / "new"):
                with pytest.raises(LlmtrackError, match=r"Cannot (write|make) '.*': Permission denied\. Nothing was"):
                    move(store, place)
        assert store.sessions.count_documents({}) == 2
        the_part(folder).chmod(0)
        with somebody_else(), pytest.raises(LlmtrackError, match=r"Cannot read '.*part-.*': Permission denied"):
            archived(folder)
        for path in (Path(home), *Path(home).rglob("*")):
            path.chmod(0o755)


@contextlib.contextmanager
def somebody_else() -> Iterator[None]:
    """Without root's right to do everything: as nobody, where tests run as root."""
    mine = os.geteuid()
    os.seteuid(65534 if mine == 0 else mine)
    try:
        yield
    finally:
        os.seteuid(mine)


def test_an_archive_that_went_away_is_not_begun_anew(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(3))
    move(store, folder)
    folder.rename(folder.with_name("unmounted"))
    store.sessions.insert_many(sessions(3))
    with pytest.raises(LlmtrackError, match=r"is gone: .* moved sessions there, and it has no manifest. Is it mounted"):
        move(store, folder)
    assert store.sessions.count_documents({}) == 3


def test_an_older_manifest_does_not_cost_the_parts_that_it_does_not_name(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(4))
    move(store, folder, limit=2)
    backup = (folder / "_manifest.jsonl").read_bytes()
    move(store, folder)
    newest = (folder / "_manifest.jsonl").read_bytes()
    (folder / "_manifest.jsonl").write_bytes(backup)
    assert any(path.endswith(".parquet") for path in verify(open_folder(str(folder))).unnamed)
    for use in (lambda: move(store, folder), lambda: forget(store, "user-4")):
        with pytest.raises(
            LlmtrackError, match=r"is older than the archive: \d+ of \d+ lines; it does not name 'month="
        ):
            use()
    (folder / "_manifest.jsonl").write_bytes(newest)
    move(store, folder)
    check_all_there(store, folder, {f"s{number}" for number in range(4)})


def test_a_whole_archive_out_of_a_backup_is_used_again(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(4))
    move(store, folder, limit=2)
    shutil.copytree(folder, folder.with_name("backup"))
    move(store, folder)
    shutil.rmtree(folder)
    folder.with_name("backup").rename(folder)
    store.sessions.insert_one(session(7))
    move(store, folder)
    check_all_there(store, folder, {"s0", "s1", "s7"})


def test_a_database_that_is_gone(folder: Path) -> None:
    with pytest.raises(StoreUnavailable), Store("mongodb://127.0.0.1:9/x", timeout_s=0.2) as nowhere:
        move(nowhere, folder)
    assert not folder.exists()


@pytest.mark.parametrize(("days", "said"), [(3, "3 days, 0:00:00 ahead of"), (-3, "3 days, 0:00:00 behind")])
def test_a_wrong_clock_moves_nothing(store: Store, folder: Path, days: int, said: str) -> None:
    store.sessions.insert_many(sessions(3))
    with pytest.raises(LlmtrackError, match=f"This machine's clock is {said} the database server's"):
        run(store, open_folder(str(folder)), small(), clock=lambda: datetime.now(UTC) + timedelta(days=days))
    assert store.sessions.count_documents({}) == 3


def test_a_manifest_of_the_future_moves_nothing(store: Store, folder: Path) -> None:
    store.sessions.insert_many(sessions(3))
    folder.mkdir()
    Manifest(open_folder(str(folder))).begin(datetime.now(UTC) + timedelta(days=2))
    with pytest.raises(LlmtrackError, match="which is in the future"):
        move(store, folder)
    assert store.sessions.count_documents({}) == 3


def test_what_is_no_archive_is_wrong_usage(store: Store, folder: Path) -> None:
    for use in (verify, lambda each: restore(store, each)):
        with pytest.raises(UsageError, match="There is no archive at"):
            use(open_folder(str(folder)))
    for empty in ("", " ", "file://"):
        with pytest.raises(UsageError, match="is empty"):
            open_folder(empty)
    with pytest.raises(UsageError, match="is no text"):
        open_folder("a\udcff")  # as Python reads a name that is not in UTF-8
    with pytest.raises(UsageError, match="is no folder that works"):
        open_folder("gopher://x/y")
