"""Sessions over HTTP: what is kept, what is refused and why."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable
from random import Random

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from llmtrack.collector import create_app
from llmtrack.collector.ingest.assignment import assign
from llmtrack.collector.ingest.environment import parse_user_agent
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Group, Secret, Settings
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Browser
from tests.quick import on_both

CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"


@pytest.fixture
def collector(settings: Settings, store: Store, serve: Callable[[Flask], str]) -> Browser:
    return Browser(serve(create_app(settings, store, ChatClient(settings))))


def started(collector: Browser, **body: object) -> dict:
    answer = collector.post("/api/session/start", {"environment": {}, **body})
    assert answer.status == 201, answer
    return answer.json


def writing(session: dict) -> dict:
    """What a body needs to write to the session."""
    return {"session_id": session["session_id"], "token": session["token"]}


def event(number: int, **more: object) -> dict:
    return {"n": number, "t": 1_700_000_000_000 + number * 10, "type": "click", "data": {"x": number}, **more}


SERVERS = {
    # headers, whether the body has an id: status, events stored when it is sent twice
    "the key and an id": ({"Authorization": "Bearer secret"}, True, 202, 1),
    "the key and no id": ({"Authorization": "Bearer secret"}, False, 202, 2),
    "a wrong key": ({"Authorization": "Bearer other"}, True, 403, 0),
    "no key": ({}, True, 401, 0),
}


@pytest.mark.parametrize("case", SERVERS)
def test_events_of_an_applications_server_need_no_number(
    settings: Settings, store: Store, serve: Callable[[Flask], str], case: str
) -> None:
    headers, with_id, status, count = SERVERS[case]
    given = settings.changed(ingest_key=Secret("secret"))
    collector = Browser(serve(create_app(given, store, ChatClient(given))))
    session_id = started(collector)["session_id"]
    events = [{"t": 1_700_000_000_000, "type": "prompt", "data": {"text": "Why?"}}]
    body = {"session_id": session_id, "events": events, **({"id": "batch-1"} if with_id else {})}
    assert [collector.post("/api/session/event", body, **headers).status for _ in range(2)] == [status, status]
    assert store.find(session_id)["events"] == events * count


def test_start_answers_who_and_when(collector: Browser, store: Store) -> None:
    answer = collector.post(
        "/api/session/start",
        {"user_id": "abc", "environment": {"viewport": {"width": 800, "height": 600}, "automation": True}},
        User_Agent=CHROME,
    )
    assert answer.status == 201
    assert set(answer.json) == {"session_id", "user_id", "model_group", "experiment_id", "server_time", "token"}
    assert answer.json["session_id"].startswith("user_abc_")
    document = store.find(answer.json["session_id"])
    assert document["environment"] == {
        "viewport": {"width": 800, "height": 600},
        "automation": True,
        "device": "desktop",
        "browser": "Chrome",
        "os": "Linux",
    }
    assert document["end_time"] is None


def test_start_again_with_the_same_id_changes_nothing(collector: Browser) -> None:
    secret = {"secret": "0123456789abcdef"}
    first = started(collector, user_id="abc", **secret)
    again = started(collector, user_id="other", session_id=first["session_id"], **secret)
    kept = ("session_id", "user_id", "model_group", "experiment_id")
    assert [again[key] for key in kept] == [first[key] for key in kept]


@on_both
def test_age_dates_the_start_back(collector: Browser, store: Store) -> None:
    session = started(collector, age_ms=60_000)
    start = store.find(session["session_id"])["start_time"].timestamp() * 1000
    assert 60_000 - 2 <= session["server_time"] - start < 65_000  # half of our own work is in it


@on_both
def test_batches_in_any_order_and_number_store_each_n_once(collector: Browser) -> None:
    for order in itertools.permutations([(1, 10), (11, 20), (11, 25)]):
        session = started(collector)
        for number, (first, last) in enumerate([*order, *order]):
            path = "/api/session/end" if number % 2 else "/api/session/event"
            body = {**writing(session), "events": [event(n) for n in range(first, last + 1)]}
            assert collector.post(path, body, Content_Type="text/plain").status == 202
        document = collector.get(f"/session/{session['session_id']}").json
        assert [stored["n"] for stored in document["events"]] == list(range(1, 26))


@pytest.fixture
def client(settings: Settings, store: Store) -> FlaskClient:
    return create_app(settings, store, ChatClient(settings)).test_client()


SENDERS = st.sampled_from(["/api/session/event", "/api/session/end", "start again"])
SENDINGS = st.lists(st.tuples(SENDERS, st.integers(1, 25), st.integers(0, 14)), min_size=1, max_size=5)


@hypothesis_settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SENDINGS, st.randoms(use_true_random=False))
def test_interleavings_of_batches_retries_beacons_and_spools_store_each_n_once(
    client: FlaskClient, store: Store, sendings: list[tuple[str, int, int]], chance: Random
) -> None:
    secret = {"secret": "0123456789abcdef"}
    session = client.post("/api/session/start", json={"environment": {}, **secret}).json
    session_id = session["session_id"]
    late = [sending for sending in sendings if chance.random() < 0.4]  # a retry, or a spool that comes after the end
    acknowledged: set[int] = set()
    accepted = 0
    for path, first, more in [*sendings, *late]:
        if path == "start again":
            assert client.post("/api/session/start", json={"session_id": session_id, **secret}).status_code == 201
            continue
        numbers = range(first, first + more + 1)
        body = {**writing(session), "events": [event(n) for n in numbers]}
        answer = client.post(path, data=json.dumps(body), content_type="text/plain").json
        assert answer["accepted"] + answer["duplicates"] == len(numbers)
        accepted += answer["accepted"]
        acknowledged |= set(numbers)
    stored = [kept["n"] for kept in store.find(session_id)["events"]]
    assert stored == sorted(acknowledged)
    assert accepted == len(acknowledged)


REFUSED = {
    "no object": ("hello", "event: should be an object"),
    "no n": ({"t": 1, "type": "click"}, "n: Field required"),
    "n is no number": (event(1, n="1"), "n: should be a valid integer"),
    "n is zero": (event(0), "n: should be greater than or equal to 1"),
    "no type": ({"n": 1, "t": 5}, "type: Field required"),
    "type is an operator": (event(1, type={"$gt": ""}), "type: should be a valid string"),
    "type has control characters": (event(1, type="a\x1b[2J"), "type: must be 1 to 100 characters"),
    "t is a word": (event(1, t="now"), "t: must be a time in epoch milliseconds"),
    "t is true": (event(1, t=True), "t: must be a time in epoch milliseconds"),
    "data is a list": (event(1, data=[]), "data: should be an object"),
}


@on_both
@pytest.mark.parametrize(("bad", "why"), REFUSED.values(), ids=REFUSED)
def test_a_bad_event_is_refused_with_its_reason_and_the_good_ones_stay(
    collector: Browser, bad: object, why: str
) -> None:
    session = started(collector)
    answer = collector.post("/api/session/event", {**writing(session), "events": [event(7), bad, event(8)]})
    assert answer.status == 202
    assert (answer.json["accepted"], answer.json["duplicates"]) == (2, 0)
    assert why in answer.json["rejected"][0]["why"]
    assert len(collector.get(f"/session/{session['session_id']}").json["events"]) == 2


STORED = {
    "keys MongoDB cannot hold": ({"$where": 1, "a.b": 2, "n\x00ul": 3}, {"\uff04where": 1, "a\uff0eb": 2, "nul": 3}),
    "a huge number": ({"x": 10**30}, {"x": 1e30}),
    "a float": ({"x": 1.5}, {"x": 1.5}),
    "nothing": (None, {}),
}


@on_both
@pytest.mark.parametrize(("data", "stored"), STORED.values(), ids=STORED)
def test_odd_data_is_stored_safely(collector: Browser, data: dict | None, stored: dict) -> None:
    session = started(collector)
    given = {key: value for key, value in event(1, data=data).items() if value is not None}
    assert collector.post("/api/session/event", {**writing(session), "events": [given]}).json["accepted"] == 1
    assert collector.get(f"/session/{session['session_id']}").json["events"][0]["data"] == stored


def test_half_an_emoji_costs_nothing_but_itself(collector: Browser) -> None:
    session_id, token = writing(started(collector)).values()
    head = '{"session_id": "%s", "token": "%s", '
    body = head + '"events": [{"n": 1, "t": 5, "type": "copy", "data": {"selected_text": "%s"}}]}'
    texts = ["a\\ud83d", "\\ude00b", "whole \\ud83d\\ude00", "\\\\ud83d"]
    for number, text in enumerate(texts, 1):
        raw = (body % (session_id, token, text)).replace('"n": 1', f'"n": {number}').encode()
        assert collector.post("/api/session/event", raw).json["accepted"] == 1
    kept = [stored["data"]["selected_text"] for stored in collector.get(f"/session/{session_id}").json["events"]]
    assert kept == ["a\ufffd", "\ufffdb", "whole 😀", "\\ud83d"]


BODIES = {
    "no JSON": (b"{", 400, "not JSON"),
    "NaN": (b'{"session_id": "s", "events": [NaN]}', 400, "not JSON"),
    "infinity": (b'{"session_id": "s", "sent_at": 1e999}', 400, "not JSON"),
    "a list": (b"[]", 400, "not a JSON object"),
    "nesting": (b'{"session_id": "s", "events": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", 400, "not JSON"),
    "an operator for an id": (b'{"session_id": {"$ne": 1}, "events": []}', 422, "session_id"),
    "no id": (b'{"events": []}', 422, "session_id: Field required"),
    "too many events": (json.dumps({"session_id": "s", "events": [1] * 501}).encode(), 413, "at most 500"),
    "too large": (b'{"session_id": "' + b"s" * 300_000 + b'"}', 413, ""),
}


@pytest.mark.parametrize(("raw", "status", "message"), BODIES.values(), ids=BODIES)
def test_a_bad_body_is_refused_with_its_reason(collector: Browser, raw: bytes, status: int, message: str) -> None:
    answer = collector.post("/api/session/event", raw)
    assert (answer.status, message in answer.json["error"]) == (status, True), answer


def test_an_unknown_experiment_names_the_known_ones(collector: Browser) -> None:
    answer = collector.post("/api/session/start", {"experiment_id": "typo", "environment": {}})
    assert (answer.status, "One of: default" in answer.json["error"]) == (422, True)


def test_end_sets_the_end_and_the_session_reads_as_iso(collector: Browser) -> None:
    session = started(collector)
    left = session["server_time"] - 1
    for _ in range(2):
        body = {**writing(session), "t": left, "events": [event(1)]}
        assert collector.post("/api/session/end", body, Content_Type="text/plain").status == 202
    document = collector.get(f"/session/{session['session_id']}").json
    assert document["end_time"].endswith("Z")
    assert (document["ended_by"], document["event_count"]) == ("page", 1)


def test_pages_of_other_origins_may_send_and_read_the_answer(collector: Browser) -> None:
    answer = collector.post("/api/session/start", {"environment": {}}, Origin="https://example.org")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert collector.call("OPTIONS", "/api/session/event", Origin="https://example.org").status == 200


def test_only_listed_origins_may_read_when_there_is_a_list(
    settings: Settings, store: Store, serve: Callable[[Flask], str]
) -> None:
    strict = settings.changed(allowed_origins=["https://good.example"])
    collector = Browser(serve(create_app(strict, store, ChatClient(strict))))
    for origin, allowed in (("https://good.example", "https://good.example"), ("https://good.example.evil", None)):
        answer = collector.post("/api/session/start", {"environment": {}}, Origin=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == allowed
        assert answer.status == (201 if allowed else 403)


def test_unknown_paths_answer_in_json(collector: Browser) -> None:
    assert "error" in collector.get("/nowhere").json
    assert collector.get("/session/nobody").status == 404


def test_groups_follow_their_weights_and_never_flip() -> None:
    groups = [Group(name=name, model="m", weight=weight) for name, weight in (("a", 1), ("b", 3), ("none", 0))]
    found = Counter(assign("e", groups, f"user{number}").name for number in range(4000))
    assert found["none"] == 0
    assert found["b"] == pytest.approx(3000, abs=150)
    assert {assign("e", groups, "same").name for _ in range(5)} == {assign("e", groups[::-1], "same").name}


def test_a_new_weight_moves_only_the_users_it_must() -> None:
    before = [Group(name=name, model="m", weight=1) for name in "ab"]
    after = [Group(name="a", model="m", weight=1), Group(name="b", model="m", weight=2)]
    moved = {(assign("e", before, f"u{n}").name, assign("e", after, f"u{n}").name) for n in range(1000)}
    assert ("b", "a") not in moved


AGENTS = {
    CHROME: ("desktop", "Chrome", "Linux"),
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.0 Mobile/15E148 Safari/604.1": ("mobile", "Mobile Safari", "iOS"),
    "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Mobile "
    "Safari/537.36": ("mobile", "Chrome Mobile", "Android"),
    "Mozilla/5.0 (Linux; Android 14; SM-X910) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36": (
        "tablet",
        "Chrome",
        "Android",
    ),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0": (
        "desktop",
        "Firefox",
        "Windows",
    ),
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)": ("bot", "Googlebot", "Other"),
    "": ("unknown", "unknown", "unknown"),
}


@pytest.mark.parametrize(("agent", "expected"), AGENTS.items())
def test_user_agents(agent: str, expected: tuple[str, str, str]) -> None:
    found = parse_user_agent(agent)
    assert (found["device"], found["browser"]) == expected[:2]
