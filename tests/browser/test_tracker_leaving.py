"""What arrives when a page is left, in its details; the ways to leave one are measured in tests/browser/engines."""

from __future__ import annotations

import threading

import pytest
from playwright.sync_api import BrowserContext, Page
from playwright.sync_api import Error as BrowserError

from tests.browser.standin import Collector, Site, until


def wait(page: Page, seconds: float) -> None:
    page.wait_for_timeout(seconds * 1000)


def track(page: Page, count: int, text: int = 0) -> None:
    page.evaluate(
        "([count, text]) => { for (let i = 0; i < count; i++) llmtrack.track('tick', {i, text: 'x'.repeat(text)}); }",
        [count, text],
    )


def arrive(page: Page, collector: Collector, site: Site, **attributes: str) -> str:
    """A visit whose first event is acknowledged; its session id."""
    page.goto(site.page(**attributes))
    page.wait_for_function("window.llmtrack?.sessionId")
    session_id: str = page.evaluate("llmtrack.sessionId")
    until(lambda: session_id in collector.visits and collector.visits[session_id].events, pause=lambda s: wait(page, s))
    wait(page, 0.2)
    return session_id


def load_next(context: BrowserContext, collector: Collector, site: Site) -> Page:
    """The next page load of the same browser, with what it brings along."""
    page = context.new_page()
    arrive(page, collector, site)
    wait(page, 0.5)
    return page


def spools(page: Page) -> list[str]:
    found: list[str] = page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('llmtrack:spool:'))")
    return found


def navigate(page: Page) -> None:
    page.goto(page.url.replace("page.html", "elsewhere.html"))


def crash(page: Page) -> None:
    with pytest.raises(BrowserError):
        page.goto("chrome://crash")


def test_an_end_says_when_the_page_was_left(page: Page, collector: Collector, site: Site) -> None:
    visit = collector.visits[arrive(page, collector, site)]
    began = visit.times("activity")[0]
    wait(page, 1)
    navigate(page)
    until(lambda: visit.ends, pause=lambda s: wait(page, s))
    assert 1000 <= visit.ends[0] - began <= 2500


def test_a_beacon_keeps_to_64_kib_and_the_spool_brings_the_rest(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    page = context.new_page()
    visit = collector.visits[arrive(page, collector, site)]
    collector.hold = threading.Event()
    track(page, 50, text=3000)
    navigate(page)
    until(lambda: collector.sent("end"), pause=lambda s: wait(page, s))
    collector.hold.set()
    (end,) = collector.sent("end")
    assert 50_000 < end.size <= 65_536
    assert len(visit.of("tick")) < 50
    load_next(context, collector, site)
    until(lambda: len(visit.of("tick")) == 50, pause=lambda s: wait(page, s))
    assert visit.complete


def test_beacons_of_the_page_itself_leave_room_for_an_end(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    page = context.new_page()
    visit = collector.visits[arrive(page, collector, site)]
    collector.hold = threading.Event()
    track(page, 15, text=2000)
    page.evaluate("addEventListener('pagehide', () => navigator.sendBeacon('/', 'x'.repeat(55000)), true)")
    navigate(page)
    until(lambda: visit.ends, pause=lambda s: wait(page, s))
    collector.hold.set()
    load_next(context, collector, site)
    assert visit.complete


@pytest.mark.parametrize("delay_s", [0, 0.03, 0.1, 0.3])
def test_a_reply_during_unload_clears_only_what_it_acknowledged(
    context: BrowserContext, collector: Collector, site: Site, delay_s: float
) -> None:
    page = context.new_page()
    visit = collector.visits[arrive(page, collector, site)]
    collector.hold = threading.Event()
    track(page, 100)
    until(lambda: len(visit.of("tick")) > 0, pause=lambda s: wait(page, s))  # 20 are stored, their answer is held
    collector.away = True  # the beacon fails
    threading.Timer(delay_s, collector.hold.set).start()
    navigate(page)
    wait(page, 0.5)
    assert len(visit.of("tick")) == 20
    collector.away = False
    load_next(context, collector, site)
    until(lambda: len(visit.of("tick")) == 100, pause=lambda s: wait(page, s))
    assert visit.complete


def test_hidden_after_pagehide_changes_nothing(page: Page, collector: Collector, site: Site) -> None:
    page.add_init_script(
        "addEventListener('pagehide', () => setTimeout(() => document.dispatchEvent(new Event('visibilitychange'))));"
    )
    visit = collector.visits[arrive(page, collector, site)]
    track(page, 3)
    navigate(page)
    wait(page, 0.5)
    assert len(visit.ends) == 1
    assert visit.complete


def test_a_visit_that_never_reached_the_server_is_started_by_the_next_page(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    collector.away = True
    collector.ahead_ms = 3_600_000
    page = context.new_page()
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    session_id = page.evaluate("llmtrack.sessionId")
    track(page, 5)
    wait(page, 1)
    page.close(run_before_unload=True)
    collector.away = False
    following = load_next(context, collector, site)
    until(lambda: session_id in collector.visits, pause=lambda s: wait(following, s))
    visit = collector.visits[session_id]
    until(lambda: visit.ends, pause=lambda s: wait(following, s))
    assert visit.complete
    assert visit.start["age_ms"] > 1000
    own = next(v for v in collector.visits.values() if v is not visit)
    # Stamped by a page that never knew the server's clock, an hour ahead; corrected by one that does.
    assert 1000 <= own.times("activity")[0] - visit.times("activity")[0] <= 6000
    assert spools(following) == []


def test_a_second_tab_leaves_the_spool_of_a_living_one_alone(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    one = context.new_page()
    session_id = arrive(one, collector, site)
    one.route("**/api/session/event", lambda route: route.abort())
    track(one, 20)
    wait(one, 1.3)
    assert len(spools(one)) == 1
    two = load_next(context, collector, site)
    wait(two, 0.5)
    assert collector.visits[session_id].of("tick") == []
    one.close(run_before_unload=True)
    load_next(context, collector, site)
    assert collector.visits[session_id].complete


def test_a_spool_without_a_living_page_is_sent_after_two_minutes_and_forgotten_after_a_day(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    context.add_init_script("delete window.fetchLater;")
    ids = []
    for _ in range(2):
        page = context.new_page()
        ids.append(arrive(page, collector, site))
        track(page, 5)
        wait(page, 1.2)
        crash(page)
    page = context.new_page()
    page.goto(f"{site.url}/elsewhere.html")
    assert len(spools(page)) == 2
    age = """([id, by]) => {
      const spool = JSON.parse(localStorage["llmtrack:spool:" + id]);
      localStorage["llmtrack:spool:" + id] = JSON.stringify({...spool, at: spool.at - by});
    }"""
    page.evaluate(age, [ids[0], 121_000])
    page.evaluate(age, [ids[1], 86_500_000])
    following = load_next(context, collector, site)
    assert len(collector.visits[ids[0]].of("tick")) == 5
    assert len(collector.visits[ids[1]].of("tick")) == 0
    assert spools(following) == []


def test_a_spool_nobody_can_read_is_thrown_away(page: Page, collector: Collector, site: Site) -> None:
    page.goto(f"{site.url}/elsewhere.html")
    page.evaluate("localStorage['llmtrack:spool:a'] = '{'; localStorage['llmtrack:spool:b'] = 'null';")
    arrive(page, collector, site)
    wait(page, 0.3)
    assert spools(page) == []


def test_the_spool_can_be_switched_off(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site, spool="off")
    collector.away = True
    track(page, 30)
    wait(page, 1.5)
    assert spools(page) == []
    navigate(page)
    assert spools(page) == []


def test_nothing_stays_in_the_spool_once_it_is_acknowledged(page: Page, collector: Collector, site: Site) -> None:
    arrive(page, collector, site)
    track(page, 20)
    until(lambda: collector.visit.of("tick"), pause=lambda s: wait(page, s))
    wait(page, 0.3)
    assert spools(page) == []


def test_a_page_from_the_back_forward_cache_is_a_new_visit(page: Page, collector: Collector, site: Site) -> None:
    first = arrive(page, collector, site)
    page.evaluate("window.kept = true")
    track(page, 3)
    navigate(page)
    page.evaluate("setTimeout(() => history.back())")
    page.wait_for_url("**/page.html*", wait_until="commit")
    until(lambda: len(collector.visits) == 2, pause=lambda s: wait(page, s))
    assert page.evaluate("window.kept")  # restored, not loaded
    second = page.evaluate("llmtrack.sessionId")
    assert second != first
    assert collector.visits[second].start["previous_session_id"] == first
    assert collector.visits[first].complete
    assert collector.visits[first].ends
    track(page, 3)
    navigate(page)
    until(lambda: collector.visits[second].ends, pause=lambda s: wait(page, s))
    assert collector.visits[second].complete
    assert len(collector.visits[second].of("activity")) == 1
