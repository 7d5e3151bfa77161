"""Rates: who is refused, for how long, and at what cost in memory."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from llmtrack.collector import create_app
from llmtrack.collector.access.rates import Rate
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Limits, Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.store.database.sessions import Store


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(1, 500), st.lists(st.floats(0, 30), max_size=60))
def test_no_minute_lets_more_through_than_twice_the_rate_and_an_honest_pace_always_passes(
    per_minute: int, pauses: list[float]
) -> None:
    clock, passed = Clock(), []
    rate = Rate(per_minute, clock)
    for pause in pauses:
        clock.now += pause
        for _ in range(5):
            wait = rate.take("one")
            if not wait:
                passed.append(clock.now)
            else:
                clock.now += wait  # what Retry-After says is exact
                assert rate.take("one") == pytest.approx(0, abs=1e-6)
                passed.append(clock.now)
    for start in passed:
        assert sum(start <= at < start + 60 for at in passed) <= 2 * per_minute


def test_a_refused_request_costs_nothing_and_keys_do_not_share() -> None:
    clock = Clock()
    rate = Rate(3, clock)
    assert [rate.take("a") for _ in range(3)] == [0, 0, 0]
    assert [rate.take("a") for _ in range(9)] == pytest.approx([20] * 9)
    assert rate.take("b") == 0
    clock.now += 20
    assert rate.take("a") == 0


def test_invented_keys_do_not_grow_memory_nor_free_the_one_that_is_refused() -> None:
    rate = Rate(2, Clock(), max_keys=100)
    assert (rate.take("busy"), rate.take("busy")) == (0, 0)
    for number in range(10_000):
        assert rate.take(f"invented {number}") == 0
        assert rate.take("busy") == pytest.approx(30)
    assert len(rate) == 100


def collector(settings: Settings, store: Store, **limits: int) -> FlaskClient:
    limited = settings.changed(limits=Limits(**limits))
    return create_app(limited, store, ChatClient(limited, demo_delay_s=0)).test_client()


def start(client: FlaskClient, **body: object) -> str:
    return client.post("/api/session/start", json={"user_id": str(uuid.uuid4()), **body}).json["session_id"]


def send_start(client: FlaskClient) -> object:
    return client.post("/api/session/start", json={"user_id": "same"})


def sender(client: FlaskClient) -> Callable[[], object]:
    session = client.post("/api/session/start", json={"user_id": str(uuid.uuid4())}).json
    known = {"session_id": session["session_id"], "token": session["token"]}
    return lambda: client.post("/api/session/event", json={**known, "events": []})


def asker(client: FlaskClient, **more: str) -> Callable[[], object]:
    return lambda: client.post("/query", json={"query": "Why?", "sessionId": "c", **more})


def other_people(client: FlaskClient) -> Callable[[], object]:
    def ask() -> object:
        client.delete_cookie("llmtrack_user")
        return asker(client, trackingSessionId="v")()

    return ask


LIMITED: dict[str, Callable[[FlaskClient], Callable[[], object]]] = {
    "requests_per_session": sender,
    "requests_per_user": lambda client: lambda: send_start(client),
    "requests_per_address": lambda client: lambda: client.get("/healthz"),
    "queries_per_session": other_people,
    "queries_per_user": asker,
    "queries_per_address": other_people,
}


@pytest.mark.parametrize("limit", LIMITED)
def test_each_limit_refuses_with_429_that_names_it_and_says_when(settings: Settings, store: Store, limit: str) -> None:
    client = collector(settings, store, **{limit: 3})
    call = LIMITED[limit](client)
    answers = [call() for _ in range(5)]
    assert [answer.status_code for answer in answers[:2]] == [answers[0].status_code] * 2
    last = answers[-1]
    assert (last.status_code, last.json["limit"]) == (429, limit)
    assert 1 <= int(last.headers["Retry-After"]) <= 20
    assert "Try again in" in last.json["error"]
    unlimited = collector(settings, store, **{limit: 0})
    assert 429 not in {LIMITED[limit](unlimited)().status_code for _ in range(5)}


def test_two_visitors_behind_one_address_do_not_share_a_limit_per_session(settings: Settings, store: Store) -> None:
    client = collector(settings, store, requests_per_session=3)
    for _ in range(2):
        send = sender(client)
        assert [send().status_code for _ in range(4)] == [202, 202, 202, 429]


def test_a_page_of_another_site_can_read_when_to_come_back(settings: Settings, store: Store) -> None:
    client = collector(settings, store, requests_per_address=1)
    client.get("/healthz")
    answer = client.post("/api/session/start", json={}, headers={"Origin": "https://example.org"})
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (429, "*")
    assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]


def test_a_classroom_behind_one_address_never_meets_the_defaults() -> None:
    clock, limits = Clock(), Limits()
    session, address = Rate(limits.requests_per_session, clock), Rate(limits.requests_per_address, clock)
    for _ in range(90):  # three minutes, a batch every 2 s of 200 tabs, half of them sending twice
        clock.now += 2
        for tab in range(200):
            for _ in range(1 + tab % 2):
                assert session.take(str(tab)) == address.take("nat") == 0


def test_limits_come_from_the_environment_and_the_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, settings: Settings
) -> None:
    from pathlib import Path

    Path("llmtrack.toml").write_text("[limits]\nqueries_per_user = 5\nconcurrent_queries = 7\n")
    monkeypatch.setenv("LLMTRACK_LIMITS__QUERIES_PER_USER", "9")
    limits = load_settings().limits
    assert (limits.queries_per_user, limits.concurrent_queries, limits.queries_per_session) == (9, 7, 60)
    monkeypatch.setenv("LLMTRACK_LIMITS__QUERIES_PER_USER", "-1")
    with pytest.raises(UsageError, match=r"limits\.queries_per_user"):
        load_settings()
