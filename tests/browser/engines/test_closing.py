"""A tab of a real window is closed, in Chromium and Firefox by Ctrl+W from the window system.

The first rows of the table of docs/tracking.md; `pytest -rP` prints them.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from playwright.sync_api import Playwright

from tests.browser.driving import PlaywrightTab, Tab, WebKitTab, launch_chromium, launch_firefox, launch_webkit
from tests.browser.standin import Collector, Site

TIMES = 4  # tabs
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


def press_close(windows: Windows, tab: Tab) -> None:
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


@pytest.mark.parametrize("server", ["up", "down"])
def test_a_closed_tab_loses_nothing(
    windows: Windows, collector: Collector, site: Site, server: str, engine: str
) -> None:
    first = windows.first
    first.open(site.page("elsewhere.html"))
    at_once = ended = 0
    for _ in range(TIMES):
        tab = windows.open()
        known = set(collector.visits)
        tab.open(site.page())
        visit = first.until(lambda known=known: [v for key, v in collector.visits.items() if key not in known])[0]
        first.until(lambda visit=visit: visit.events)
        tab.wait(0.3)
        tab.run("(count) => { for (let i = 0; i < count; i++) llmtrack.track('tick', { i }); }", EVENTS)
        collector.away = server == "down"
        press_close(windows, tab)
        first.wait(0.8)
        at_once += len(visit.of("tick"))
        ended += len(visit.ends) > 0
        collector.away = False
    visits = list(collector.visits.values())
    first.open(site.page())
    first.until(lambda: all(visit.ends for visit in visits))
    later, total = sum(len(visit.of("tick")) for visit in visits), TIMES * EVENTS
    print(f"| {engine}, server {server} | {at_once} of {total} | {ended} of {TIMES} | {later} of {total} |")
    assert (at_once, ended) == ((total, TIMES) if server == "up" else (0, 0))
    assert later == total
