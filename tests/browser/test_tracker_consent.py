"""data-consent="required": nothing is stored or sent before the person agrees, nor after they take it back."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.standin import Collector, Site, until
from tests.browser.test_tracker_host import DNT, GPC, stored, wait

USE = """() => {
  llmtrack.track("note", {});
  const range = document.createRange();
  range.selectNodeContents(document.querySelector("p"));
  getSelection().removeAllRanges();
  getSelection().addRange(range);
}"""


def visit(page: Page, site: Site, **attributes: str) -> None:
    page.goto(site.page(**attributes))
    page.wait_for_function("window.llmtrack")


def again(page: Page) -> None:
    page.reload()
    page.wait_for_function("window.llmtrack")


def use(page: Page, seconds: float = 1.5) -> None:
    page.evaluate(USE)
    page.click("#button")
    page.mouse.wheel(0, 200)
    wait(page, seconds)


def kinds(collector: Collector) -> set[str]:
    return {event["type"] for each in collector.visits.values() for event in each.events.values()}


def test_nothing_is_stored_or_sent_before_consent(page: Page, collector: Collector, site: Site) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    visit(page, site, consent="required")
    assert page.evaluate("llmtrack.sessionId") is None
    use(page)
    page.goto(site.page("elsewhere.html"))  # nor on leaving
    wait(page, 0.3)
    assert collector.requests == []
    assert [url for url in asked if "/api/" in url] == []
    assert stored(page) == []
    assert page.context.cookies() == []


def test_a_session_begins_with_consent_and_the_next_page_remembers_it(
    page: Page, collector: Collector, site: Site
) -> None:
    visit(page, site, consent="required")
    use(page, 0.2)
    page.evaluate("llmtrack.consent(true)")
    session_id = page.evaluate("llmtrack.sessionId")
    page.evaluate("llmtrack.consent(true)")  # once is enough
    assert page.evaluate("llmtrack.sessionId") == session_id
    page.click("#button")
    until(lambda: "click" in kinds(collector), pause=lambda s: wait(page, s))
    assert list(collector.visits) == [session_id]
    assert "note" not in kinds(collector)  # what was before stays unknown
    assert len(collector.visit.of("click")) == 1
    assert page.evaluate("localStorage['llmtrack:consent']") == "1"
    again(page)
    until(lambda: len(collector.visits) == 2, pause=lambda s: wait(page, s))
    users = {each.start["user_id"] for each in collector.visits.values()}
    assert len(users) == 1


def test_what_was_done_just_before_consent_is_not_sent(page: Page, collector: Collector, site: Site) -> None:
    visit(page, site, consent="required")
    page.evaluate(f"({USE})(); scrollTo(0, 300)")
    wait(page, 0.3)
    page.evaluate("llmtrack.consent(true)")
    until(lambda: kinds(collector), pause=lambda s: wait(page, s))
    wait(page, 2.5)
    assert "selection" not in kinds(collector)
    began = collector.visit.start
    assert all(event["t"] >= int(began["session_id"].split("_")[2]) - 1000 for event in collector.visit.events.values())


def test_withdrawal_stops_every_tab_and_forgets_and_consent_can_be_given_again(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    one, two = context.new_page(), context.new_page()
    visit(one, site, consent="required")
    one.evaluate("llmtrack.consent(true)")
    visit(two, site, consent="required")
    until(lambda: len(collector.visits) == 2, pause=lambda s: wait(one, s))
    user = one.evaluate("localStorage['llmtrack:user']")
    wait(one, 2.5)
    collector.away = True  # so that something waits to be sent
    one.evaluate("llmtrack.track('secret', {})")
    wait(one, 1.2)
    one.evaluate("llmtrack.consent(false)")
    collector.away = False
    before = len(collector.requests)
    assert [page.evaluate("llmtrack.sessionId") for page in (one, two)] == [None, None]
    for page in (one, two):
        use(page, 0.2)
    wait(one, 3)
    again(two)
    use(two, 1)
    assert len(collector.requests) == before
    assert stored(one) == ["llmtrack:consent"]
    assert one.evaluate("localStorage['llmtrack:consent']") == ""

    one.evaluate("llmtrack.consent(true)")
    until(lambda: len(collector.visits) == 4, pause=lambda s: wait(one, s))  # in both tabs
    wait(one, 2.5)
    assert "secret" not in kinds(collector)
    assert one.evaluate("localStorage['llmtrack:user']") != user


def test_a_refusal_holds_where_no_consent_is_required(page: Page, collector: Collector, site: Site) -> None:
    visit(page, site)
    until(lambda: collector.visits, pause=lambda s: wait(page, s))
    page.evaluate("llmtrack.consent(false)")
    wait(page, 0.3)
    before = len(collector.requests)
    again(page)
    use(page)
    assert len(collector.requests) == before
    assert stored(page) == ["llmtrack:consent"]


def opted_out(page: Page, site: Site) -> None:
    visit(page, site, consent="required")
    page.evaluate("llmtrack.optOut()")


def signalled(signal: str) -> Callable[[Page, Site], None]:
    def prepare(page: Page, site: Site) -> None:
        page.add_init_script(signal)
        visit(page, site, consent="required", respect_dnt="")

    return prepare


@pytest.mark.parametrize("prepare", [opted_out, signalled(GPC), signalled(DNT)], ids=["optOut", "gpc", "dnt"])
def test_consent_is_no_answer_to_a_no_that_was_said(
    page: Page, collector: Collector, site: Site, prepare: Callable[[Page, Site], None]
) -> None:
    prepare(page, site)
    page.evaluate("llmtrack.consent(true)")
    use(page)
    assert page.evaluate("llmtrack.sessionId") is None
    assert collector.requests == []
    assert "llmtrack:user" not in stored(page)


def test_consent_holds_for_the_page_where_nothing_can_be_stored(page: Page, collector: Collector, site: Site) -> None:
    page.add_init_script("Object.defineProperty(window, 'localStorage', {get() { throw new Error('no'); }});")
    visit(page, site, consent="required")
    use(page, 0.3)
    assert collector.requests == []
    page.evaluate("llmtrack.consent(true)")
    until(lambda: collector.visits, pause=lambda s: wait(page, s))
    page.evaluate("llmtrack.consent(false)")
    wait(page, 0.3)
    before = len(collector.requests)
    use(page)
    assert len(collector.requests) == before
