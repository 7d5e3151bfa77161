"""A tab of each of the three engines: a test that asks for `tab` runs once in each."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Playwright
from selenium import webdriver

from tests.browser.driving import (
    ENGINES,
    PlaywrightTab,
    Tab,
    WebKitTab,
    launch_chromium,
    launch_firefox,
    launch_webkit,
)


@pytest.fixture(scope="session")
def chromium(playwright: Playwright) -> Iterator[Browser]:
    browser = launch_chromium(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def firefox(playwright: Playwright) -> Iterator[Browser]:
    browser = launch_firefox(playwright)
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def webkit(display: str) -> Iterator[webdriver.WebKitGTK]:
    with launch_webkit(display) as driver:
        driver.set_window_size(820, 700)
        yield driver


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tab(engine: str, request: pytest.FixtureRequest) -> Iterator[Tab]:
    """Storage is the test's own: Playwright's by a context, WebKit's because every test has a site of its own."""
    opened = request.getfixturevalue(engine)
    if isinstance(opened, webdriver.WebKitGTK):
        yield WebKitTab(opened, opened.current_window_handle)
        first, *others = opened.window_handles
        for handle in others:
            opened.switch_to.window(handle)
            opened.close()
        opened.switch_to.window(first)
        opened.get("about:blank")
    else:
        context = opened.new_context(viewport={"width": 800, "height": 600})
        context.set_default_timeout(10_000)
        yield PlaywrightTab(context.new_page())
        context.close()
