"""The chats: one open, many saved, and none lost by mistake."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chat.reader import ask, ask_slowly, button, session_id, told, tracked
from tests.browser.chat.server import ChatServer


def test_new_chat_changes_the_chat_and_keeps_the_visit(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_contain_text("Hello")
    first = session_id(chat)
    button(chat, "New Chat").click()
    expect(chat.locator(".turn")).to_have_count(0)
    expect(chat.get_by_label("Your message")).to_be_focused()
    expect(ask(chat, "two")).to_contain_text("Hello")
    second = session_id(chat)
    assert second != first
    assert [query["sessionId"] for query in server.queries] == [first, second]
    assert {query["trackingSessionId"] for query in server.queries} == {"user_test_1_a"}
    assert tracked(chat, "new_chat") == [{"chat_session_id": second}]


def test_each_tab_has_a_chat_of_its_own_and_a_reload_keeps_it(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "keep me")).to_contain_text("Hello")
    mine = session_id(chat)
    chat.reload()
    expect(chat.locator(".question")).to_have_text(["keep me"])
    expect(chat.locator(".answer strong")).to_have_text("world")
    assert session_id(chat) == mine
    other = chat.context.new_page()
    other.goto(server.url)
    expect(other.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert session_id(other) != mine


def test_a_tab_that_comes_back_shows_what_other_tabs_have_saved(chat: Page, server: ChatServer) -> None:
    server.save("other", "From another tab", *told("hello"))
    chat.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(chat.locator(".chat-title")).to_have_text("From another tab")


def test_a_saved_chat_opens_and_goes_on(chat: Page, server: ChatServer) -> None:
    half, failed = told("half"), told("more", "It began")
    half[1]["stopped"] = half[1]["partial"] = True
    failed[1]["error"] = "No credentials."
    server.save("old", "An old one", *told("before"), *half, *failed)
    chat.reload()
    chat.get_by_role("link", name="An old one", exact=False).first.click()
    expect(chat.locator(".question")).to_have_text(["before", "half", "more"])
    expect(chat.locator(".answer").nth(1)).to_contain_text("Stopped.")
    expect(chat.locator(".answer").nth(2)).to_contain_text("It began")
    expect(chat.get_by_role("alert")).to_contain_text("No credentials.")
    assert session_id(chat) == "old"
    button(chat, "Try again").click()
    expect(chat.locator(".answer").last).to_contain_text("Hello, world.")
    assert server.queries[-1]["sessionId"] == "old"


def test_deleting_can_be_taken_back(chat: Page, server: ChatServer) -> None:
    server.save("old", "Keep or not", *told("hello"))
    chat.reload()
    chat.get_by_role("listitem").filter(has_text="Keep or not").hover()
    button(chat, "Delete “Keep or not”").click()
    undo = button(chat, "Undo: keep “Keep or not”")
    expect(undo).to_be_focused()
    undo.press("Enter")
    expect(chat.locator(".chat-title")).to_have_text("Keep or not")
    assert server.deleted == []


def test_a_deleted_chat_is_gone_and_left_if_it_was_open(chat: Page, server: ChatServer) -> None:
    server.save("old", "Gone soon", *told("hello"))
    chat.clock.install()
    chat.reload()
    chat.get_by_text("Gone soon").click()
    expect(chat.locator(".question")).to_have_text(["hello"])
    button(chat, "Delete “Gone soon”").click()
    expect(chat.locator(".question")).to_have_count(0)
    chat.clock.run_for(8_500)
    expect(chat.get_by_text("Your chats will be kept here.")).to_be_visible()
    assert server.deleted == ["old"]
    assert session_id(chat) != "old"


def test_a_deletion_is_carried_out_when_the_page_is_left(chat: Page, server: ChatServer) -> None:
    server.save("old", "Gone at once", *told("hello"))
    chat.reload()
    chat.get_by_text("Gone at once").hover()
    button(chat, "Delete “Gone at once”").click()
    chat.goto("about:blank")
    for _ in range(50):
        if server.deleted:
            break
        chat.wait_for_timeout(50)
    assert server.deleted == ["old"]


def test_chats_that_cannot_be_loaded_can_be_asked_for_again(chat: Page, server: ChatServer) -> None:
    server.chats_fail = True
    chat.reload()
    expect(chat.get_by_text("The saved chats could not be loaded.")).to_be_visible()
    server.chats_fail = False
    server.save("a", "Back again", age_s=630)
    button(chat, "Load again").click()
    expect(chat.get_by_role("listitem").filter(has_text="Back again")).to_contain_text("10 minutes ago")


KATHMANDU, NEW_YORK = "Asia/Kathmandu", "America/New_York"
AGES = {  # where the reader is; now and then, in UTC
    "the same day": (NEW_YORK, "2026-11-26T12:00Z", "2026-11-26T10:30Z", "1 hour ago"),
    "midnight in London alone": (KATHMANDU, "2026-11-26T01:00Z", "2026-11-25T23:30Z", "1 hour ago"),
    "midnight here": (KATHMANDU, "2026-11-26T18:30Z", "2026-11-26T17:10Z", "yesterday"),
    "midnight elsewhere": (NEW_YORK, "2026-11-26T18:30Z", "2026-11-26T17:10Z", "1 hour ago"),
    "a day of 25 hours": (NEW_YORK, "2026-11-01T23:00Z", "2026-10-31T23:30Z", "yesterday"),
    "last year": (NEW_YORK, "2027-01-01T12:00Z", "2026-12-01T12:00Z", "Dec 1, 2026"),
}


@pytest.mark.parametrize(("zone", "now", "then", "words"), AGES.values(), ids=AGES)
def test_ages_are_told_by_the_days_of_the_reader(
    new_context: Callable[..., BrowserContext], server: ChatServer, zone: str, now: str, then: str, words: str
) -> None:
    page = new_context(timezone_id=zone).new_page()
    page.goto(server.url)
    ago = "async ([then, now]) => (await import('/assets/base/time.js')).ago(then, Date.parse(now))"
    assert page.evaluate(ago, [then, now]) == words


def test_titles_and_prompts_are_shown_as_text(chat: Page, server: ChatServer) -> None:
    server.save("x", "<img src=x onerror=hacked=1>", *told("<b>not bold</b>"))
    chat.reload()
    chat.get_by_text("<img src=x onerror=hacked=1>").click()
    expect(chat.locator(".question")).to_have_text("<b>not bold</b>")
    expect(chat.get_by_role("heading", level=1)).to_have_text("<img src=x onerror=hacked=1>")
    assert chat.evaluate("window.hacked") is None


def test_leaving_a_chat_in_the_middle_of_an_answer_leaves_the_next_one_clean(chat: Page, server: ChatServer) -> None:
    ask_slowly(chat, server, "Never seen")
    button(chat, "New Chat").click()
    expect(ask(chat, "two")).to_contain_text("Hello, world.")
    expect(chat.locator(".turn")).to_have_count(1)
    expect(button(chat, "Send")).to_be_visible()


def test_a_chat_is_renamed_in_the_list(chat: Page, server: ChatServer) -> None:
    server.save("old", "A dull title", *told("hello"))
    chat.goto(f"{server.url}/chat/old")
    link = chat.get_by_role("link", name="A dull title")
    link.focus()
    link.press("F2")
    field = chat.get_by_label("New name of “A dull title”")
    expect(field).to_be_focused()
    field.fill("A <b>fine</b> one")
    field.press("Enter")
    expect(chat.get_by_role("link", name="A <b>fine</b> one")).to_be_focused()
    expect(chat).to_have_title("A <b>fine</b> one")
    assert server.chats["old"]["title"] == "A <b>fine</b> one"
    chat.get_by_text("A <b>fine</b> one").first.hover()
    button(chat, "Rename “A <b>fine</b> one”").click()
    chat.keyboard.type("Given up")
    chat.keyboard.press("Escape")
    assert server.chats["old"]["title"] == "A <b>fine</b> one"


def test_a_name_that_cannot_be_kept_goes_back(chat: Page, server: ChatServer) -> None:
    server.save("old", "As it was", *told("hello"))
    chat.reload()
    chat.get_by_role("link", name="As it was").focus()
    del server.chats["old"]
    chat.get_by_role("link", name="As it was").press("F2")
    chat.keyboard.type("Another")
    chat.keyboard.press("Enter")
    expect(chat.get_by_text("The chat could not be renamed.")).to_be_visible()
    expect(chat.get_by_role("link", name="As it was")).to_be_visible()


def test_chats_are_found_by_title_and_text(chat: Page, server: ChatServer) -> None:
    server.save("a", "About apples", *told("Which are red?", "Many are."))
    server.save("b", "About pears", *told("Which are green?", "Most are."))
    chat.reload()
    search = chat.get_by_role("searchbox")
    search.fill("red?")
    expect(chat.locator(".chat-title")).to_have_text(["About apples"])
    search.fill("most")
    expect(chat.locator(".chat-title")).to_have_text(["About pears"])
    search.fill("plums & <b>")
    expect(chat.get_by_text("No chat with “plums & <b>”.")).to_be_visible()
    expect(chat.locator(".chat")).to_have_count(0)
    search.press("Escape")
    expect(chat.locator(".chat-title")).to_have_count(2)
