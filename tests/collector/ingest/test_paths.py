"""The tracker's script on the wire: compressed, and under a path that the operator chose."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

import llmtrack
from llmtrack.collector.app import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.store.database.sessions import Store

TRACKER = Path(llmtrack.__file__).parent / "web" / "tracker.js"


@pytest.fixture
def app(settings: Settings, store: Store) -> Callable[..., Flask]:
    def make(**changed: object) -> Flask:
        changed_settings = settings.changed(**changed)
        return create_app(changed_settings, store, ChatClient(changed_settings))

    return make


def test_script_page_and_styles_are_compressed_and_json_is_not(app: Callable[..., Flask]) -> None:
    client = app().test_client()
    asked = {"Accept-Encoding": "gzip"}
    script = client.get("/llmtrack.js", headers=asked)
    assert script.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(script.data) == TRACKER.read_bytes()
    assert len(script.data) <= 7 * 1024
    assert "Accept-Encoding" in script.headers["Vary"]
    assert client.get("/", headers=asked).headers["Content-Encoding"] == "gzip"
    assert "Content-Encoding" not in client.get("/openapi.json", headers=asked).headers
    assert client.get("/llmtrack.js").data == TRACKER.read_bytes()


def test_a_script_that_is_known_is_not_sent_again(app: Callable[..., Flask]) -> None:
    client = app().test_client()
    asked = {"Accept-Encoding": "gzip"}
    first = client.get("/llmtrack.js", headers=asked)
    again = client.get("/llmtrack.js", headers=asked | {"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


def test_a_second_path_serves_the_tracker_and_nothing_else(app: Callable[..., Flask], store: Store) -> None:
    client = app(tracker_path="/pages/it").test_client()
    assert client.get("/pages/it/llmtrack.js").data == TRACKER.read_bytes()
    begun = client.post("/pages/it/api/session/start", json={"session_id": "v"})
    assert (begun.status_code, begun.headers["Access-Control-Allow-Origin"]) == (201, "*")
    event = {"n": 1, "t": 1_790_000_000_000, "type": "note"}
    body = {"session_id": "v", "token": begun.json["token"], "events": [event]}
    assert client.post("/pages/it/api/session/event", json=body).status_code == 202
    assert client.post("/pages/it/api/session/end", json=body | {"events": []}).status_code == 202
    assert [each["type"] for each in store.find("v")["events"]] == ["note"]
    assert client.get("/llmtrack.js").status_code == 200
    for path in ("/pages/it/", "/pages/it/metrics", "/pages/it/healthz", "/pages/it/session/v", "/pages/itapi/session"):
        assert client.get(path).status_code == 404
    assert client.get("/pages/it/api/session/../../metrics").status_code == 404


@pytest.mark.parametrize("path", ["pages", "/pages/", "/", "/a b", "//x"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="tracker_path"):
        load_settings(tracker_path=path)
