"""A real Chromium, shared by the tests of a module, and the two servers around the tracker."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.browser.standin import Collector, Site, serve_collector, serve_site

TEST_TIMEOUT_S = 60
ACTION_TIMEOUT_MS = 10_000
CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(autouse=True)
def _hard_timeout() -> Iterator[None]:
    """A browser that hangs fails its test instead of the run."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"the test took longer than {TEST_TIMEOUT_S} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(TEST_TIMEOUT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium with its back/forward cache, which Playwright would switch off."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
        )
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
