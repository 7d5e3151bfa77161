"""`llmtrack demo` on an embedded server of its own: filled once, nothing of the user's touched, ended by Ctrl-C."""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from llmtrack.cli import main
from llmtrack.cli.commands.service.demo import FRESH, OWN_DATABASE, SAMPLES, _fill
from llmtrack.store.database import embedded
from llmtrack.store.database.sessions import DEFAULT_DATABASE, Store


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder whose embedded server all tests here share: it starts once."""
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(autouse=True)
def uri(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("LLMTRACK_DATA_DIR", str(home))
    monkeypatch.setenv("LLMTRACK_EMBEDDED_LINGER_S", "5")
    uri = embedded.ensure(home, linger_s=5)
    with Store(uri) as store:  # keeps the server from ending between two commands
        store.ping()
        for database in (DEFAULT_DATABASE, OWN_DATABASE):
            store.client.drop_database(database)
        yield uri


@pytest.fixture
def inside(uri: str) -> Iterator[Callable[[str], Any]]:
    """The sessions of a database of the embedded server."""
    with Store(uri) as store:
        yield lambda database: store.client[database]["sessions"]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    with pytest.raises(SystemExit) as exited:
        main(["demo", *arguments])
    assert not exited.value.code
    return capsys.readouterr().out


def test_it_fills_the_default_database_shows_a_visit_and_says_what_to_try(
    capsys: pytest.CaptureFixture[str], inside: Callable[[str], Any]
) -> None:
    out = run(capsys, "--no-serve")
    count = inside(DEFAULT_DATABASE).count_documents({})
    assert count == inside(DEFAULT_DATABASE).count_documents(SAMPLES) > 500
    assert out.startswith(f"{count} sample sessions in the database {DEFAULT_DATABASE} of the embedded server")
    for said in ("asked", "answered", "selected", "copied", "new chat", "Try next"):
        assert said in out
    assert "The chat page" not in out


def test_a_second_run_adds_nothing(capsys: pytest.CaptureFixture[str], inside: Callable[[str], Any]) -> None:
    first = run(capsys, "--no-serve")
    ids = set(inside(DEFAULT_DATABASE).distinct("session_id"))
    assert run(capsys, "--no-serve") == first
    assert set(inside(DEFAULT_DATABASE).distinct("session_id")) == ids


def test_old_or_incomplete_samples_are_made_anew_and_other_visits_stay(uri: str, inside: Callable[[str], Any]) -> None:
    now = datetime.now(UTC)
    sessions = inside(DEFAULT_DATABASE)
    with Store(uri) as store:
        _fill(store, now - FRESH - timedelta(days=30))
        old = set(sessions.distinct("session_id"))
        sessions.insert_one({"_id": "mine", "session_id": "mine"})
        _fill(store, now)
        assert not old & set(sessions.distinct("session_id"))
        sessions.delete_one(SAMPLES)
        _fill(store, now)
    assert sessions.count_documents(SAMPLES) == len(old)
    assert sessions.count_documents({"session_id": "mine"}) == 1


def test_sessions_of_the_users_own_are_not_mixed_with_samples(
    capsys: pytest.CaptureFixture[str], inside: Callable[[str], Any]
) -> None:
    inside(DEFAULT_DATABASE).insert_one({"session_id": "mine"})
    out = run(capsys, "--no-serve")
    assert f"in the database {OWN_DATABASE}" in out
    assert inside(DEFAULT_DATABASE).count_documents({}) == 1
    assert inside(OWN_DATABASE).count_documents(SAMPLES) > 500


def test_a_configured_database_is_never_touched(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    inside: Callable[[str], Any],
    mongodb_uri: str,
    store: Store,
) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    before = store.client.list_database_names()
    out = run(capsys, "--no-serve")
    assert store.client.list_database_names() == before
    assert store.sessions.count_documents({}) == 0
    assert inside(DEFAULT_DATABASE).count_documents(SAMPLES) > 500
    assert "--source 'mongodb://127.0.0.1:" in out


def test_clear_removes_the_samples_and_nothing_else(
    capsys: pytest.CaptureFixture[str], inside: Callable[[str], Any]
) -> None:
    run(capsys, "--no-serve")
    inside(DEFAULT_DATABASE).insert_one({"session_id": "mine"})
    assert re.fullmatch(r"Removed \d+ sample sessions\.\n", run(capsys, "--clear"))
    assert inside(DEFAULT_DATABASE).distinct("session_id") == ["mine"]


@pytest.mark.parametrize("configured", [False, True], ids=["nothing configured", "MONGODB_URI set"])
def test_the_commands_it_names_work_as_they_stand(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mongodb_uri: str, configured: bool
) -> None:
    if configured:
        monkeypatch.setenv("MONGODB_URI", mongodb_uri)
    out = run(capsys, "--no-serve")
    commands = re.findall(r"^  (\S.*)$", out.split("Try next")[1], flags=re.MULTILINE)
    assert len(commands) >= 4
    name = shlex.split(commands[0].partition(" sessions")[0])
    done = subprocess.run(shlex.split(commands[0]), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, (commands[0], done.stderr)
    assert len(done.stdout) > 100, commands[0]
    for command in commands[1:]:  # in this process: each start would load pandas anew
        words = shlex.split(command)
        assert words[: len(name)] == name
        with pytest.raises(SystemExit) as exited:
            main(words[len(name) :])
        assert exited.value.code == 0, command
        assert len(capsys.readouterr().out) > 100, command


def test_a_port_that_is_taken_is_one_clear_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit) as exited:
            main(["demo", "--port", str(port)])
    out, err = capsys.readouterr()
    assert (exited.value.code, out) == (2, "")
    assert err.startswith(f"llmtrack: Cannot listen on 127.0.0.1:{port}")


def test_it_serves_the_page_at_the_address_it_names_and_leaves_with_ctrl_c(inside: Callable[[str], Any]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "llmtrack", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OPENAI_API_KEY": "sk-not-to-be-spent"},
    ) as process:
        try:
            assert process.stdout
            told = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stdout)
            address = next((found[0] for found in told if found), None)
            assert address
            assert 'data-experiment="production_v1"' in _get(address)
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "Traceback" not in err


def _get(address: str) -> str:
    """The page, as soon as somebody answers: the address is told a moment before."""
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                page: str = answer.read().decode()
                return page
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
