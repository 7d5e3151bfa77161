"""The same visit is the same events, in the same order, whatever the engine."""

from __future__ import annotations

from itertools import pairwise

from tests.browser.driving import Tab
from tests.browser.standin import Collector, Site


def test_one_visit_in_every_engine(tab: Tab, collector: Collector, site: Site) -> None:
    tab.open(site.page(hash_routes="", utm_source="letter", secret="hidden"))
    tab.until(lambda: collector.visits and collector.visit.events)
    tab.click("document.querySelector('#button')")
    tab.drag_over("document.querySelector('#answer')")
    tab.run(
        """() => document.addEventListener("copy", (event) => {
          event.clipboardData.setData("text/plain", "what the page gives instead");
          event.preventDefault();
        })"""
    )
    tab.press("Control+c")
    tab.run("() => history.pushState({}, '', '/host/route-b?secret=1#x')")
    tab.run("() => history.replaceState({}, '', '/host/route-b?secret=2')")  # the same page
    tab.run("() => { location.hash = '#/settings?secret=3'; }")
    tab.wait(0.3)
    tab.run("() => { location.hash = 'access_token=secret'; }")  # no route
    tab.wait(0.3)
    tab.open("about:blank")
    tab.until(lambda: collector.visit.ends)
    visit, page = collector.visit, f"{site.url}/host/route-b"
    environment = visit.start["environment"]
    assert (environment["utm_source"], environment["page_url"]) == ("letter", f"{site.url}/page.html")
    told = [event["type"] for _, event in sorted(visit.events.items()) if event["type"] != "visibility"]
    kinds = [kind for kind in told if kind != "click"]  # the end of a drag is a click in some
    assert kinds == ["activity", "selection", "copy", "navigation", "navigation", "navigation", "view", "view"]
    assert (visit.of("click")[0]["target"], visit.of("click")[0]["name"]) == ("BUTTON", "Press")
    (selection,), (copy,) = visit.of("selection"), visit.of("copy")
    assert copy == {**selection, "selected_text": "what the page gives instead"}
    assert visit.of("navigation") == [
        {"page_url": page},
        {"page_url": page, "route": "#/settings"},
        {"page_url": page},
    ]
    assert "secret=" not in str([request.body for request in collector.requests])


def test_a_page_whose_frame_has_the_focus_is_active(tab: Tab, collector: Collector, site: Site) -> None:
    def pass_by(seconds: float) -> None:
        """The clock goes on, and nobody touches the page."""
        tab.run("(ms) => { const { now } = Date; Date.now = () => now() + ms; }", seconds * 1000)

    tab.open(site.page("trees.html"))
    tab.until(lambda: collector.visits and collector.visit.events)
    tab.click("parts.frame")
    tab.run("() => parts.frame.focus()")  # in WebKit a driver's click does not reach it
    tab.until(lambda: tab.run("() => document.hasFocus() && document.activeElement.tagName") == "IFRAME")
    pass_by(31)
    tab.wait(0.6)
    tab.click("parts.before")
    pass_by(31)
    tab.wait(0.6)
    tab.open("about:blank")
    tab.until(lambda: collector.visit.ends)
    active, idle = {"activity_state": "active"}, {"activity_state": "idle"}
    assert collector.visit.of("activity") == [active, {**active, "frame": True}, idle]
    since = [later - earlier for earlier, later in pairwise(collector.visit.times("activity"))]
    assert 31_000 <= since[0] < 40_000
    assert 30_000 <= since[1] < 40_000
