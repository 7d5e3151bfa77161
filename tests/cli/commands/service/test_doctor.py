"""`llmtrack doctor`: what works is called ok, what does not is named with what to do."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from werkzeug.serving import make_server

from llmtrack.cli import main
from llmtrack.cli.checks.examine import _compared, check_store
from llmtrack.collector.app import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings, load_settings
from llmtrack.store.database.sessions import Store

Found = dict[str, dict[str, str]]
WALK = ["session: start", "session: events", "session: end", "session: read back", "cleaned up"]


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch, mongodb_uri: str) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)


@pytest.fixture
def serve() -> Iterator[Callable[[Flask], str]]:
    """Serve an application on a free port until the test ends; returns its address."""
    servers = []

    def start(app: Flask) -> str:
        server = make_server("127.0.0.1", 0, app, threaded=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def collector(settings: Settings, store: Store) -> Flask:
    return create_app(settings, store, ChatClient(settings))


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


def examine(capsys: pytest.CaptureFixture[str], url: str) -> tuple[int, Found]:
    with pytest.raises(SystemExit) as exited:
        main(["doctor", "--url", url, "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    code = int(exited.value.code or 0)
    assert document["ok"] == (code == 0)
    return code, {check["check"]: check for check in document["checks"]}


def test_all_is_well_with_a_running_collector_and_nothing_is_left_behind(
    capsys: pytest.CaptureFixture[str], serve: Callable[[Flask], str], collector: Flask, store: Store
) -> None:
    code, found = examine(capsys, serve(collector) + "/")
    assert code == 0
    assert list(found) == [
        "configuration", "group demo", "store", "store writable", "indexes", "saved chats", "clock", "spool",
        "collector", "tracker", *WALK,
    ]  # fmt: skip
    assert {check["status"] for check in found.values()} == {"ok"}
    assert store.sessions.count_documents({}) == 0


def test_a_collector_that_does_not_run_is_a_finding(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    url = nobody()
    code, found = examine(capsys, url)
    assert code == 1
    assert found["collector"]["status"] == "failed"
    assert url in found["collector"]["finding"]
    assert "llmtrack serve" in found["collector"]["advice"]
    assert "session: start" not in found


@pytest.mark.parametrize("url", ["nonsense", "http://[", "ftp://127.0.0.1"])
def test_an_address_that_is_none_is_a_finding(capsys: pytest.CaptureFixture[str], store: Store, url: str) -> None:
    code, found = examine(capsys, url)
    assert (code, found["collector"]["status"]) == (1, "failed")


def test_the_table_says_what_to_do(capsys: pytest.CaptureFixture[str], store: Store) -> None:
    with pytest.raises(SystemExit):
        main(["doctor", "--url", nobody()])
    out, err = capsys.readouterr()
    assert "Start it with: llmtrack serve; or name it with --url." in out
    assert err == "1 check failed.\n"


def test_a_store_that_does_not_answer_is_a_finding(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    code, found = examine(capsys, nobody())
    assert (code, found["store"]["status"], found["collector"]["status"]) == (1, "failed", "skipped")
    assert "MONGODB_URI" in found["store"]["advice"]


def test_an_embedded_server_that_grew_large_is_a_warning(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.start({"session_id": "s", "user_id": "u"})
    monkeypatch.setattr("llmtrack.cli.checks.examine.EMBEDDED_BYTES", 100)
    embedded, mongodb = load_settings(mongodb_uri=None), load_settings(mongodb_uri="mongodb://db.example.org")
    found = [next(iter(check_store(settings, store))) for settings in (embedded, mongodb)]
    assert [check.status for check in found] == ["warning", "ok"]
    assert "GB of memory" in found[0].finding
    assert "MongoDB" in found[0].advice


def test_a_configuration_that_cannot_be_read_is_a_finding(capsys: pytest.CaptureFixture[str]) -> None:
    Path("llmtrack.toml").write_text("[experiments.a]\ngroups = []\n")
    code, found = examine(capsys, nobody())
    assert code == 1
    assert list(found) == ["configuration"]
    assert "llmtrack.toml" in found["configuration"]["advice"]


def test_missing_indexes_are_a_warning_and_no_failure(
    capsys: pytest.CaptureFixture[str], serve: Callable[[Flask], str], collector: Flask, store: Store
) -> None:
    store.sessions.drop_index("user_id_1")
    code, found = examine(capsys, serve(collector))
    assert (code, found["indexes"]["status"]) == (0, "warning")
    assert found["indexes"]["finding"] == "missing: user_id"


GROUPS: dict[str, tuple[str, str, str]] = {  # llmtrack.toml of the group, status, what the finding or advice says
    "no key": ('model = "m"', "failed", "Set OPENAI_API_KEY"),
    "a key under a name of its own": ('model = "m"\napi_key_env = "MY_KEY"', "ok", "key set, OpenAI"),
    "a key that is missing": ('model = "m"\napi_key_env = "OTHER_KEY"', "failed", "Set OTHER_KEY"),
    "a server of one's own": ('model = "m"\nbase_url = "http://127.0.0.1:11434/v1"', "ok", "no key, http://127"),
    "the demo": ('model = "demo"\nprovider = "demo"', "ok", "no key needed"),
}


@pytest.mark.parametrize(("toml", "status", "says"), GROUPS.values(), ids=GROUPS)
def test_each_group_needs_something_to_answer_with(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    store: Store,
    toml: str,
    status: str,
    says: str,
) -> None:
    monkeypatch.setenv("MY_KEY", "sk-secret")
    Path("llmtrack.toml").write_text(f'[[experiments.e.groups]]\nname = "g"\n{toml}\n')
    _, found = examine(capsys, nobody())
    check = found["group g"]
    assert check["status"] == status
    assert says in f"{check['finding']} {check['advice']}"
    assert "sk-secret" not in str(found)


def test_a_collector_of_another_store_is_a_finding(
    capsys: pytest.CaptureFixture[str],
    serve: Callable[[Flask], str],
    collector: Flask,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LLMTRACK_DATABASE", f"{store.database.name}_other")
    code, found = examine(capsys, serve(collector))
    assert (code, found["session: read back"]["status"]) == (1, "failed")
    assert "another store" in found["session: read back"]["finding"]
    assert found["cleaned up"]["status"] == "warning"
    store.client.drop_database(f"{store.database.name}_other")


def test_a_collector_that_stores_retries_twice_is_a_finding(
    capsys: pytest.CaptureFixture[str], serve: Callable[[Flask], str], store: Store
) -> None:
    app = Flask("broken")
    now_ms = datetime.now(UTC).timestamp() * 1000

    @app.get("/<path:_>")
    def get(_: str) -> str:
        return "fine"

    @app.post("/api/session/start")
    def start() -> Any:
        known = {"session_id": "s", "model_group": "g", "experiment_id": "e"}
        return {**known, "server_time": now_ms, "token": "t"}, 201

    @app.post("/api/session/event")
    def event() -> Any:
        return {"accepted": len(request.get_json()["events"])}, 202

    code, found = examine(capsys, serve(app))
    assert code == 1
    assert found["tracker"]["status"] == "failed"
    assert found["session: events"]["finding"] == "11 accepted of 5 sent in three overlapping batches"
    assert "session: end" not in found


@pytest.mark.parametrize(("off_s", "says"), [(7200.0, "7,200.0 s ahead of"), (-3.0, "3.0 s behind")])
def test_clocks_that_disagree_are_a_warning(off_s: float, says: str) -> None:
    check = _compared("clock", "the database", off_s)
    assert check.status == "warning"
    assert says in check.finding


def test_what_could_not_be_deleted_is_left_out(
    serve: Callable[[Flask], str],
    collector: Flask,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Store, "delete", lambda self, session_id: False)
    examine(capsys, serve(collector))
    assert store.sessions.count_documents({}) == 2
    for command, count in (("sessions", "matched"), ("dropoff", "sessions")):
        with pytest.raises(SystemExit):
            main([command, "--format", "json"])
        assert json.loads(capsys.readouterr().out)[count] == 0
