"""Who is not let in, over real HTTP: into another's session, to write, read or end it; and from another's page."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from flask import Flask

from llmtrack.collector import create_app
from llmtrack.collector.access.proofs import Access, start_proof
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Secret, Settings, load_settings
from llmtrack.errors import UsageError
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Answer, Browser

Serve = Callable[[Flask], str]
KEY, ADMIN = "an ingest key of the test", "an admin token of the test"
SECRET = "the victim's own secret"
STRANGE_ID = "user_victim_1_0123456789abcdef"


@pytest.fixture
def strict(settings: Settings) -> Settings:
    """With an ingest key and an admin token."""
    return settings.changed(ingest_key=Secret(KEY), admin_token=Secret(ADMIN))


def open_to(settings: Settings, store: Store, serve: Serve) -> Browser:
    return Browser(serve(create_app(settings, store, ChatClient(settings, demo_delay_s=0))))


@pytest.fixture
def collector(strict: Settings, store: Store, serve: Serve) -> Browser:
    return open_to(strict, store, serve)


def start(collector: Browser, **body: Any) -> Answer:
    return collector.post("/api/session/start", {"environment": {}, **body})


def bearer(word: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {word}"}


def old(session_id: str, **age: float) -> str:
    """A token of the collector's own making for the session's secret, made some time ago."""
    with time_machine.travel(datetime.now(UTC) - timedelta(**age), tick=False):
        return Access("for tests only").sign(session_id, start_proof(SECRET))


def signed(session_id: str, key: str = "for tests only") -> str:
    """A token for a start without a secret."""
    return Access(key).sign(session_id, start_proof(None))


CLICK = {"n": 1, "t": 1_700_000_000_000, "type": "click", "data": {}}
# what is shown, by the victim's id, token and another's token: in the body, as a bearer → status, words of the reason
PROOFS: dict[str, tuple[Callable[[str, str, str], str | None], str | None, int, str]] = {
    "its own token": (lambda id, own, other: own, None, 202, ""),
    "none": (lambda id, own, other: None, None, 401, "token: it is missing"),
    "an empty one": (lambda id, own, other: "", None, 401, "token: it is missing"),
    "a made-up one": (lambda id, own, other: "AAAAAA.AAAAAAAAAAAAAAAAAAAA", None, 403, "does not belong"),
    "no ASCII": (lambda id, own, other: "ü\u2028.ü", None, 403, "does not belong"),
    "another session's": (lambda id, own, other: other, None, 403, "does not belong"),
    "truncated": (lambda id, own, other: own[:-4], None, 403, "does not belong"),
    "with another time": (lambda id, own, other: own.replace(".", ".zz", 1), None, 403, "does not belong"),
    "with another proof": (lambda id, own, other: "x" + own, None, 403, "does not belong"),
    "of a start without a secret": (lambda id, own, other: signed(id), None, 403, "does not belong"),
    "signed by another key": (lambda id, own, other: signed(id, "other"), None, 403, "does not belong"),
    "too old": (lambda id, own, other: old(id, hours=49), None, 401, "older than 48 h. Start the session again"),
    "not too old": (lambda id, own, other: old(id, hours=47), None, 202, ""),
    "from after a clock was set back": (lambda id, own, other: old(id, hours=-2), None, 401, "Start the session again"),
    "the ingest key": (lambda id, own, other: None, KEY, 202, ""),
    "half the ingest key": (lambda id, own, other: None, KEY[:9], 403, "The bearer opens nothing here"),
    "the admin token": (lambda id, own, other: None, ADMIN, 403, "The bearer opens nothing here"),
}


@pytest.mark.parametrize("path", ["/api/session/event", "/api/session/end"])
def test_a_session_is_written_and_ended_with_its_own_token_only(collector: Browser, store: Store, path: str) -> None:
    for name, (token_of, sent_bearer, status, reason) in PROOFS.items():
        victim, other = start(collector, secret=SECRET).json, start(collector).json
        token = token_of(victim["session_id"], victim["token"], other["token"])
        body = {"session_id": victim["session_id"], "events": [CLICK], **({} if token is None else {"token": token})}
        answer = collector.post(path, body, **(bearer(sent_bearer) if sent_bearer else {}))
        assert (answer.status, reason in answer.json.get("error", "")) == (status, True), (name, answer)
        document = store.find(victim["session_id"])
        assert len(document["events"]) == (status == 202), name
        assert (document["end_time"] is not None) == (status == 202 and path.endswith("end")), name
        assert (answer.headers["WWW-Authenticate"] == "Bearer") == (status == 401), name


def test_a_token_may_come_as_a_bearer(collector: Browser) -> None:
    own = start(collector).json
    body = {"session_id": own["session_id"], "events": [CLICK]}
    assert collector.post("/api/session/event", body, **bearer(own["token"])).json["accepted"] == 1


def test_a_refusal_does_not_tell_whether_there_is_such_a_session(collector: Browser) -> None:
    there = start(collector).json["session_id"]
    for token in ({}, {"token": "AAAAAA.AAAA"}):
        answers = [
            collector.post("/api/session/event", {"session_id": id, "events": [], **token})
            for id in (there, STRANGE_ID)
        ]
        assert answers[0][:2] == answers[1][:2]
    missing = {"session_id": STRANGE_ID, "events": []}
    assert collector.post("/api/session/event", missing, **bearer(KEY)).status == 404


STARTS: dict[str, tuple[dict[str, Any], str | None, int]] = {
    "with its secret": ({"secret": SECRET}, None, 201),
    "by the ingest key": ({}, KEY, 201),
    "without a secret": ({}, None, 403),
    "with another secret": ({"secret": SECRET + "x"}, None, 403),
    "with the user's name": ({"user_id": "victim"}, None, 403),
}


@pytest.mark.parametrize(("more", "sent_bearer", "status"), STARTS.values(), ids=STARTS)
def test_a_start_repeated_by_a_stranger_gives_no_token(
    collector: Browser, more: dict[str, Any], sent_bearer: str | None, status: int
) -> None:
    first = start(collector, user_id="victim", secret=SECRET).json
    body = {"environment": {}, "session_id": first["session_id"], **more}
    again = collector.post("/api/session/start", body, **(bearer(sent_bearer) if sent_bearer else {}))
    assert again.status == status
    if status == 403:
        assert set(again.json) == {"error"}
        assert "session_id: this session was started before" in again.json["error"]
    else:
        body = {"session_id": first["session_id"], "token": again.json["token"], "events": [CLICK]}
        assert collector.post("/api/session/event", body).status == 202


def test_a_session_of_another_writer_cannot_be_started_here(collector: Browser, store: Store) -> None:
    store.start({"session_id": STRANGE_ID, "user_id": "victim", "start_time": datetime.now(UTC)})
    for more in ({}, {"secret": SECRET}):
        assert start(collector, session_id=STRANGE_ID, **more).status == 403


def test_of_strangers_who_start_one_session_at_once_one_gets_it(collector: Browser) -> None:
    answers: list[Answer] = []

    def begin(number: int) -> None:
        answers.append(start(Browser(collector.base), session_id=STRANGE_ID, secret=f"{number} {SECRET}"))

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answer.status for answer in answers) == [201] + [403] * 5


def test_without_a_secret_whoever_knows_the_id_may_start_again(collector: Browser) -> None:
    session_id = start(collector).json["session_id"]
    assert len(session_id.rpartition("_")[2]) * 4 >= 64  # random bits: nobody guesses it
    assert start(collector, session_id=session_id).status == 201
    assert start(collector, session_id=session_id, secret=SECRET).status == 403


def test_a_server_writes_any_session_and_its_events_need_no_number(collector: Browser, store: Store) -> None:
    collector.post("/api/session/start", {"session_id": "app-1", "environment": {}}, **bearer(KEY))
    event = {"t": 1_700_000_000_000, "type": "prompt", "data": {"text": "Why?"}}
    for _ in range(2):
        answer = collector.post("/api/session/event", {"session_id": "app-1", "events": [event, CLICK]}, **bearer(KEY))
        assert answer.json["rejected"] == []
    assert sorted(stored.get("n", 0) for stored in store.find("app-1")["events"]) == [0, 0, 1]
    own = start(collector).json
    body = {"session_id": own["session_id"], "token": own["token"], "events": [event]}
    assert collector.post("/api/session/event", body).json["rejected"] == [{"n": None, "why": "n: Field required"}]


# reading: with an admin token set or not, what is sent → status

READS: dict[str, tuple[bool, dict[str, str], int]] = {
    "this machine, no admin token set": (False, {}, 200),
    "forwarded by a proxy": (False, {"X-Forwarded-For": "203.0.113.9"}, 403),
    "a forwarded claim to be from here": (False, {"X-Forwarded-For": "127.0.0.1"}, 403),
    "a name bent to this address": (False, {"Host": "evil.example"}, 403),
    "a name that is none": (False, {"Host": "["}, 403),
    "a name that begins like one": (False, {"Host": "localhost.evil.example"}, 403),
    "nothing shown": (True, {}, 401),
    "the admin token": (True, bearer(ADMIN), 200),
    "another scheme": (True, {"Authorization": f"Basic {ADMIN}"}, 401),
    "half of it": (True, bearer(ADMIN[:9]), 403),
    "the ingest key": (True, bearer(KEY), 403),
    "no ASCII": (True, bearer("\xfc"), 403),
}


@pytest.mark.parametrize(("admin", "headers", "status"), READS.values(), ids=READS)
def test_anothers_session_is_read_with_the_admin_token_only(
    settings: Settings, strict: Settings, store: Store, serve: Serve, admin: bool, headers: dict[str, str], status: int
) -> None:
    collector = open_to(strict if admin else settings, store, serve)
    session = start(collector, secret=SECRET).json
    answer = collector.get(f"/session/{session['session_id']}", **headers)
    assert answer.status == status
    assert (status == 200) == ("events" in answer.json)
    assert "start_proof" not in str(answer.json)
    if status != 200:
        assert "admin token" in answer.json["error"]
        assert collector.get(f"/session/{STRANGE_ID}", **headers)[:2] == answer[:2], "it tells which ids exist"
    own = collector.get(f"/session/{session['session_id']}", **bearer(session["token"]))
    assert own.status == (403 if admin else 200)  # a session's token writes, it does not read


@pytest.mark.parametrize(("peer", "status"), [("127.0.0.1", 200), ("::ffff:127.0.0.1", 200), ("203.0.113.9", 403)])
def test_behind_any_server_only_this_machine_reads_without_an_admin_token(
    settings: Settings, store: Store, peer: str, status: int
) -> None:
    store.start({"session_id": STRANGE_ID, "user_id": "victim"})
    client = create_app(settings, store, ChatClient(settings)).test_client()
    answer = client.get(f"/session/{STRANGE_ID}", environ_overrides={"REMOTE_ADDR": peer})
    assert answer.status_code == status


# turns of another's visit


def test_a_stranger_who_knows_a_visit_logs_nothing_in_it(collector: Browser, store: Store) -> None:
    collector.get("/")  # gives the cookie
    cookie = next(iter(next(h.cookiejar for h in collector.opener.handlers if hasattr(h, "cookiejar"))))
    visit = start(collector, user_id=cookie.value.partition(".")[0], secret=SECRET).json
    question = {"query": "Why?", "sessionId": "chat-1", "trackingSessionId": visit["session_id"]}
    stranger = Browser(collector.base)
    for _ in range(2):  # without a cookie, then with one of his own
        answer = stranger.post("/query", question)
        assert (answer.status, answer.json["tracked"]) == (200, False)
        assert answer.json["notice"] == "Not tracked: this session is somebody else's."
        assert store.find(visit["session_id"])["events"] == []
    own, age = cookie.value.partition(".")[0], {"hours": 49}
    with time_machine.travel(datetime.now(UTC) - timedelta(**age), tick=False):
        stale = Access("for tests only").page_token(own)
    for wrong in (
        start(collector).json["token"],
        Access("for tests only").page_token("another user"),
        Access("for tests only").page_token(""),
        Access("another key").page_token(own),
        signed(own),
        stale,
    ):
        assert stranger.post("/query", {**question, "token": wrong}).json["tracked"] is False
    page = Access("for tests only").page_token(own)
    assert stranger.post("/query", {**question, "token": page}).json["tracked"] is True
    assert stranger.get("/api/chats/chat-1").json["messages"][0]["text"] == "Why?"  # the stranger's own chat
    store.sessions.update_one({}, {"$set": {"events": []}})
    for writer, more, headers in (
        (collector, {}, {}),
        (Browser(collector.base), {"token": visit["token"]}, {}),
        (Browser(collector.base), {}, bearer(KEY)),
    ):
        assert writer.post("/query", {**question, **more}, **headers).json["tracked"] is True
    assert len(store.find(visit["session_id"])["events"]) == 6


# pages of other origins

FOREIGN = {
    "another site": {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    "another origin of this site": {"Sec-Fetch-Site": "same-site", "Origin": "https://blog.example"},
    "a browser that names the origin only": {"Origin": "https://evil.example"},
    "a sandboxed frame": {"Origin": "null"},
    "an origin that is none": {"Origin": "http://["},
}
ASKED = [("POST", "/query"), ("GET", "/api/chats"), ("GET", "/api/chats/chat-1"), ("DELETE", "/api/chats/chat-1")]


def test_what_the_cookie_authorises_answers_no_page_of_another_origin(collector: Browser) -> None:
    question = {"query": "Why?", "sessionId": "chat-1"}
    collector.post("/query", question)
    for headers in FOREIGN.values():
        for method, path in ASKED:
            answer = collector.call(method, path, question if method == "POST" else None, **headers)
            assert (answer.status, "another origin" in answer.json["error"]) == (403, True), (headers, path)
            assert "Access-Control-Allow-Origin" not in answer.headers
    assert collector.get("/api/chats").json["chats"][0]["turns"] == 1
    for headers in ({"Sec-Fetch-Site": "same-origin"}, {"Origin": collector.base}):
        assert collector.post("/query", question, **headers).status == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_what_a_form_can_send_is_no_question(collector: Browser, kind: str) -> None:
    answer = collector.post("/query", {"query": "Why?", "sessionId": "chat-1"}, Content_Type=kind)
    assert answer.status == 415
    assert "Content-Type: application/json" in answer.json["error"]


def test_pages_that_are_not_listed_start_nothing(strict: Settings, store: Store, serve: Serve) -> None:
    listed = strict.changed(allowed_origins=["https://good.example"])
    collector = open_to(listed, store, serve)
    for origin, status in (
        ("https://good.example", 201),
        ("http://good.example", 403),
        ("https://good.example:8443", 403),
        ("https://good.example.evil", 403),
        ("https://GOOD.example", 403),
        ("null", 403),
        (collector.base, 201),
    ):
        answer = collector.post("/api/session/start", {"environment": {}}, Origin=origin)
        assert answer.status == status, origin
        preflight = collector.call("OPTIONS", "/api/session/start", Origin=origin)
        allowed = preflight.headers["Access-Control-Allow-Origin"]
        assert (allowed == origin) == (origin == "https://good.example")
    assert store.sessions.count_documents({}) == 2


@pytest.mark.parametrize("origin", ["https://chat.example/", "chat.example", "https://Chat.example", "*.example"])
def test_an_origin_that_no_browser_sends_is_no_setting(origin: str) -> None:
    with pytest.raises(UsageError, match=r"allowed_origins: .* is no origin such as https://chat\.example"):
        load_settings(allowed_origins=["https://good.example", origin])


# what a browser is told

PATHS = ["/", "/llmtrack.js", "/assets/icon.svg", "/healthz", "/nowhere", "/api/chats", "/session/nobody"]


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_is_told_what_a_browser_may_do_with_it(collector: Browser, path: str) -> None:
    headers = collector.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("hops", [0, 1])
def test_a_proxy_is_believed_only_where_one_is_configured(
    strict: Settings, store: Store, serve: Serve, hops: int
) -> None:
    collector = open_to(strict.changed(proxy_hops=hops, hsts_s=600), store, serve)
    headers = collector.get("/", X_Forwarded_Proto="https", X_Forwarded_For="203.0.113.9").headers
    assert ("Secure" in headers["Set-Cookie"]) == bool(hops)
    assert headers["Strict-Transport-Security"] == ("max-age=600" if hops else None)
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite=Lax" in headers["Set-Cookie"]
