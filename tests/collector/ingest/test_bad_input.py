"""What nobody should send: each is refused with a reason the sender can act on, or stored safely."""

from __future__ import annotations

import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import bson
import pytest
from flask import Flask
from hypothesis import given
from hypothesis import strategies as st

from llmtrack.collector import create_app
from llmtrack.collector.ingest.bodies import Event
from llmtrack.collector.ingest.environment import environment, is_bot
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings
from llmtrack.session.schema import MAX_KEYS, storable
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Answer, Browser

SESSION, NOW = "s1", 1_700_000_000_000
CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
PHONE = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0 Mobile Safari/537.36"
)
CRAWLER = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
HEADLESS = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0 Safari/537.36"


@pytest.fixture
def collector(settings: Settings, store: Store, serve: Callable[[Flask], str]) -> Browser:
    browser = Browser(serve(create_app(settings, store, ChatClient(settings, demo_delay_s=0))))
    browser.bearer = browser.post("/api/session/start", {"session_id": SESSION}).json["token"]
    return browser


def one(**fields: Any) -> bytes:
    event = {"n": 1, "t": NOW, "type": "click", "data": {}, **fields}
    return json.dumps({"session_id": SESSION, "events": [event]}).encode()


START, EVENT, END, QUERY = "/api/session/start", "/api/session/event", "/api/session/end", "/query"
nested = b'{"session_id": "s1", "events": [{"n": 1, "t": 1700000000000, "type": "x", "data": {"a": %s}}]}'
BOMB = gzip.compress(b" " * 20_000_000)

REFUSED: dict[str, tuple[str, bytes, dict[str, str], int, str]] = {
    "an operator for a session": (EVENT, b'{"session_id": {"$ne": null}, "events": []}', {}, 422, "session_id: "),
    "an operator for a user": (START, b'{"user_id": {"$gt": ""}}', {}, 422, "user_id: "),
    "an operator for an experiment": (START, b'{"experiment_id": {"$regex": "."}}', {}, 422, "experiment_id: "),
    "an operator for a chat": (QUERY, b'{"query": "?", "sessionId": {"$ne": 1}}', {}, 422, "sessionId: "),
    "an operator for a visit": (
        QUERY, b'{"query": "?", "sessionId": "c", "trackingSessionId": {"$ne": 1}}', {}, 422, "trackingSessionId: ",
    ),
    "an operator for a token": (EVENT, b'{"session_id": "s1", "token": {"$ne": 1}}', {}, 422, "token: "),
    "NUL in an id": (EVENT, b'{"session_id": "a\\u0000b", "events": []}', {}, 422, "session_id: "),
    "NUL in a user": (START, b'{"user_id": "a\\u0000b"}', {}, 422, "user_id: "),
    "a list for the environment": (START, b'{"environment": []}', {}, 422, "environment: "),
    "an age below zero": (START, b'{"age_ms": -1}', {}, 422, "age_ms: "),
    "an endless age": (START, b'{"age_ms": 1e300}', {}, 422, "age_ms: "),
    "events that are no list": (EVENT, b'{"session_id": "s1", "events": {"0": 1}}', {}, 422, "events: "),
    "NaN": (EVENT, b'{"session_id": "s1", "events": [NaN]}', {}, 400, "not JSON"),
    "an infinite number": (EVENT, b'{"session_id": "s1", "sent_at": 1e999}', {}, 400, "not JSON"),
    "bottomless nesting": (EVENT, nested % (b"[" * 50_000 + b"]" * 50_000), {}, 400, "not JSON"),
    "no UTF-8": (EVENT, b'{"session_id": "s1", "x": "\xff\xfe"}', {}, 400, "not JSON"),
    "nothing": (EVENT, b"", {}, 400, "not JSON"),
    "a form": (EVENT, b"session_id=s1", {"Content_Type": "application/x-www-form-urlencoded"}, 400, "not JSON"),
    "a bomb": (EVENT, BOMB, {"Content_Encoding": "gzip"}, 415, "Content-Encoding"),
    "a small compressed body": (EVENT, gzip.compress(one()), {"Content_Encoding": "br, gzip"}, 415, "Content-Encoding"),
    "a bomb that hides": (EVENT, BOMB, {}, 400, "not JSON"),
    "a body too large": (EVENT, b" " * 262_145, {}, 413, "exceeds"),
    "a query of blanks": (QUERY, b'{"query": " \\n ", "sessionId": "c"}', {}, 422, "query: "),
    "a query too long": (QUERY, b'{"query": "%s", "sessionId": "c"}' % (b"x" * 32_001), {}, 422, "query: "),
}  # fmt: skip


@pytest.mark.parametrize(("path", "body", "headers", "status", "why"), REFUSED.values(), ids=REFUSED)
def test_it_is_refused_with_its_reason(
    collector: Browser, store: Store, path: str, body: bytes, headers: dict[str, str], status: int, why: str
) -> None:
    answer = collector.post(path, body, **headers)
    assert (answer.status, why in answer.json["error"]) == (status, True), answer
    assert store.find(SESSION)["events"] == []
    assert store.sessions.count_documents({}) == 1


KEPT: dict[str, tuple[bytes, dict[str, Any]]] = {
    "operators as keys": (one(data={"$where": {"$ne": 1}}), {"data": {"\uff04where": {"\uff04ne": 1}}}),
    "dots and NUL in keys": (one(data={"a.b": 1, "c\0d": 2}), {"data": {"a\uff0eb": 1, "cd": 2}}),
    "an empty key": (one(data={"": 1}), {"data": {"": 1}}),
    "NUL in a text": (one(data={"text": "a\0b"}), {"data": {"text": "a\0b"}}),
    "half an emoji": (one(data={"text": "a"}).replace(b'"a"', b'"\\ud83d"'), {"data": {"text": "\ufffd"}}),
    "a number beyond 64 bits": (one(data={"x": 10**30}), {"data": {"x": 1e30}}),
    "20 levels": (nested % (b"[" * 20 + b"]" * 20), {"data": {"a": json.loads("[" * 11 + "null" + "]" * 11)}}),
    "a key twice": (one().replace(b'"data": {}', b'"data": {"x": 1, "x": 2}'), {"data": {"x": 2}}),
    "unknown fields": (one(page_url="/a", data={"x": 1}), {"data": {"x": 1, "page_url": "/a"}}),
    "an unknown field that data has": (one(x=2, data={"x": 1}), {"data": {"x": 1}}),
    "an unknown operator": (one(**{"$set": {"a": 1}}), {"data": {"\uff04set": {"a": 1}}}),
    "clamped, by its sender": (one(clamped=True), {"data": {"clamped": True}}),
    "a float for a time": (one(t=NOW + 0.6), {"t": NOW + 1}),
}


@pytest.mark.parametrize(("body", "stored"), KEPT.values(), ids=KEPT)
def test_it_is_stored_safely(collector: Browser, body: bytes, stored: dict[str, Any]) -> None:
    answer = collector.post(EVENT, body)
    assert (answer.status, answer.json["accepted"]) == (202, 1), answer
    kept = collector.get(f"/session/{SESSION}").json["events"][0]
    assert kept == {"n": 1, "t": NOW, "type": "click" if b'"click"' in body else "x", "data": {}, **stored}


ABSURD = {
    "seconds": 1_700_000_000, "zero": 0, "before 1970": -5, "microseconds": 1.7e15, "endless": 1e300,
    "beyond 64 bits": 10**30, "the year 2099": 4_070_908_800_000,
}  # fmt: skip


@pytest.mark.parametrize("t", ABSURD.values(), ids=ABSURD)
def test_a_time_that_cannot_be_is_dated_at_arrival_and_marked(collector: Browser, t: float) -> None:
    before = time.time() * 1000 - 1
    assert collector.post(EVENT, one(t=t)).json["accepted"] == 1
    assert collector.post(END, json.dumps({"session_id": SESSION, "sent_at": t, "t": t}).encode()).status == 202
    document = collector.get(f"/session/{SESSION}").json
    kept = document["events"][0]
    assert (kept["clamped"], kept["sent_t"]) == (True, float(t))
    assert before <= kept["t"] <= time.time() * 1000
    assert document["end_time"] >= document["start_time"]
    assert "clock_offset_ms" not in document


def test_a_clock_that_is_merely_wrong_is_left_to_the_readers(collector: Browser) -> None:
    for n, t in enumerate((1_600_000_000_000, time.time() * 1000 + 14 * 3_600_000), 1):
        assert collector.post(EVENT, one(n=n, t=t)).json["accepted"] == 1
        assert not any("clamped" in event for event in collector.get(f"/session/{SESSION}").json["events"])


def test_unknown_fields_are_kept_as_far_as_there_is_room() -> None:
    fields = {f"field{number}": number for number in range(500)}
    event = Event.model_validate({"n": 1, "t": NOW, "type": "x", "data": {"mine": 1}, **fields})
    assert list(event.stored(NOW)["data"])[:2] == ["mine", "field0"]
    assert len(event.stored(NOW)["data"]) == MAX_KEYS


keys = st.one_of(st.sampled_from(["$a", "a.b", "\0", "", "_id"]), st.text(max_size=4))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(10**40), 10**40), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
)


@given(values)
def test_whatever_json_holds_becomes_what_bson_holds_and_stays_so(value: Any) -> None:
    kept = storable({"value": value})
    read = bson.decode(bson.encode(kept))
    assert storable(read) == read == kept


AGENTS = {
    "a crawler": (CRAWLER, True),
    "a preview": ("facebookexternalhit/1.1", True),
    "a monitor": ("UptimeRobot/2.0", True),
    "a browser that a program drives": (HEADLESS, False),
    "Lighthouse": (f"{CHROME} Chrome-Lighthouse", True),
    "Lighthouse as a phone": (f"{PHONE} Chrome-Lighthouse", True),
    "Datadog": (f"{CHROME} DatadogSynthetics", True),
    "GTmetrix": (f"{CHROME} GTmetrix", True),
    "Site24x7": (f"{CHROME} Site24x7", True),
    "Dynatrace": (f"{CHROME} RuxitSynthetic/1.0 v1234 t6703", True),
    "New Relic": (f"{CHROME} NewRelicSynthetics/1.0", True),
    "WebPageTest": (f"{CHROME} PTST/231201.1", True),
    "GoogleOther": (f"{PHONE} (compatible; GoogleOther)", True),
    "Bytespider": (f"{PHONE} (compatible; Bytespider; spider-feedback@bytedance.com)", True),
    "Prerender": (f"{CHROME} Prerender (+https://github.com/prerender/prerender)", True),
    "a desk": (CHROME, False),
    "a phone": (PHONE, False),
    "a phone called Cubot": (PHONE.replace("Pixel 8", "CUBOT_X18_Plus"), False),
    "a phone called Spider": (PHONE.replace("Pixel 8", "Spider X"), False),
    "a phone with keys": ("Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5", False),
    "a page inside an app": ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) [FBAN/FBIOS]", False),
    "a program's library": ("Python-urllib/3.13", False),
    "another library": ("Java/11.0.2", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize(("agent", "bot"), AGENTS.values(), ids=AGENTS)
def test_bots_are_marked_by_their_user_agent_alone(agent: str, bot: bool) -> None:
    found = environment({"automation": True, "device": "desktop", "plugin": {"any": 1}}, agent)
    assert (is_bot(agent), found.get("bot", False)) == (bot, bot)
    assert (found["automation"], found["plugin"]) == (True, {"any": 1})


def test_a_bot_is_stored_as_everybody_is(collector: Browser, store: Store) -> None:
    answer: Answer = collector.post(START, {"session_id": "bot"}, User_Agent=CRAWLER)
    assert answer.status == 201
    assert store.find("bot")["environment"] == {
        "bot": True, "device": "bot", "browser": "Googlebot", "os": "unknown",
    }  # fmt: skip
