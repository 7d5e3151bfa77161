"""How events reach the server: batches, retries, clocks."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate
from itertools import pairwise

import pytest
from playwright.sync_api import Page

from tests.browser.standin import Collector, Site, until


def wait(page: Page, seconds: float) -> None:
    page.wait_for_timeout(seconds * 1000)


def track(page: Page, count: int, kind: str = "tick") -> None:
    page.evaluate("([count, kind]) => { for (let i = 0; i < count; i++) llmtrack.track(kind, {i}); }", [count, kind])


def arrive(page: Page, collector: Collector, site: Site) -> Page:
    """A visit whose first event has arrived."""
    page.goto(site.page(user="alice"))
    until(lambda: collector.sent("event"), pause=lambda s: wait(page, s))
    wait(page, 0.2)
    return page


def ticks(collector: Collector, count: int) -> bool:
    return len(collector.visit.of("tick")) == count


def test_events_go_as_plain_text_without_preflight(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    track(page, 1)
    until(lambda: ticks(collector, 1), pause=lambda s: wait(page, s))
    assert {request.method for request in collector.requests} == {"POST"}
    assert all(request.content_type.startswith("text/plain") for request in collector.requests)
    assert all(request.body["token"] == "token" for request in collector.sent("event"))


def test_a_batch_waits_two_seconds_at_most(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    began = time.monotonic()
    for _ in range(5):
        track(page, 1)
        wait(page, 0.2)
    until(lambda: ticks(collector, 5), pause=lambda s: wait(page, s))
    assert 1.5 <= collector.sent("event")[-1].at - began <= 2.6
    assert len(collector.sent("event")) == 2


def test_twenty_events_or_40_kb_go_at_once(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    track(page, 50)
    until(lambda: ticks(collector, 50), 1.5, lambda s: wait(page, s))
    assert max(len(request.ns) for request in collector.requests) == 20
    page.evaluate("for (let i = 0; i < 6; i++) llmtrack.track('big', {text: 'é'.repeat(9000)})")
    until(lambda: len(collector.visit.of("big")) == 6, 1.5, lambda s: wait(page, s))
    assert max(request.size for request in collector.requests) <= 41_000
    assert collector.visit.complete


def test_one_request_at_a_time(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    before = len(collector.requests)
    collector.hold = threading.Event()
    track(page, 100)
    wait(page, 1.5)
    assert len(collector.requests) == before + 1
    collector.hold.set()
    until(lambda: ticks(collector, 100), pause=lambda s: wait(page, s))
    assert [n for request in collector.sent("event") for n in request.ns] == list(range(1, 102))


def test_a_ten_second_outage_costs_few_requests_and_no_event(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    before = len(collector.requests)
    collector.away = True
    for _ in range(50):
        track(page, 4)
        wait(page, 0.2)
    failed = collector.requests[before:]
    collector.away = False
    until(lambda: ticks(collector, 200), 12, lambda s: wait(page, s))
    assert 3 <= len(failed) <= 5  # new events did not bypass the back-off
    pauses = [later.at - earlier.at for earlier, later in pairwise(failed)]
    assert all(later > earlier * 1.2 for earlier, later in pairwise(pauses))
    answered = [n for request in collector.requests if request.status for n in request.ns]
    assert sorted(answered) == list(range(1, 202))  # nothing lost, nothing twice


def test_pauses_are_jittered(page: Page, collector: Collector, site: Site) -> None:
    collector.away = True
    pages = [page, page.context.new_page(), page.context.new_page()]
    for each in pages:
        each.goto(site.page())
    until(lambda: len(collector.requests) >= 9, 10, lambda s: wait(page, s))
    times: dict[str, list[float]] = {}
    for request in list(collector.requests):
        times.setdefault(request.body["session_id"], []).append(request.at)
    firsts = [round(at[1] - at[0], 2) for at in times.values()]
    assert all(1 <= first <= 1.6 for first in firsts)
    assert len(set(firsts)) > 1


@pytest.mark.parametrize("status", [500, 503, 429])
def test_server_trouble_is_retried(page: Page, collector: Collector, site: Site, status: int) -> None:
    arrive(page, collector, site)
    collector.answers = [(status, {})]
    track(page, 20)
    until(lambda: ticks(collector, 20), pause=lambda s: wait(page, s))
    assert collector.visit.complete


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(page: Page, collector: Collector, site: Site, form: str) -> None:
    arrive(page, collector, site)
    after = "3" if form == "seconds" else formatdate(time.time() + 4, usegmt=True)
    collector.answers = [(429, {"Retry-After": after})]
    track(page, 20)
    until(lambda: ticks(collector, 20), 12, lambda s: wait(page, s))
    refused, again = collector.sent("event")[-2:]
    assert refused.status == 429
    assert 2.8 <= again.at - refused.at <= 5


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_token_that_is_not_good_any_more_is_renewed_as_often_as_it_takes(
    page: Page, collector: Collector, site: Site, status: int
) -> None:
    arrive(page, collector, site)
    for name in ("tick", "tock"):
        collector.answers = [(status, {})]
        track(page, 20, name)
        until(lambda name=name: len(collector.visit.of(name)) == 20, pause=lambda s: wait(page, s))
    assert collector.visit.complete
    starts = [request.body for request in collector.sent("start")]
    assert len(starts) == 3
    assert len({(start["session_id"], start["secret"]) for start in starts}) == 1
    assert len(starts[0]["secret"]) >= 20


def test_an_end_that_came_with_an_old_token_is_sent_again_with_a_new_one(
    page: Page, collector: Collector, site: Site
) -> None:
    arrive(page, collector, site)
    collector.answers = [(401, {})]
    page.close(run_before_unload=True)
    until(lambda: not collector.answers)
    following = page.context.new_page()
    following.goto(site.page())
    first = next(iter(collector.visits.values()))
    until(lambda: first.ends, pause=lambda s: wait(following, s))


def test_what_is_refused_after_a_new_start_is_given_up(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    collector.answers = [(403, {}), (200, {}), (403, {})]
    track(page, 20)
    wait(page, 0.5)
    track(page, 20, "later")
    until(lambda: len(collector.visit.of("later")) == 20, pause=lambda s: wait(page, s))
    assert len(collector.sent("start")) == 2
    assert len(collector.visit.of("tick")) == 0


@pytest.mark.parametrize("status", [400, 422])
def test_a_refused_batch_is_never_sent_again(page: Page, collector: Collector, site: Site, status: int) -> None:
    warnings: list[str] = []
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    arrive(page, collector, site)
    collector.answers = [(status, {}), (status, {})]
    track(page, 40)
    wait(page, 0.5)
    track(page, 20, "later")
    until(lambda: len(collector.visit.of("later")) == 20, pause=lambda s: wait(page, s))
    sent = [n for request in collector.sent("event") for n in request.ns]
    assert len(sent) == len(set(sent)) == 61
    assert len(collector.visit.of("tick")) == 0
    assert len(warnings) == 1


def test_a_refused_start_ends_tracking_quietly(page: Page, collector: Collector, site: Site) -> None:
    collector.answers = [(422, {})]
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    track(page, 50)
    wait(page, 2.5)
    assert len(collector.requests) == 1
    assert page.evaluate("Object.keys(localStorage).filter((key) => key.includes('spool'))") == []


def test_a_session_the_server_lost_is_started_again(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    for _ in range(2):
        collector.visits.clear()
        track(page, 20)
        until(lambda: collector.visits and ticks(collector, 20), pause=lambda s: wait(page, s))
    assert len(collector.sent("start")) == 3


def test_events_wait_while_start_is_away(page: Page, collector: Collector, site: Site) -> None:
    collector.away = True
    collector.ahead_ms = 7_200_000
    page.goto(site.page())
    began = time.time() * 1000
    page.wait_for_function("window.llmtrack?.sessionId")
    track(page, 30)
    wait(page, 2)
    collector.away = False
    until(lambda: collector.visits and ticks(collector, 30), pause=lambda s: wait(page, s))
    tries = collector.sent("start")
    assert len({request.body["session_id"] for request in tries}) == 1
    assert tries[0].body["age_ms"] < 500
    assert tries[-1].body["age_ms"] == pytest.approx((tries[-1].at - tries[0].at) * 1000, abs=300)
    # Stamped before the server's clock was known, corrected when it was.
    assert collector.visit.times("tick")[0] == pytest.approx(began + 7_200_000, abs=1000)


@pytest.mark.parametrize("ahead_ms", [-86_400_000, 0, 3_000_000])
def test_stamps_are_server_time(page: Page, collector: Collector, site: Site, ahead_ms: int) -> None:
    collector.ahead_ms = ahead_ms
    arrive(page, collector, site)
    now = time.time() * 1000 + ahead_ms
    track(page, 20)
    until(lambda: ticks(collector, 20), pause=lambda s: wait(page, s))
    assert collector.visit.times("tick")[0] == pytest.approx(now, abs=250)
    sent = collector.sent("event")[-1]
    assert sent.body["sent_at"] == pytest.approx(now, abs=500)


def test_a_clock_that_is_set_back_never_reverses_events(page: Page, collector: Collector, site: Site) -> None:
    page.add_init_script("const real = Date.now; window.shift = 0; Date.now = () => real() + window.shift;")
    arrive(page, collector, site)
    track(page, 1)
    page.evaluate("window.shift = -3_600_000")
    track(page, 1)
    page.evaluate("window.shift = 0")  # and right again: no time has passed
    track(page, 1)
    until(lambda: ticks(collector, 3), pause=lambda s: wait(page, s))
    times = collector.visit.times("tick")
    assert times == sorted(times)
    assert times[-1] - times[0] < 1000


def test_hiding_the_page_sends_at_once(page: Page, collector: Collector, site: Site) -> None:
    # A headless browser hides no page: the tracker's own listener is called as the browser would call it.
    page.add_init_script(
        """const listen = document.addEventListener;
        document.addEventListener = function (type, listener, options) {
          if (type === "visibilitychange") window.onHidden = () => listener({ isTrusted: true });
          return listen.call(this, type, listener, options);
        };"""
    )
    arrive(page, collector, site)
    track(page, 3)
    page.evaluate(
        "for (const [name, value] of [['hidden', true], ['visibilityState', 'hidden']])"
        " Object.defineProperty(document, name, {value}); onHidden()"
    )
    until(lambda: ticks(collector, 3), 1, lambda s: wait(page, s))
    page.goto("about:blank")
    until(lambda: collector.visit.ends, pause=lambda s: wait(page, s))
    assert len(collector.visit.ends) == 1
