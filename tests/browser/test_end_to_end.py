"""The whole way, once, for real: a visit in Chromium, a model over HTTP, the collector, and a replay in a terminal."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from llmtrack.store.database.sessions import Store
from tests.collector.model_server import ModelServer, running
from tests.processes import Serving, llmtrack, serving

ANSWER = "Supervised learning learns from examples with answers.\n\n" + "It needs labels for every example.\n\n" * 60
CONFIGURATION = """
[[experiments.production_v1.groups]]
name = "local"
model = "tiny-model"
provider = "local"
base_url = "{base_url}"
"""


@pytest.fixture
def model() -> Iterator[ModelServer]:
    with running() as server:
        server.answer = ANSWER
        yield server


@pytest.fixture
def server(tmp_path: Path, mongodb_uri: str, store: Store, model: ModelServer) -> Iterator[Serving]:
    (tmp_path / "llmtrack.toml").write_text(CONFIGURATION.format(base_url=model.base_url))
    with serving(tmp_path, MONGODB_URI=mongodb_uri) as server:
        yield server


def ask(page: Page, text: str, answers: int) -> None:
    page.get_by_label("Your message").fill(text)
    page.get_by_label("Your message").press("Enter")
    expect(page.locator("[data-turn-id] .tools, [data-turn-id]").nth(answers - 1)).to_be_visible()
    expect(page.get_by_label("Stop answering")).to_be_hidden(timeout=20_000)


def session_id(page: Page) -> str:
    return page.evaluate("window.llmtrack.sessionId")


def wait_for(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_visit_replays_in_true_order(
    context: BrowserContext, server: Serving, store: Store, mongodb_uri: str
) -> None:
    posted: list[str] = []
    context.on(
        "request", lambda request: posted.append(urlsplit(request.url).path) if request.method == "POST" else None
    )
    page = context.new_page()
    page.clock.install()
    page.goto(server.url)
    visit = session_id(page)
    chat = page.evaluate("sessionStorage.getItem('sessionId')")

    ask(page, "What is supervised learning?", 1)
    page.mouse.move(400, 300)
    page.mouse.wheel(0, -400)  # the page has followed the answer to its end
    page.wait_for_timeout(700)
    page.locator("[data-turn-id] p").first.click(click_count=3)
    page.wait_for_timeout(1_000)
    page.keyboard.press("Control+c")
    page.get_by_role("button", name="New Chat").first.click()
    assert page.evaluate("sessionStorage.getItem('sessionId')") != chat
    assert session_id(page) == visit
    ask(page, "And what is unsupervised learning?", 1)
    page.wait_for_timeout(500)
    page.clock.fast_forward(40_000)  # only now: it takes the page's clock away from the server's
    page.mouse.move(300, 310)
    wait_for(lambda: "/api/session/event" in posted)
    page.close()
    wait_for(lambda: (store.find(visit) or {}).get("end_time") is not None)

    assert {"/api/session/start", "/api/session/event", "/query"} <= set(posted)
    document = store.find(visit)
    assert document["received"] == [[1, document["last_n"]]], "some of the tracker's events were lost"
    assert [event["t"] for event in document["events"]] == sorted(event["t"] for event in document["events"])

    told = llmtrack("replay", visit, MONGODB_URI=mongodb_uri, COLUMNS="120")
    assert (told.returncode, told.stderr) == (0, "")
    assert "\x1b" not in told.stdout
    in_order = [
        r"local",
        r"arrived",
        r"asked .*\n.*What is supervised learning\?",
        r"answered",
        r"scrolled",
        r"selected “Supervised learning",
        r"copied “Supervised learning",
        r"new chat",
        r"asked .*\n.*And what is unsupervised learning\?",
        r"answered",
        r"went idle",
        r"came back",
        r"closed the page",
    ]
    place = 0
    for sentence in in_order:
        found = re.compile(sentence).search(told.stdout, place)
        assert found, f"{sentence!r} is not told, or not in its place:\n{told.stdout}"
        place = found.end()


def test_a_visit_as_json_names_the_answer_that_was_copied(page: Page, server: Serving, mongodb_uri: str) -> None:
    page.goto(server.url)
    visit = session_id(page)
    ask(page, "What is supervised learning?", 1)
    page.locator("[data-turn-id] p").first.click(click_count=3)
    page.keyboard.press("Control+c")
    page.wait_for_timeout(2_500)
    told = json.loads(llmtrack("replay", visit, "--format", "json", MONGODB_URI=mongodb_uri).stdout)
    assert set(told) == {"session", "events"}
    by_type = {event["type"]: event for event in told["events"]}
    assert set(by_type["copy"]) == {"t", "at_s", "type", "data"}
    assert by_type["copy"]["data"]["turn_id"] == by_type["model_response"]["data"]["turn_id"]
    assert by_type["model_response"]["data"]["model"] == "tiny-model"


@pytest.mark.parametrize("way", ["away for some seconds", "killed between two batches"])
def test_a_server_that_goes_and_comes_back_loses_nothing(
    page: Page, tmp_path: Path, mongodb_uri: str, store: Store, way: str
) -> None:
    with serving(tmp_path, MONGODB_URI=mongodb_uri) as server:
        page.goto(server.url)
        visit = session_id(page)
        track = "number => window.llmtrack.track('step', { number })"
        for number in range(10):
            page.evaluate(track, number)
        wait_for(lambda: len((store.find(visit) or {}).get("events", [])) >= 10)
        server.kill()
        for number in range(10, 20):
            page.evaluate(track, number)
            page.wait_for_timeout(1_000 if way.startswith("away") else 20)
        server.start()
        for number in range(20, 30):
            page.evaluate(track, number)
        wait_for(lambda: sum(event["type"] == "step" for event in store.find(visit)["events"]) >= 30, 30)
        document = store.find(visit)
        steps = [event["data"]["number"] for event in document["events"] if event["type"] == "step"]
        assert steps == list(range(30))
        assert document["received"] == [[1, document["last_n"]]]
