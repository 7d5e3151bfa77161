"""The tracker and the real collector, over a real store: nothing lost, nothing twice, in true order."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, Route
from werkzeug.serving import make_server

import llmtrack
from llmtrack.collector.app import create_app
from llmtrack.collector.models.client import ChatClient
from llmtrack.config import Settings
from llmtrack.store.database.sessions import Store
from tests.browser.standin import Site, serve_site, until
from tests.processes import free_port


@contextmanager
def serving(app: Flask, port: int = 0) -> Iterator[int]:
    server = make_server("127.0.0.1", port or free_port(), app, threaded=True)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def app(settings: Settings, store: Store) -> Flask:
    return create_app(settings, store, ChatClient(settings))


def wait(page: Page, seconds: float) -> None:
    page.wait_for_timeout(seconds * 1000)


def events(store: Store, session_id: str) -> list[dict[str, Any]]:
    return (store.find(session_id) or {}).get("events", [])


def exact(found: list[dict[str, Any]], last: int) -> bool:
    return sorted(event["n"] for event in found) == list(range(1, last + 1))


def visit(page: Page, site: Site, **attributes: str) -> str:
    page.goto(site.page(**attributes))
    page.wait_for_function("window.llmtrack?.sessionId")
    session_id: str = page.evaluate("llmtrack.sessionId")
    return session_id


def test_a_visit_is_stored_whole_and_ended(context: BrowserContext, app: Flask, store: Store, mongodb_uri: str) -> None:
    page = context.new_page()
    with serving(app) as port, serve_site(Site(f"http://127.0.0.1:{port}/llmtrack.js")) as site:
        session_id = visit(page, site, user="alice")
        page.evaluate("document.querySelector('#button').textContent = 'Regenerate'")
        page.wait_for_timeout(600)  # the answers are seen
        page.click("#button")
        page.mouse.wheel(0, 400)  # and leave the screen
        wait(page, 0.8)
        page.evaluate("llmtrack.track('note', {half: '\\ud83d', value: NaN})")
        page.close(run_before_unload=True)
        document = until(lambda: (found := store.find(session_id)) and found["end_time"] and found)
    assert document["user_id"] == "alice"
    assert "Chrom" in document["environment"]["browser"]
    assert document["environment"]["viewport"] == {"width": 800, "height": 600}
    told = {event["type"]: event["data"] for event in document["events"]}
    assert [event["type"] for event in document["events"]] == ["activity", "click", "view", "view", "scroll", "note"]
    assert told["note"] == {"half": "\ufffd", "value": None}
    assert exact(document["events"], 6)
    assert 0 < (document["end_time"] - document["start_time"]).total_seconds() < 20
    with llmtrack.open(mongodb_uri) as sessions:
        steps = ['click[name="Regenerate"]', 'click[name="Press"]']
        funnel = llmtrack.funnel(sessions, steps, by="none", bots=True).to_frame()
    assert funnel["reached"].tolist() == [1, 0]


def test_a_collector_that_is_away_for_a_while_costs_nothing(context: BrowserContext, app: Flask, store: Store) -> None:
    page = context.new_page()
    with serving(app) as port:
        site = Site(f"http://127.0.0.1:{port}/llmtrack.js")
        with serve_site(site):
            session_id = visit(page, site)
            until(lambda: events(store, session_id), pause=lambda s: wait(page, s))
    for number in range(40):  # the collector's socket is closed
        page.evaluate("(i) => llmtrack.track('tick', {i})", number)
        wait(page, 0.1)
    with serving(app, port):
        until(lambda: exact(events(store, session_id), 41), 15, lambda s: wait(page, s))
    stored = [event["data"]["i"] for event in events(store, session_id) if event["type"] == "tick"]
    assert stored == list(range(40))


def test_a_collector_that_is_down_at_close_hears_of_it_at_the_next_page_load(
    context: BrowserContext, app: Flask, store: Store
) -> None:
    page = context.new_page()
    with serving(app) as port:
        site = Site(f"http://127.0.0.1:{port}/llmtrack.js")
    with serve_site(site):
        with serving(app, port):
            session_id = visit(page, site)
            until(lambda: events(store, session_id), pause=lambda s: wait(page, s))
        page.evaluate("for (let i = 0; i < 60; i++) llmtrack.track('tick', {i})")
        page.close(run_before_unload=True)
        with serving(app, port):
            following = context.new_page()
            visit(following, site)
            ticks = lambda: [event for event in events(store, session_id) if event["type"] == "tick"]  # noqa: E731
            until(lambda: [each["data"]["i"] for each in ticks()] == [*range(60)], pause=lambda s: wait(following, s))
            until(lambda: (store.find(session_id) or {}).get("end_time"), pause=lambda s: wait(following, s))


def test_a_start_whose_answer_is_lost_and_a_token_that_grows_old_cost_nothing(
    context: BrowserContext, settings: Settings, store: Store
) -> None:
    lost: list[int] = []

    def lose_the_first(route: Route) -> None:
        if lost:
            route.continue_()
        else:
            lost.append(route.fetch().status)
            route.abort()

    hasty = settings.changed(token_age_s=1)
    page = context.new_page()
    page.route("**/api/session/start", lose_the_first)
    starts: list[str] = []
    page.on("response", lambda answer: starts.append(answer.url) if answer.url.endswith("/start") else None)
    with (
        serving(create_app(hasty, store, ChatClient(hasty))) as port,
        serve_site(Site(f"http://127.0.0.1:{port}/llmtrack.js")) as site,
    ):
        session_id = visit(page, site)
        until(lambda: exact(events(store, session_id), 1), pause=lambda s: wait(page, s))
        for last in (2, 3):
            wait(page, 3)
            page.evaluate("llmtrack.track('late', {})")
            until(lambda last=last: exact(events(store, session_id), last), pause=lambda s: wait(page, s))
    assert lost == [201]
    assert len(starts) >= 3


def test_the_chat_page_is_tracked_under_its_own_policy(context: BrowserContext, app: Flask, store: Store) -> None:
    page = context.new_page()
    with serving(app) as port:
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("window.llmtrack?.sessionId")
        session_id = page.evaluate("llmtrack.sessionId")
        until(lambda: events(store, session_id), pause=lambda s: wait(page, s))
        page.close(run_before_unload=True)
        until(lambda: (store.find(session_id) or {}).get("end_time"))
