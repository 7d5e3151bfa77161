"""The embedded server: started by the first, joined by the others, ended after the last, unhurt by SIGKILL."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect, OperationFailure

from llmtrack.errors import StoreUnavailable
from llmtrack.store.database import embedded
from llmtrack.store.database.sessions import Store

MANY = """
import os, sys
from pathlib import Path
import pymongo  # once for all of them
from llmtrack.store.database.embedded import ensure

children = []
for _ in range(100):
    child = os.fork()
    if not child:
        os.write(1, (ensure(Path(sys.argv[1]), 2) + chr(10)).encode())
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "with a space"
    yield folder
    with contextlib.suppress(FileNotFoundError):
        kill(folder, signal.SIGTERM)


def state(folder: Path) -> dict:
    return json.loads((folder / "embedded.json").read_text())


def kill(folder: Path, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(state(folder)["pid"], number)


def wait_until(condition, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def gone(pid: int) -> bool:
    """Ended, or a zombie nobody has waited for."""
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def test_a_hundred_that_begin_at_once_in_a_fresh_folder_end_up_with_one_server(folder: Path) -> None:
    command = [sys.executable, "-c", MANY, str(folder)]
    answers = subprocess.run(command, capture_output=True, text=True, timeout=200, check=True).stdout.splitlines()
    assert answers == [embedded.uri(state(folder)["port"])] * 100


def test_it_ends_after_its_last_user_and_keeps_the_data(folder: Path) -> None:
    with Store(embedded.ensure(folder, linger_s=0.5)) as store:
        store.start({"session_id": "s", "user_id": "u"})
        first = state(folder)["pid"]
        time.sleep(1.5)
        assert not gone(first), "it ended under a connected user"
    wait_until(lambda: gone(first))
    with Store(embedded.ensure(folder, linger_s=0.5)) as store:
        assert store.find("s")["user_id"] == "u"
        assert state(folder)["pid"] != first


# From here on the linger is longer than a client needs to connect, or to connect again, on a busy machine.


def test_a_killed_server_comes_back_at_its_address_with_every_acknowledged_write(folder: Path) -> None:
    with Store(embedded.ensure(folder, linger_s=8)) as store:
        store.start({"session_id": "s", "user_id": "u"})
        for n in range(1, 201):
            store.append("s", [{"n": n, "t": n, "type": "click", "data": {}}])
        before = state(folder)
        kill(folder, signal.SIGKILL)
        wait_until(lambda: state(folder)["pid"] != before["pid"])
        assert state(folder)["port"] == before["port"]
        assert len(store.find("s")["events"]) == 200


def test_a_server_whose_keeper_was_killed_too_is_started_anew(folder: Path) -> None:
    with Store(embedded.ensure(folder, linger_s=30)) as store:
        store.start({"session_id": "s", "user_id": "u"})
    orphan, keeper = state(folder)["pid"], state(folder)["keeper"]
    # the worst moment: it has started the server and not yet written down which
    (folder / "embedded.json").write_text(json.dumps({**state(folder), "pid": keeper}))
    os.kill(keeper, signal.SIGKILL)
    wait_until(lambda: not embedded._keeper_lives(folder))  # its last thread is gone, and its lock with it
    with Store(embedded.ensure(folder, linger_s=8)) as store:
        assert store.find("s")["user_id"] == "u"
    assert state(folder)["pid"] != orphan
    wait_until(lambda: gone(orphan))


def test_in_a_folder_that_others_may_enter_the_files_are_private_and_no_module_is_imported(folder: Path) -> None:
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "mongo").mkdir(mode=0o755)
    ran = folder / "ran"
    for name in ("random", "json", "bson", "llmtrack", "secantus", "sitecustomize"):
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write({name!r})\n")
    before = set(folder.rglob("*"))
    with Store(embedded.ensure(folder, linger_s=0.5)) as store:
        store.start({"session_id": "s", "user_id": "u"})
        found = [path for path in folder.rglob("*") if path not in before or path.name == "mongo"]
        assert not ran.exists()
        assert len(found) > 5
        readable = [path for path in found if path.stat().st_mode & 0o077]
        assert readable == []


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreUnavailable, match="LLMTRACK_DATA_DIR"):
        embedded.ensure(tmp_path / "file")


def test_a_missing_extra_says_how_to_install_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(StoreUnavailable, match=r"pip install 'llmtrack\[embedded\]', or set MONGODB_URI"):
        embedded.ensure(tmp_path)


def test_a_server_that_answers_and_stores_nothing_any_more_is_started_anew(folder: Path) -> None:
    """A limit on the size of its files stands for a full disk; the next server does not have it."""
    with Store(embedded.ensure(folder, linger_s=20)) as store:
        store.start({"session_id": "s", "user_id": "u"})
        before = state(folder)
        resource.prlimit(before["pid"], resource.RLIMIT_FSIZE, (1, 1))
        wait_until(lambda: state(folder)["pid"] != before["pid"], 40)
        assert "it is started anew" in (folder / "embedded.log").read_text()
        assert state(folder)["port"] == before["port"]
        assert store.find("s")["user_id"] == "u"
        store.start({"session_id": "t", "user_id": "u"})


def test_killed_together_with_its_keeper_it_comes_back_for_whoever_needs_it(folder: Path) -> None:
    with Store(embedded.ensure(folder, linger_s=20)) as store:
        store.start({"session_id": "s", "user_id": "u"})
        before = state(folder)
        for pid in (before["keeper"], before["pid"]):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not embedded._keeper_lives(folder))
        embedded.revive(folder, 20)
        embedded.revive(folder, 20)
        wait_until(lambda: state(folder)["pid"] != before["pid"], 30)
        assert state(folder)["port"] == before["port"]
        assert store.find("s")["user_id"] == "u"


class Scripted:
    """A client whose server does what `faults` say, one after the other; None is well."""

    def __init__(self, *faults: Exception | None) -> None:
        self.faults = list(faults)
        self.written: dict = {}

    def __getitem__(self, name: str) -> Scripted:
        return self

    def with_options(self, **options: object) -> Scripted:
        return self

    def replace_one(self, which: dict, document: dict, upsert: bool) -> None:
        if fault := self.faults.pop(0):
            raise fault
        self.written = document

    def find_one(self, which: dict) -> dict:
        return self.written


@pytest.mark.parametrize(
    ("fault", "patience_s"), [(AutoReconnect("silent"), 60), (OperationFailure("No space left"), 6)]
)
def test_a_busy_server_is_given_more_time_than_one_that_refuses(
    fault: Exception, patience_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr("llmtrack.store.database.embedded.time.monotonic", lambda: now[0])
    probe, client = embedded._Probe(), Scripted(*[fault] * 2, None, *[fault] * 100)
    ended = []
    for second in range(0, 100):
        now[0] = float(second)
        if probe.wrong(client):  # type: ignore[arg-type]
            ended.append(second)
    assert patience_s < ended[0] - 6 <= patience_s + 4


def test_a_server_whose_folder_was_deleted_ends(folder: Path) -> None:
    with Store(embedded.ensure(folder, linger_s=0.5)) as store:
        store.ping()
        left = state(folder)["pid"]
    shutil.rmtree(folder, ignore_errors=True)
    wait_until(lambda: gone(left), 30)
