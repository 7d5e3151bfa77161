"""The page of a replay in a browser without a network: it plays, is steered, searched, printed; axe finds no fault."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from llmtrack.cli import main
from tests.browser.chat.reader import faults
from tests.cli.player.session import document


@pytest.fixture
def address(tmp_path: Path) -> str:
    (tmp_path / "s.jsonl").write_text(json.dumps(document()) + "\n")
    words = ["replay", "last", "--source", str(tmp_path / "s.jsonl"), "--out", str(tmp_path / "v.html")]
    with pytest.raises(SystemExit):
        main(words)
    return (tmp_path / "v.html").as_uri()


@pytest.fixture
def shown(new_context: Callable[..., BrowserContext], address: str) -> Page:
    page = new_context(offline=True).new_page()
    page.goto(address)
    return page


def test_it_is_steered_with_keys_and_buttons(shown: Page) -> None:
    said: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    told, events = shown.locator("#told"), shown.locator(".event:not([hidden])")
    expect(told).to_have_text("event 0 of 11")
    expect(events).to_have_count(0)
    for keys, event in (("]", 2), (".", 3), ("ArrowLeft", 2), ("]", 7), ("[", 2), ("End", 11), ("0", 1)):
        shown.keyboard.press(keys)
        expect(told).to_have_text(f"event {event} of 11")
        expect(events).to_have_count(event)
    expect(shown.get_by_text("What is bread?")).to_be_hidden()
    shown.get_by_label("Position").fill("2")
    expect(told).to_have_text("event 2 of 11")
    shown.get_by_label("Speed").select_option("32")
    shown.get_by_role("button", name="Play").click()
    expect(told).to_have_text("event 11 of 11")
    expect(shown.get_by_role("button", name="Play")).to_be_visible()
    assert said == []


def test_words_are_found(shown: Page) -> None:
    shown.keyboard.press("/")
    shown.keyboard.type("RYE")
    shown.keyboard.press("Enter")
    expect(shown.locator("#told")).to_have_text("1 of 2 found, event 7 of 11")
    shown.keyboard.press("Enter")
    expect(shown.locator("#told")).to_have_text("2 of 2 found, event 9 of 11")
    shown.get_by_label("Find").fill("nowhere")
    shown.keyboard.press("Enter")
    expect(shown.locator("#told")).to_have_text("nothing found, event 9 of 11")


def test_all_of_it_is_printed_and_seen_without_scripts(shown: Page, browser: Browser, address: str) -> None:
    shown.emulate_media(media="print")
    expect(shown.get_by_text("What is bread?")).to_be_visible()
    expect(shown.get_by_label("Position")).to_be_hidden()
    with browser.new_context(java_script_enabled=False, offline=True) as context:
        page = context.new_page()
        page.goto(address)
        expect(page.get_by_text("What is bread?")).to_be_visible()
        expect(page.get_by_label("Position")).to_be_hidden()


def test_axe_finds_nothing_and_it_fits_a_phone(browser: Browser, address: str) -> None:
    with browser.new_context(viewport={"width": 360, "height": 740}, bypass_csp=True, offline=True) as context:
        page = context.new_page()
        page.goto(address)
        page.keyboard.press("End")
        assert faults(page) == []
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
