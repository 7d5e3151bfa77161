"""While the database cannot be asked, nobody gets into another's visit: what was not theirs is left out in the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from flask import Flask

from llmtrack.collector import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import load_settings
from llmtrack.session.claim import KNOWN, Claim
from llmtrack.store.database.sessions import Store
from llmtrack.store.spool.durable import DurableStore
from tests.collector.conftest import Browser, wait_until
from tests.proxy import Proxy

SECRET, OTHER = "the victim's own secret", "whatever a stranger says"
VICTIM = "user_victim_1_0123456789abcdef0123"


@pytest.fixture
def way(mongodb_uri: str) -> Iterator[Proxy]:
    way = Proxy(mongodb_uri)
    yield way
    way.close()


@pytest.fixture
def app(way: Proxy, serve: Callable[[Flask], str]) -> Iterator[Flask]:
    settings = load_settings(MONGODB_URI=way.uri, secret_key="for tests only", spool={"after_s": 1})
    with Store(way.uri) as store:
        yield create_app(settings, store, ChatClient(settings, demo_delay_s=0))


@pytest.fixture
def collector(app: Flask, serve: Callable[[Flask], str]) -> Browser:
    return Browser(serve(app))


def drained(app: Flask) -> bool:
    durable: DurableStore = app.extensions["llmtrack"]
    return durable.spool.depth == 0


def start(browser: Browser, **more: Any) -> dict[str, Any]:
    answer = browser.post("/api/session/start", {"session_id": VICTIM, "environment": {}, **more})
    assert answer.status == 201
    return {"session_id": VICTIM, "token": answer.json["token"]}


def send(browser: Browser, visit: dict[str, Any], *numbers: int, path: str = "event") -> int:
    events = [{"n": n, "t": round(time.time() * 1000), "type": "click", "data": {}} for n in numbers]
    return browser.post(f"/api/session/{path}", {**visit, "events": events}).status


def seen(store: Store) -> list[Any]:
    document = store.find(VICTIM) or {"events": []}
    return [event.get("n", event["type"]) for event in document["events"]]


def test_a_stranger_who_comes_while_the_database_is_away_gets_nothing_into_the_visit(
    collector: Browser, app: Flask, way: Proxy, store: Store
) -> None:
    own, stranger = start(collector, secret=SECRET), Browser(collector.base)
    assert send(collector, own, 1) == 202
    way.off()
    taken = start(stranger, secret=OTHER)
    assert send(stranger, taken, 7, 8) == 202
    assert send(stranger, start(stranger), 9, path="end") == 202
    question = {"query": "Why?", "sessionId": "chat-1", "trackingSessionId": VICTIM}
    for proof in ({}, {"token": taken["token"]}, {"token": "made.up.entirely"}):
        assert stranger.post("/query", {**question, **proof}).status == 200
    assert send(collector, own, 2, 3) == 202
    assert collector.post("/query", {**question, "token": own["token"]}).json["tracked"] is True
    way.on()
    wait_until(lambda: drained(app))
    assert [event for event in seen(store) if event in range(99)] == [1, 2, 3]
    assert len(seen(store)) == 5
    assert store.find(VICTIM)["end_time"] is None
    assert send(stranger, taken, 10) == 403, "his token opens it now"
    assert stranger.post("/query", {**question, "token": taken["token"]}).json["tracked"] is False
    assert len(seen(store)) == 5
    assert app.extensions["llmtrack"].spool.refused == 0, "a stranger's words are kept"


def test_of_two_who_start_a_visit_while_the_database_is_away_the_first_has_it(
    collector: Browser, app: Flask, way: Proxy, store: Store
) -> None:
    way.off()
    own = start(collector, secret=SECRET)
    stranger = Browser(collector.base)
    taken = start(stranger, secret=OTHER)
    assert send(stranger, taken, 5) == 202
    assert send(collector, start(collector, secret=SECRET), 1) == 202  # a start that is repeated is the same
    assert send(collector, own, 2) == 202
    way.on()
    wait_until(lambda: drained(app))
    assert sorted(seen(store)) == [1, 2]
    assert send(stranger, taken, 6) == 403


CLAIMS = {
    "no secret opens what has none": (Claim(("once:1",)), "once:2", True),
    "no secret opens nothing with one": (Claim(("once:1",)), "sha256:ab", False),
    "a secret opens its own": (Claim(("sha256:ab",)), "sha256:ab", True),
    "a secret opens no other's": (Claim(("sha256:ab",)), "sha256:ac", False),
    "a secret opens nothing without one": (Claim(("sha256:ab",)), "once:1", False),
    "the id opens what has no secret": (Claim((KNOWN,)), "once:1", True),
    "the id opens what another wrote": (Claim((KNOWN,)), None, True),
    "the id opens nothing with a secret": (Claim((KNOWN,)), "sha256:ab", False),
    "no start opens what another wrote": (Claim(("once:1",)), None, False),
    "nothing opens nothing": (Claim(), "once:1", False),
    "its user opens it": (Claim(users=("ann",)), "sha256:ab", True),
    "another user does not": (Claim(users=("bob",)), "sha256:ab", False),
    "the key opens everything": (Claim(anything=True), "sha256:ab", True),
}


@pytest.mark.parametrize(("claim", "stored", "opens"), CLAIMS.values(), ids=CLAIMS)
def test_what_opens_a_session(claim: Claim, stored: str | None, opens: bool) -> None:
    session = {"user_id": "ann", **({"start_proof": stored} if stored else {})}
    assert claim.opens(session) is opens
    assert Claim.of(claim._asdict()) == claim


def test_the_later_parts_of_a_long_visit_are_opened_by_its_start(store: Store) -> None:
    store.start({"session_id": "s", "user_id": "ann", "start_time": datetime.now(UTC), "start_proof": "sha256:ab"})
    head = store._newest("s")
    store.sessions.update_one({"_id": head["_id"]}, {"$set": {"ended_by": "continued"}})
    event = {"n": 1, "t": 1, "type": "click", "data": {}}
    assert store.append("s", [event], claim=Claim(("sha256:ab",))).accepted == 1
    assert store.sessions.count_documents({"session_id": "s"}) == 2
    with pytest.raises(Exception, match="does not belong"):
        store.append("s", [{**event, "n": 2}], claim=Claim(("sha256:ac",)))
