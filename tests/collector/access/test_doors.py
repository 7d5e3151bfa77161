"""Small doors: tokens of two clocks, the figures' own token, and redirects, which no request may direct."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
import yaml
from flask import Request
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from llmtrack.collector import create_app
from llmtrack.collector.access.proofs import Access, start_proof
from llmtrack.collector.errors import Denied
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Secret, Settings
from llmtrack.session.claim import Claim
from llmtrack.store.database.change import KEYS
from llmtrack.store.database.sessions import Store
from tests.quick import MONGOMOCK

DOCS = Path(__file__).parents[3] / "docs"
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
quick = pytest.mark.parametrize("kind", [MONGOMOCK], indirect=True)
ADMIN, FIGURES = "the key to all visits", "the key to the figures"


def at(seconds: float, access: Access) -> str:
    """A token of a collector whose clock is off by so much."""
    with time_machine.travel(NOW + timedelta(seconds=seconds), tick=False):
        return access.sign("s", start_proof("secret"))


@pytest.mark.parametrize("seconds", [-5, 0, 5, 60, 299])
def test_collectors_whose_clocks_differ_take_each_others_tokens(seconds: float) -> None:
    mine, theirs = Access("one key"), Access("one key")
    request = Request(EnvironBuilder().get_environ())
    token = at(seconds, theirs)
    with time_machine.travel(NOW, tick=False):
        assert mine.may_write(request, "s", token) == Claim((start_proof("secret"),))


@pytest.mark.parametrize("seconds", [-3 * 24 * 3600, 3600, 10 * 24 * 3600])
def test_a_token_of_long_ago_or_of_the_future_opens_nothing(seconds: float) -> None:
    access = Access("one key")
    token = at(seconds, access)
    with time_machine.travel(NOW, tick=False), pytest.raises(Denied) as denied:
        access.may_write(Request(EnvironBuilder().get_environ()), "s", token)
    assert denied.value.status == 401


@pytest.fixture
def client(settings: Settings, store: Store) -> FlaskClient:
    settings = settings.changed(admin_token=Secret(ADMIN), metrics_token=Secret(FIGURES))
    return create_app(settings, store, ChatClient(settings, demo_delay_s=0)).test_client()


@quick
@pytest.mark.parametrize(
    ("path", "key", "status"),
    [
        ("/metrics", FIGURES, 200),
        ("/metrics", ADMIN, 200),
        ("/metrics", "another", 403),
        ("/metrics", "", 401),
        ("/session/s", FIGURES, 403),
        ("/session/s", ADMIN, 404),
        ("/api/session/event", FIGURES, 403),
    ],
)
def test_the_key_to_the_figures_opens_nothing_else(client: FlaskClient, path: str, key: str, status: int) -> None:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    body = {"session_id": "s", "events": []}
    answer = client.post(path, json=body, headers=headers) if "event" in path else client.get(path, headers=headers)
    assert answer.status_code == status


@quick
@pytest.mark.parametrize(
    "path", ["//api/chats", "/assets//x", "//evil.example/..", "/api/chats/", "///", "/session//x"]
)
def test_no_answer_sends_anybody_to_the_host_that_the_request_names(client: FlaskClient, path: str) -> None:
    answer = client.get(path, headers={"Host": "evil.example"})
    assert not 300 <= answer.status_code < 400
    assert "evil.example" not in str(answer.headers)


def test_the_scrape_example_holds_no_key() -> None:
    job = yaml.safe_load((DOCS.parent / "deploy" / "prometheus.yaml").read_text())["scrape_configs"][0]
    assert set(job["authorization"]) == {"type", "credentials_file"}
    assert job["metrics_path"] == "/metrics"


def test_docs_say_how_long_the_id_of_a_batch_counts_once() -> None:
    assert f"the ids of its last {KEYS} such bodies" in (DOCS / "http.md").read_text()
