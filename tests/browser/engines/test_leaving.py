"""What arrives when a page is left, whichever way, in each engine; `pytest -rP` prints the rows of docs/tracking.md."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from playwright.sync_api import Playwright

from tests.browser.driving import PlaywrightTab, Tab, WebKitTab, launch_chromium, launch_firefox, launch_webkit
from tests.browser.standin import Collector, Site, Visit, until
from tests.browser.undriven import START_S, Undriven

TIMES = 2  # tabs a row
EVENTS = 15  # fewer than a batch: none of them has been sent when the page is left


class Windows(NamedTuple):
    """A browser with real windows: a first tab that stays, and a way to open others."""

    first: Tab
    open: Callable[[], Tab]
    display: str


@pytest.fixture
def windows(engine: str, display: str, playwright: Playwright) -> Iterator[Windows]:
    if engine == "webkit":
        with launch_webkit(display) as driver:
            first = WebKitTab(driver, driver.current_window_handle)
            yield Windows(first, first.another, display)
        return
    environment = {**os.environ, "DISPLAY": display, "MOZ_ENABLE_WAYLAND": "0"}
    launch = launch_chromium if engine == "chromium" else launch_firefox
    browser = launch(playwright, headless=False, env=environment)
    context = browser.new_context(no_viewport=True)
    first = PlaywrightTab(context.new_page())
    yield Windows(first, first.another, display)
    browser.close()


def close(windows: Windows, tab: Tab) -> None:
    """Ctrl+W where the keyboard is, which is the newest tab. WebKit's driver cannot stand it: it closes itself."""
    if isinstance(tab, WebKitTab):
        tab.driver.close()
        return
    assert isinstance(tab, PlaywrightTab)
    tab.page.bring_to_front()
    subprocess.run(
        ["xdotool", "key", "--clearmodifiers", "ctrl+w"],
        env={**os.environ, "DISPLAY": windows.display},
        check=True,
        timeout=10,
    )


def go_elsewhere(windows: Windows, tab: Tab) -> None:
    here = str(tab.run("() => location.origin"))
    tab.open(f"{here}/elsewhere.html")


Leave = Callable[[Windows, Tab], None]
WAYS: dict[str, Leave] = {"tab closed": close, "navigated away": go_elsewhere}


def arrive(windows: Windows, collector: Collector, site: Site) -> tuple[Tab, Visit]:
    """A tab of its own whose EVENTS events are not sent yet."""
    tab, known = windows.open(), set(collector.visits)
    tab.open(site.page())
    windows.first.until(lambda: len(collector.visits) > len(known))
    (visit,) = (visit for key, visit in collector.visits.items() if key not in known)
    windows.first.until(lambda: visit.events)
    tab.wait(0.2)
    tab.run("(count) => { for (let i = 0; i < count; i++) llmtrack.track('tick', { i }); }", EVENTS)
    return tab, visit


def leave_all(leave: Leave, windows: Windows, collector: Collector, site: Site, away: bool) -> list[Visit]:
    """Visits that are left while the collector is there, or away; every event is there at once, or none."""
    visits = []
    for _ in range(TIMES):
        tab, visit = arrive(windows, collector, site)
        collector.away = away
        leave(windows, tab)
        if away:
            windows.first.wait(0.5)
        else:
            windows.first.until(lambda visit=visit: visit.ends)
        assert (len(visit.of("tick")), len(visit.ends) > 0) == ((0, False) if away else (EVENTS, True))
        collector.away = False
        visits.append(visit)
    return visits


def test_what_arrives(windows: Windows, collector: Collector, site: Site, engine: str) -> None:
    total = TIMES * EVENTS
    for way, leave in WAYS.items():
        windows.first.open(site.page("elsewhere.html"))
        leave_all(leave, windows, collector, site, away=False)
        visits = leave_all(leave, windows, collector, site, away=True)
        windows.first.open(site.page())
        windows.first.until(lambda visits=visits: all(visit.ends for visit in visits))
        later = sum(len(visit.of("tick")) for visit in visits)
        print(
            f"| {engine}: {way} | server there: {total} of {total} | away: 0, {later} of {total} with the next page |"
        )
        assert later == total
        assert all(visit.complete for visit in visits)


def test_a_window_that_hides_and_a_page_that_crashes(
    engine: str, display: str, tmp_path: Path, collector: Collector, site: Site
) -> None:
    browser = Undriven(engine, display, tmp_path)
    with browser.showing(site.page("ticking.html")) as process:
        until(lambda: collector.visits and collector.visit.events, START_S)
        visit = collector.visit
        time.sleep(0.6)  # long enough to be seen
        window = browser.minimise("Ticking")
        until(lambda: visit.of("visibility"))
        (view,) = visit.of("view")
        (active,), (hidden,) = visit.times("activity"), visit.times("visibility")
        assert 0 < view["visible_ms"] <= hidden - active
        collector.answers = [(503, {"Retry-After": "600"})]  # the page's events stay with it
        browser.restore(window)
        until(lambda: not collector.answers)
        assert visit.of("tick") == []
        time.sleep(7 if engine == "firefox" else 1)  # what waits is written down by then: Firefox takes its 5 s
        browser.crash(process)
        if engine == "chromium":  # by fetchLater; the others have none
            until(lambda: visit.ends)
        at_once = len(visit.of("tick"))
    with browser.showing(site.page("later.html")):  # silent for so long, it must be gone
        until(lambda: len(visit.of("tick")) == EVENTS, START_S)
    print(f"| {engine}: renderer crashed | {at_once} of {EVENTS} | {len(visit.of('tick'))} of {EVENTS} |")
    assert at_once == (EVENTS if engine == "chromium" else 0)
    assert [each["visibility_state"] for each in visit.of("visibility")] == ["hidden", "visible"]
    assert len(visit.of("view")) == 1
    assert visit.complete
