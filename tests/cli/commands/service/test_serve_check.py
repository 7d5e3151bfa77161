"""`llmtrack serve --check`: what would hinder the collector is named, before anybody visits."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from llmtrack.cli import main
from llmtrack.store.database.sessions import Store

KEY = "sk-hidden-0123456789"
LISTED = b'{"object": "list", "data": [{"id": "good", "object": "model"}]}'
asked: list[str] = []


class Provider(BaseHTTPRequestHandler):
    """Says which models it has to whoever has the key; the path says how it behaves."""

    def do_GET(self) -> None:
        asked.append(self.path)
        kind = self.path.split("/")[1]
        status = {"v1": 200, "broken": 500, "other": 404}[kind]
        if self.headers["Authorization"] != f"Bearer {KEY}":
            status = 401
        self.send_response(status)
        self.end_headers()
        self.wfile.write(LISTED if status == 200 else b"<html>")

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def provider() -> Iterator[str]:
    """The address of a model server that lists its models."""
    asked.clear()
    with HTTPServer(("127.0.0.1", 0), Provider) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(autouse=True)
def _configured(monkeypatch: pytest.MonkeyPatch, mongodb_uri: str, store: Store) -> None:
    monkeypatch.setenv("MONGODB_URI", mongodb_uri)


def check(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, tuple[str, str]]]:
    """The exit code, and status and finding of every check, which stand in aligned columns."""
    with pytest.raises(SystemExit) as exited:
        main(["serve", "--check", *words])
    rows = capsys.readouterr().out.splitlines()
    assert rows[0].split() == ["check", "status", "finding"]
    at = rows[0].index("status")
    assert all(re.match(r"\S", row[at:]) and row[at - 1] == " " for row in rows[2:])
    found = [re.split(r" {2,}", row.strip(), maxsplit=2) for row in rows[2:]]
    return int(exited.value.code or 0), {name: (status, finding) for name, status, finding in found}


def test_all_is_well_and_nothing_was_asked_of_a_model_but_its_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, store: Store, provider: str, port: int
) -> None:
    monkeypatch.setenv("MY_KEY", KEY)
    group = f'name = "arm"\nmodel = "good"\nbase_url = "{provider}/v1"\napi_key_env = "MY_KEY"'
    Path("llmtrack.toml").write_text(f"[[experiments.e.groups]]\n{group}\n")
    code, found = check(capsys, "--port", str(port))
    assert code == 0
    assert list(found) == [
        "configuration", "group arm", "data folder", "address", "model arm", "store", "store writable", "indexes",
        "saved chats", "clock", "spool",
    ]  # fmt: skip
    assert {status for status, _ in found.values()} == {"ok"}
    assert asked == ["/v1/models"]
    assert KEY not in str(found)
    assert store.sessions.count_documents({}) == 0


MODELS = {  # the group's model, where, its key, status, what is said
    "a model that is not listed": ("lost", "/v1", KEY, "warning", "lists no 'lost'"),
    "a key that is refused": ("good", "/v1", "sk-wrong", "failed", "refuses the key (401). Check MY_KEY."),
    "a server that fails": ("good", "/broken", KEY, "failed", "answers 500"),
    "a server without a list": ("good", "/other", KEY, "ok", "answers, without a list"),
    "nobody there": ("good", ":1/v1", KEY, "failed", "cannot be reached"),
    "no address": ("good", "[", KEY, "failed", "cannot be reached"),
}


@pytest.mark.parametrize(("model", "path", "key", "status", "says"), MODELS.values(), ids=MODELS)
def test_models(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    provider: str,
    port: int,
    model: str,
    path: str,
    key: str,
    status: str,
    says: str,
) -> None:
    monkeypatch.setenv("MY_KEY", key)
    base_url = f"http://127.0.0.1{path}" if path.startswith(":") else provider + path
    group = f'name = "arm"\nmodel = "{model}"\nbase_url = "{base_url}"\napi_key_env = "MY_KEY"'
    Path("llmtrack.toml").write_text(f"[[experiments.e.groups]]\n{group}\n")
    code, found = check(capsys, "--port", str(port))
    assert found["model arm"][0] == status
    assert says in found["model arm"][1]
    assert code == (status == "failed")
    assert key not in str(found)


def test_a_key_that_is_missing_is_named_once(capsys: pytest.CaptureFixture[str], port: int) -> None:
    Path("llmtrack.toml").write_text('[[experiments.e.groups]]\nname = "arm"\nmodel = "m"\n')
    code, found = check(capsys, "--port", str(port))
    assert (code, found["group arm"][0], found["model arm"][0]) == (1, "failed", "skipped")


def test_an_address_that_is_taken_and_a_folder_that_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LLMTRACK_DATA_DIR", str(tmp_path / "file"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, found = check(capsys, "--port", str(taken.getsockname()[1]))
    assert (code, found["address"][0], found["data folder"][0]) == (1, "failed", "failed")
    assert "--port" in found["address"][1]
    assert "LLMTRACK_DATA_DIR" in found["data folder"][1]


def test_a_database_that_is_away_and_a_file_that_cannot_be_read(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, port: int
) -> None:
    monkeypatch.setenv("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200")
    code, found = check(capsys, "--port", str(port))
    assert (code, found["store"][0]) == (1, "failed")
    Path("llmtrack.toml").write_text("port = 1\n")
    code, found = check(capsys, "--port", str(port))
    assert (code, list(found)) == (1, ["configuration"])
