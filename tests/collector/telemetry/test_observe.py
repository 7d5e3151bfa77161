"""Ids, log lines and figures of requests: what they say, and what they never do."""

from __future__ import annotations

import json
import logging
import logging.config
import re
import time
from collections.abc import Callable, Iterator
from io import StringIO
from typing import Any

import pytest
from flask import Flask, Response
from prometheus_client.parser import text_string_to_metric_families

from llmtrack.collector import create_app
from llmtrack.collector.app import start_sweeper
from llmtrack.collector.models.client import ChatClient
from llmtrack.collector.telemetry.logs import configuration
from llmtrack.collector.telemetry.metrics import Metrics
from llmtrack.config import LogFormat, Settings, load_settings
from llmtrack.errors import StoreUnavailable
from llmtrack.store.database.sessions import Store
from tests.collector.conftest import Browser
from tests.collector.model_server import running

SECRET = "my-secret-question"


@pytest.fixture
def log() -> Iterator[Callable[[LogFormat], StringIO]]:
    """Configure logging as a server's process does, into memory; undone in the end."""
    logger = logging.getLogger("llmtrack")

    def start(format: LogFormat) -> StringIO:
        written = StringIO()
        config = configuration(format)
        config["handlers"]["stderr"]["stream"] = written
        logging.config.dictConfig(config)
        return written

    yield start
    for each in (logger, logging.getLogger("_granian"), logging.getLogger("granian.access")):
        each.handlers.clear()
        each.propagate = True
        each.setLevel(logging.NOTSET)


@pytest.fixture
def app(settings: Settings, store: Store) -> Flask:
    return create_app(settings, store, ChatClient(settings, demo_delay_s=0))


@pytest.fixture
def collector(app: Flask, serve: Callable[[Flask], str]) -> Browser:
    return Browser(serve(app))


def lines(written: StringIO, count: int) -> list[dict[str, Any]]:
    """The JSON lines, as soon as there are `count`: the last is written after its answer was read."""
    deadline = time.monotonic() + 20
    while len(found := [json.loads(line) for line in written.getvalue().splitlines()]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def figures(collector: Browser, last: str) -> dict[str, float]:
    """Every sample of /metrics by `name{label=value,…}`, once `last` is there: that may come after its answer."""
    deadline = time.monotonic() + 20
    while last not in (found := _figures(collector)):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def _figures(collector: Browser) -> dict[str, float]:
    answer = collector.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for family in text_string_to_metric_families(answer.json):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sample.labels.items())
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


IDS = {  # what is sent, whether it is taken
    "well-formed": ("3f2a-checkout.17", True),
    "too short": ("abc", False),
    "too long": ("a" * 65, False),
    "a line break's escape": ("abcdefgh%0aINFO", False),
    "nothing": ("", False),
}


@pytest.mark.parametrize(("sent", "taken"), IDS.values(), ids=IDS)
def test_a_request_has_an_id_which_is_answered(collector: Browser, sent: str, taken: bool) -> None:
    answered = collector.get("/healthz", X_Request_Id=sent).headers.get_all("X-Request-Id")
    assert len(answered) == 1
    assert (answered[0] == sent) is taken
    assert 8 <= len(answered[0]) <= 64


def test_a_request_is_one_line_that_names_its_route_and_not_what_was_said(
    collector: Browser, log: Callable[[LogFormat], StringIO]
) -> None:
    written = log("json")
    session = collector.post("/api/session/start", {"user_id": SECRET, "environment": {}}).json
    collector.get(f"/session/{session['session_id']}?q={SECRET}", X_Request_Id="request-number-2")
    body = {"query": SECRET, "sessionId": SECRET, "trackingSessionId": session["session_id"], "stream": True}
    streamed = collector.post("/query", body, Cookie=f"llmtrack_user={SECRET}")
    collector.get(f"/{SECRET}")
    found = lines(written, 4)
    assert [(each["method"], each["route"], each["status"]) for each in found] == [
        ("POST", "/api/session/start", 201),
        ("GET", "/session/<path:session_id>", 200),
        ("POST", "/query", 200),
        ("", "", 404),
    ]
    assert found[1]["request_id"] == "request-number-2"
    assert found[2]["bytes_in"] == len(json.dumps(body))
    assert found[2]["bytes_out"] == len(streamed.json.encode())
    assert all(each["ms"] > 0 and each["level"] == "info" for each in found)
    assert SECRET not in written.getvalue()
    assert session["token"] not in written.getvalue()


@pytest.mark.parametrize("format", ["json", "human"])
def test_an_unexpected_error_is_in_the_log_with_its_place_and_without_its_values(
    settings: Settings, store: Store, serve: Callable[[Flask], str], log: Callable[..., StringIO], format: LogFormat
) -> None:
    app = create_app(settings, store, ChatClient(settings))

    @app.get("/broken/<name>")
    def broken(name: str) -> str:
        try:
            raise KeyError(name)
        except KeyError as error:
            raise ValueError(name) from error

    written = log(format)
    answer = Browser(serve(app)).get(f"/broken/{SECRET}", X_Request_Id="request-number-1")
    assert answer.status == 500
    assert "Traceback" not in str(answer.json)
    assert SECRET not in written.getvalue()
    assert "test_observe.py" in written.getvalue()
    assert written.getvalue().index("KeyError") < written.getvalue().index("ValueError")
    if format == "json":
        error, line = lines(written, 2)
        assert error["request_id"] == line["request_id"] == "request-number-1"
        assert (error["message"], line["level"]) == ("unexpected error in GET /broken/<name>", "warning")


def test_an_answer_that_breaks_off_is_in_the_log_without_its_values(
    app: Flask, collector: Browser, log: Callable[[LogFormat], StringIO]
) -> None:
    @app.get("/broken")
    def broken() -> Response:
        def pieces() -> Iterator[bytes]:
            yield b"first"
            raise ValueError(SECRET)

        return Response(pieces())

    written = log("json")
    assert collector.get("/broken").json == "first"
    error, line = lines(written, 2)
    assert error["traceback"][-1] == "ValueError"
    assert (error["request_id"], line["bytes_out"]) == (line["request_id"], 5)
    assert SECRET not in written.getvalue()


@pytest.mark.parametrize("format", ["json", "human"])
def test_a_message_stays_one_line_that_commands_no_terminal(log: Callable[..., StringIO], format: LogFormat) -> None:
    written = log(format)
    logging.getLogger("_granian").error("callable raised\x1b[31m\r an exception\nTraceback\nValueError: %s", SECRET)
    assert written.getvalue().count("\n") == 1
    assert "an exception" in written.getvalue()
    assert not {SECRET, "\x1b", "\r"} & set(re.findall(rf"{SECRET}|[\x1b\r]", written.getvalue()))


def test_figures_tell_what_was_stored_and_what_was_refused(collector: Browser) -> None:
    session = collector.post("/api/session/start", {"environment": {}}).json
    known = {"session_id": session["session_id"], "token": session["token"]}
    collector.post("/api/session/start", {"session_id": session["session_id"], "environment": {}})
    good = [{"n": n, "t": session["server_time"] + n, "type": "click"} for n in (1, 2, 3)]
    bad = [
        {"n": 0, "t": 1, "type": "x"},
        {"n": 4, "t": "soon", "type": "x"},
        {"n": 5, "t": 1, "type": "x", "data": 1},
        7,
    ]
    collector.post("/api/session/event", {**known, "events": [*good, *bad]})
    collector.post("/api/session/event", {**known, "events": good})
    collector.post("/api/session/event", {**known, "token": "forged", "events": good})
    collector.post("/api/session/event", b"{")
    collector.post("/api/session/end", {**known, "events": []})
    collector.get("/made/up")
    found = figures(collector, "llmtrack_refusals_total{endpoint=none,reason=unknown}")
    assert found["llmtrack_events_accepted_total"] == found["llmtrack_events_duplicate_total"] == 3
    for reason, count in {"n": 1, "t": 1, "data": 1, "event": 1, "type": 0}.items():
        assert found[f"llmtrack_events_refused_total{{reason={reason}}}"] == count
    assert found["llmtrack_sessions_started_total"] == found["llmtrack_sessions_ended_total{by=page}"] == 1
    event = "endpoint=POST /api/session/event"
    assert found[f"llmtrack_request_seconds_count{{{event},status=2xx}}"] == 2
    assert found[f"llmtrack_refusals_total{{{event},reason=forbidden}}"] == 1
    assert found[f"llmtrack_refusals_total{{{event},reason=malformed}}"] == 1


def test_a_refusal_by_a_rate_limit_is_counted_whoever_answers_it(app: Flask, serve: Callable[[Flask], str]) -> None:
    app.before_request(lambda: ("slow down", 429))
    collector = Browser(serve(app))
    collector.post("/query", {})
    app.before_request_funcs[None].pop()
    limited = "llmtrack_refusals_total{endpoint=POST /query,reason=rate_limited}"
    assert figures(collector, limited)[limited] == 1


def test_models_are_timed_and_their_failures_counted(
    settings: Settings, store: Store, serve: Callable[[Flask], str]
) -> None:
    with running() as server:
        groups = [{"name": name, "model": name, "base_url": server.base_url} for name in ("good", "fails", "wrong-key")]
        assert settings.mongodb_uri
        values: dict[str, Any] = {"MONGODB_URI": settings.mongodb_uri, "secret_key": "x"}
        with_models = load_settings(**values, experiments={"e": {"groups": groups}})
        collector = Browser(serve(create_app(with_models, store, ChatClient(with_models))))
        for name in ("good", "good", "fails", "wrong-key"):
            store.start({"session_id": name, "user_id": "u", "model_group": name, "experiment_id": "e"})
            collector.post("/query", {"query": "why?", "sessionId": "c", "trackingSessionId": name})
        found = figures(collector, "llmtrack_model_errors_total{group=wrong-key,kind=configuration}")
    for figure in ("model_seconds", "model_first_token_seconds"):
        assert found[f"llmtrack_{figure}_count{{group=good}}"] == 2
        assert f"llmtrack_{figure}_count{{group=fails}}" not in found
    assert found["llmtrack_model_errors_total{group=fails,kind=failed}"] == 1
    assert found["llmtrack_model_errors_total{group=wrong-key,kind=configuration}"] == 1


def test_sessions_ended_by_silence_are_counted(store: Store, settings: Settings) -> None:
    store.start({"session_id": "s", "user_id": "u"})
    metrics = Metrics()
    stop = start_sweeper(settings.changed(silent_after_s=0.05), store, metrics)
    deadline = time.monotonic() + 20
    while b'llmtrack_sessions_ended_total{by="silence"} 1.0' not in metrics.exposition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    stop.set()


def test_a_spool_is_asked_when_somebody_looks() -> None:
    class Waiting:
        depth = refused = 0
        age_s = 0.0
        behind_s: float | None = None

    metrics = Metrics()
    assert b"spool" not in metrics.exposition()
    spool = metrics.spool = Waiting()
    assert b"llmtrack_spool_records 0.0\n" in metrics.exposition()
    assert b"behind" not in metrics.exposition(), "what nobody knows is no zero"
    spool.depth, spool.age_s, spool.refused, spool.behind_s = 7, 12.5, 1, 3.5
    text = metrics.exposition()
    assert b"llmtrack_spool_records 7.0\n" in text
    assert b"llmtrack_spool_age_seconds 12.5\n" in text
    assert b"llmtrack_spool_behind_seconds 3.5\n" in text
    assert b"llmtrack_spool_refused_records 1.0\n" in text


def test_ready_means_able_to_store_and_alive_does_not(
    settings: Settings, collector: Browser, serve: Callable[[Flask], str]
) -> None:
    assert collector.get("/healthz").json == {"status": "ok"}
    empty = {"waiting": 0, "behind_s": 0, "put_aside": 0}
    assert collector.get("/readyz").json == {"status": "ok", "wrong": {}, "spool": empty}
    with Store("mongodb://user:hush@127.0.0.1:9/?directConnection=true", timeout_s=30) as away:
        lonely = Browser(serve(create_app(settings, away, ChatClient(settings))))
        assert lonely.get("/healthz").status == 200
        began = time.monotonic()
        answer = lonely.get("/readyz")
        assert time.monotonic() - began < 15, "a probe waits for no database"
    wrong = {"database": "The database does not answer"}
    assert (answer.status, answer.json["status"], answer.json["wrong"]) == (503, "unavailable", wrong)


def test_a_store_that_refuses_is_not_ready(settings: Settings, store: Store, serve: Callable[[Flask], str]) -> None:
    class Refusing(Store):
        def probe(self) -> None:
            raise StoreUnavailable("The database refused: user ann at db.example.", "Check.")

    assert settings.mongodb_uri
    with Refusing(settings.mongodb_uri.reveal()) as refusing:
        answer = Browser(serve(create_app(settings, refusing, ChatClient(settings)))).get("/readyz")
    assert answer.json["wrong"] == {"database": "The database refused"}
