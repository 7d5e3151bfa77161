"""What the page that hosts the tracker, and the person on it, are promised."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from statistics import mean, median

import pytest
from playwright.sync_api import BrowserContext, Page

from tests.browser.standin import TRACKER, Collector, Site, until

NewContext = Callable[..., BrowserContext]

GPC = "Object.defineProperty(Navigator.prototype, 'globalPrivacyControl', {value: true});"
DNT = "Object.defineProperty(Navigator.prototype, 'doNotTrack', {value: '1'});"


def wait(page: Page, seconds: float) -> None:
    page.wait_for_timeout(seconds * 1000)


def stored(page: Page) -> list[str]:
    keys: list[str] = page.evaluate("Object.keys(localStorage)")
    return keys


def test_the_tracker_is_at_most_seven_kilobytes_as_served() -> None:
    assert len(gzip.compress(TRACKER.read_bytes(), 6)) <= 7 * 1024


@pytest.mark.parametrize(("signal", "name"), [(GPC, "gpc"), (DNT, "dnt")])
def test_a_privacy_signal_is_recorded(page: Page, collector: Collector, site: Site, signal: str, name: str) -> None:
    page.add_init_script(signal)
    page.goto(site.page())
    until(lambda: collector.visits, pause=lambda s: wait(page, s))
    environment = collector.visit.start["environment"]
    assert {key: environment[key] for key in ("gpc", "dnt")} == {"gpc": False, "dnt": False} | {name: True}


@pytest.mark.parametrize("signal", [GPC, DNT])
def test_a_privacy_signal_is_honoured_on_request(page: Page, collector: Collector, site: Site, signal: str) -> None:
    page.add_init_script(signal)
    page.goto(site.page(respect_dnt=""))
    page.wait_for_function("window.llmtrack")
    page.evaluate("llmtrack.track('note', {})")
    page.click("#button")
    wait(page, 0.5)
    page.goto(site.page(respect_dnt=""))
    wait(page, 0.5)
    assert collector.requests == []
    assert stored(page) == []
    assert page.evaluate("llmtrack.sessionId") is None


def test_without_a_signal_respect_dnt_tracks(page: Page, collector: Collector, site: Site) -> None:
    page.goto(site.page(respect_dnt=""))
    until(lambda: collector.visits, pause=lambda s: wait(page, s))


def test_opting_out_forgets_and_stops_every_tab_for_good(
    context: BrowserContext, collector: Collector, site: Site
) -> None:
    one, two = context.new_page(), context.new_page()
    for page in (one, two):
        page.goto(site.page())
    until(lambda: len(collector.sent("event")) == 2, pause=lambda s: wait(one, s))
    wait(one, 0.2)
    collector.away = True
    one.evaluate("llmtrack.track('private', {})")
    wait(one, 1.2)
    one.evaluate("llmtrack.optOut()")
    collector.away = False
    before = len(collector.requests)
    assert stored(one) == ["llmtrack:optout"]
    assert one.evaluate("llmtrack.sessionId") is None
    for page in (one, two):
        page.evaluate("llmtrack.track('private', {})")
        page.click("#button")
    wait(one, 2.5)
    one.goto("about:blank")
    one.goto(site.page())
    wait(one, 0.5)
    two.close(run_before_unload=True)
    wait(one, 0.3)
    assert len(collector.requests) == before
    assert stored(one) == ["llmtrack:optout"]
    assert "private" not in str(collector.visits)


def test_no_address_carries_a_query_or_a_fragment(page: Page, collector: Collector, site: Site) -> None:
    page.goto(site.page(secret="hidden"), referer=f"{site.url}/elsewhere.html?secret=hidden")
    page.click("#button")
    page.goto("about:blank")
    until(lambda: collector.visits and collector.visit.ends, pause=lambda s: wait(page, s))
    bodies = json.dumps([request.body for request in collector.requests])
    assert collector.visit.start["environment"]["referrer"] == site.url
    assert "hidden" not in bodies
    assert "#part" not in bodies


BREAKS = {
    "storage forbidden": "Object.defineProperty(window, 'localStorage', {get() { throw new Error('forbidden'); }});",
    "storage full": "Storage.prototype.setItem = () => { throw new DOMException('full', 'QuotaExceededError'); };",
    "storage broken": "Storage.prototype.getItem = () => { throw new Error('broken'); };",
    "no fetchLater": "delete window.fetchLater;",
    "fetchLater refuses": "window.fetchLater = () => { throw new DOMException('quota', 'QuotaExceededError'); };",
    "beacons refused": "navigator.sendBeacon = () => false;",
    "beacons throw": "navigator.sendBeacon = () => { throw new Error('blocked'); };",
    "no randomUUID": "crypto.randomUUID = undefined;",
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_browser_is_still_tracked_and_sees_no_error(
    page: Page, collector: Collector, site: Site, what: str
) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(BREAKS[what])
    page.goto(site.page())
    until(lambda: collector.sent("event"), pause=lambda s: wait(page, s))
    page.evaluate("for (let i = 0; i < 20; i++) llmtrack.track('tick')")
    until(lambda: len(collector.visit.of("tick")) == 20, pause=lambda s: wait(page, s))
    page.goto("about:blank")
    wait(page, 0.1)
    assert errors == []


def test_track_never_throws_whatever_it_is_given(page: Page, collector: Collector, site: Site) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    page.evaluate(
        """() => {
          const cyclic = {}; cyclic.self = cyclic;
          let deep = {}; for (let i = 0; i < 100000; i++) deep = {deep};
          llmtrack.track("cyclic", cyclic);
          llmtrack.track("big", {value: 10n});
          llmtrack.track("getter", {get x() { throw new Error("mine"); }});
          llmtrack.track("json", {toJSON() { return undefined; }});
          llmtrack.track("deep", deep);
          llmtrack.track("huge", {list: Array(60000).fill(1)});
          llmtrack.track("nan", {value: NaN});
          llmtrack.track("list", [1, 2]);
          llmtrack.track(Symbol("type"), () => 1);
          llmtrack.track({toString() { throw new Error("mine"); }});
          llmtrack.track();
          llmtrack.track("last", null);
        }"""
    )
    until(lambda: collector.visits and collector.visit.of("last"), pause=lambda s: wait(page, s))
    visit = collector.visit
    for kind in ("cyclic", "big", "getter", "json", "deep"):
        assert visit.of(kind) == [{"unreadable": True}], kind
    assert visit.of("huge") == [{"truncated": 120010}]
    assert visit.of("nan") == [{"value": None}]
    assert visit.of("list") == [{"value": [1, 2]}]
    assert visit.complete
    assert errors == []


def test_data_is_recorded_as_it_was_when_tracked(page: Page, collector: Collector, site: Site) -> None:
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    page.evaluate(
        "const data = {step: 1}; llmtrack.track('wizard', data); data.step = 2; llmtrack.track('wizard', data)"
    )
    until(lambda: collector.visits and len(collector.visit.of("wizard")) == 2, pause=lambda s: wait(page, s))
    assert collector.visit.of("wizard") == [{"step": 1}, {"step": 2}]


def test_a_bad_endpoint_is_a_warning_not_an_error(page: Page, site: Site) -> None:
    errors: list[str] = []
    warnings: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda message: warnings.append(message.text) if message.type == "warning" else None)
    page.goto(site.page(endpoint="http://[broken"))
    page.wait_for_function("window.llmtrack")
    page.evaluate("llmtrack.track('note')")
    page.click("#button")
    assert errors == []
    assert len(warnings) == 1


def test_an_endpoint_may_lie_elsewhere_and_under_a_path(page: Page, collector: Collector, site: Site) -> None:
    collector.answers = [(404, {})]
    page.goto(site.page(endpoint=f"{collector.url}/stats"))
    until(lambda: collector.requests, pause=lambda s: wait(page, s))
    assert collector.requests[0].name == "/stats/api/session/start"


def test_the_module_exports_what_the_window_has(page: Page, collector: Collector, site: Site) -> None:
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    address = f"{collector.url}/llmtrack.js"
    assert page.evaluate("async (address) => (await import(address)).default === window.llmtrack", address)


TIMED = """
  window.spent = [];
  window.floor = []; // what it costs to call a listener that does nothing
  const nothing = (event) => event.isTrusted;
  const listen = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (type, listener, options) {
    if (!options?.passive) return listen.call(this, type, listener, options); // not the tracker's
    return listen.call(this, type, (event) => {
      const began = performance.now();
      listener(event);
      const ended = performance.now();
      nothing(event);
      window.floor.push(performance.now() - ended);
      window.spent.push(ended - began);
    }, options);
  };
"""


def test_a_thousand_gestures_cost_the_page_next_to_nothing(page: Page, collector: Collector, site: Site) -> None:
    page.add_init_script(TIMED)
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    collector.away = True  # the worst case: everything is kept
    devtools = page.context.new_cdp_session(page)
    for turn in range(250):
        x, y = 300 + turn % 200, 30 + turn % 40
        mouse = {"x": x, "y": y, "button": "left", "clickCount": 1}
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseMoved", "x": x, "y": y})
        devtools.send("Input.dispatchMouseEvent", {"type": "mousePressed", **mouse})
        devtools.send("Input.dispatchMouseEvent", {"type": "mouseReleased", **mouse})
    page.evaluate("for (let i = 0; i < 250; i++) llmtrack.track('tick', {i})")
    page.mouse.wheel(0, 2000)
    wait(page, 0.3)
    times = sorted(page.evaluate("spent"))
    p99 = times[int(len(times) * 0.99)]
    cost, floor = mean(times), mean(page.evaluate("floor"))
    print(f"{len(times)} calls: median {median(times):.2f} ms, mean {cost:.3f} (of nothing {floor:.3f}), p99 {p99:.2f}")
    assert len(times) >= 1000
    assert median(times) <= 0.1 + 1e-6  # as fine as the browser's clock is
    assert cost < 0.2
    assert p99 < 3


def test_spools_of_a_collector_that_is_gone_stay_small_and_the_newest_stay(
    page: Page, collector: Collector, site: Site
) -> None:
    page.goto(site.page("elsewhere.html"))
    page.evaluate(
        """() => {
          for (let i = 10; i < 50; i++) {
            const rest = { to: "http://127.0.0.1:9/", start: {}, at: Date.now(), left: 1 };
            const visit = { ...rest, queue: [], pad: "x".repeat(30000) };
            localStorage.setItem(`llmtrack:spool:user_a_17000000000${i}_1`, JSON.stringify(visit));
          }
        }"""
    )
    collector.away = True
    page.goto(site.page(consent="required"))  # swept at load, without any request
    page.wait_for_function("window.llmtrack")
    wait(page, 0.3)
    kept = page.evaluate("Object.entries(localStorage).map(([key, text]) => [key, text.length])")
    assert sum(len(key) + size for key, size in kept) <= 200_000
    assert sorted(key.split("_")[-2][-2:] for key, _ in kept) == ["44", "45", "46", "47", "48", "49"]
    assert collector.requests == []


def test_large_data_is_measured_in_bytes(page: Page, collector: Collector, site: Site) -> None:
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    page.evaluate("llmtrack.track('cjk', {list: Array(10).fill('字'.repeat(5000))}); llmtrack.track('last')")
    until(lambda: collector.visits and collector.visit.of("last"), pause=lambda s: wait(page, s))
    assert collector.visit.of("cjk") == [{"truncated": 150_040}]


SELECT_ALL = """() => {
  document.body.innerHTML = "<p><b>word</b> and <i>more</i> text <a>link</a> <code>x</code></p>".repeat(20000);
  document.body.offsetHeight;
  window.longest = 0;
  const later = window.setTimeout;
  window.setTimeout = (work, ms) => later(() => {
    const began = performance.now();
    work();
    window.longest = Math.max(window.longest, performance.now() - began);
  }, ms);
  getSelection().selectAllChildren(document.body);
}"""


ASK_EACH = """() => {
  const began = performance.now();
  for (const element of document.querySelectorAll("*")) {
    element.closest("[data-llmtrack-mask]") ?? element.getRootNode();
  }
  return performance.now() - began;
}"""


def test_selecting_a_hundred_thousand_elements_costs_little_and_sends_a_length(
    page: Page, collector: Collector, site: Site
) -> None:
    page.goto(site.page())
    page.wait_for_function("window.llmtrack?.sessionId")
    page.evaluate(SELECT_ALL)
    until(lambda: collector.visits and collector.visit.of("selection"), pause=lambda s: wait(page, s))
    (selection,) = collector.visit.of("selection")
    assert (selection["selected_text"], selection["selected_length"] >= 500_000) == ("", True)
    longest = page.evaluate("longest")
    floor = min(page.evaluate(ASK_EACH) for _ in range(5))
    print(f"select all of 100,000 elements: {longest:.1f} ms; asking each of them alone {floor:.1f} ms")
    assert longest < floor  # in the same page, as a busy machine makes both slow
