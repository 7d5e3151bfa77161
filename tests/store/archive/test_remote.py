"""An archive in an object store, on a real S3 endpoint (moto's server): nothing there can be renamed or appended to."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from llmtrack.config import Settings
from llmtrack.errors import LlmtrackError
from llmtrack.store.archive.folder import Folder, open_folder
from llmtrack.store.archive.forget import forget
from llmtrack.store.archive.manifest import Manifest
from llmtrack.store.archive.move import run
from llmtrack.store.archive.restore import restore
from llmtrack.store.archive.verify import verify
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.archive import ArchiveSource
from llmtrack.store.sources.open import open_source
from tests.processes import free_port
from tests.store.archive.world import raw, sessions, small


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    log = (tmp_path_factory.mktemp("s3") / "log").open("w")
    with subprocess.Popen([sys.executable, "-m", "moto.server", "-p", str(port)], stdout=log, stderr=log) as server:
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"{url}/moto-api", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, Path(log.name).read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
        yield f"127.0.0.1:{port}"
        server.terminate()
    log.close()


@pytest.fixture
def url(endpoint: str, database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an archive in a bucket of this test's own; keys come from the environment, as S3's tools have it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    bucket = database.replace("_", "-")
    options = f"scheme=http&endpoint_override={endpoint}&region=us-east-1"
    made, _ = fs.FileSystem.from_uri(f"s3://{bucket}?{options}&allow_bucket_creation=true")
    made.create_dir(bucket)
    return f"s3://{bucket}/archive?{options}"


@pytest.fixture
def folder(url: str) -> Folder:
    return open_folder(url)


def ids(folder: Folder) -> list[str]:
    return sorted(document["session_id"] for document in ArchiveSource(folder).documents())


def test_sessions_move_to_s3_are_read_there_and_come_back(
    store: Store, folder: Folder, url: str, settings: Settings
) -> None:
    store.sessions.insert_many(sessions(20))
    before = raw(store)
    moved = run(store, folder, small())
    assert (moved.sessions, moved.deleted) == (20, 20)
    assert raw(store) == {}
    with open_source(url, settings) as source:
        assert source.name == url.partition("?")[0]
        assert len(list(source.documents())) == 20
        assert sum(len(batch.counts) for batch in source.batches(fields=["text"])) == 20
        assert source.get("s7")
        assert len(source.find("s1")) == 10
    assert verify(folder).damaged == []
    assert restore(store, folder).restored == 20
    assert raw(store) == before


def test_a_part_is_seen_by_the_manifest_alone_whatever_step_the_run_ended_at(store: Store, folder: Folder) -> None:
    store.sessions.insert_many(sessions(6))
    steps: list[str] = []
    run(store, folder, small(keep=True), step=steps.append)
    assert "renamed" not in steps
    store.sessions.delete_many({})
    store.sessions.insert_many(
        [{**each, "_id": f"n{each['_id']}", "session_id": f"n{n}"} for n, each in enumerate(sessions(6))]
    )

    for number in range(2, 20):
        try:
            run(store, folder, small(), step=stop_at(number))
        except KeyboardInterrupt:
            there = {*ids(folder), *raw(store)}
            assert there == {f"s{number}" for number in range(6)} | {f"n{number}" for number in range(6)}
    run(store, folder, small())
    assert not raw(store)
    assert len(ids(folder)) == 12
    named = {path for state in Manifest(folder).parts.values() for path in state.part.files}
    assert {path for path in folder.files() if path.startswith("month=")} == named


def stop_at(number: int) -> Callable[[str], None]:
    steps: list[str] = []

    def stop(step: str) -> None:
        steps.append(step)
        if len(steps) == number:
            raise KeyboardInterrupt

    return stop


def test_a_user_is_forgotten_in_s3(store: Store, folder: Folder) -> None:
    store.sessions.insert_many(sessions(10))
    run(store, folder, small())
    receipt = forget(store, "user-1", [folder])
    assert receipt.archives[0]["sessions"] == 2
    assert ids(folder) == sorted(f"s{number}" for number in range(10) if number % 5 != 1)


def test_a_bucket_that_is_not_there_is_one_line_and_nothing_is_deleted(store: Store, url: str) -> None:
    store.sessions.insert_many(sessions(3))
    with pytest.raises(LlmtrackError, match=r"There is no bucket for 's3://missing/archive'\. Create it first\."):
        run(store, open_folder(f"s3://missing/archive?{url.partition('?')[2]}"), small())
    assert store.sessions.count_documents({}) == 3


def test_keys_in_a_url_are_never_shown(url: str) -> None:
    secret = url.replace("s3://", "s3://key:hidden@")
    assert "hidden" not in open_folder(secret).at("x")
