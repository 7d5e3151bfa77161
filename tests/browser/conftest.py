"""A real Chromium, shared by the tests of a module, and the two servers around the tracker."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Playwright, sync_playwright

from tests.browser.driving import launch_chromium, screen
from tests.browser.standin import Collector, Site, serve_collector, serve_site

TEST_TIMEOUT_S = 60
ACTION_TIMEOUT_MS = 10_000


class TooSlow(BaseException):
    """No TimeoutError: what drives a browser would take that for its own, and try again."""


@pytest.fixture(autouse=True)
def _hard_timeout() -> Iterator[None]:
    """A browser that hangs fails its test instead of the run."""

    def give_up(*_: object) -> None:
        raise TooSlow(f"the test took longer than {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all tests of a process: a second one beside it cannot be."""
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def display() -> Iterator[str]:
    with screen() as display:
        yield display


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    browser = launch_chromium(playwright)
    yield browser
    browser.close()


@pytest.fixture
def new_context(browser: Browser) -> Iterator[Callable[..., BrowserContext]]:
    """Makes browser contexts (storage of their own) that end with the test."""
    contexts: list[BrowserContext] = []

    def make(**options: Any) -> BrowserContext:
        context = browser.new_context(viewport={"width": 800, "height": 600}, **options)
        context.set_default_timeout(ACTION_TIMEOUT_MS)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def context(new_context: Callable[..., BrowserContext]) -> BrowserContext:
    return new_context()


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


@pytest.fixture
def collector() -> Iterator[Collector]:
    with serve_collector(Collector()) as collector:
        yield collector


@pytest.fixture
def site(collector: Collector) -> Iterator[Site]:
    """Pages of another origin than the collector's."""
    with serve_site(Site(f"{collector.url}/llmtrack.js")) as site:
        yield site
