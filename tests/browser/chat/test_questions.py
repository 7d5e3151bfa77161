"""A question that is edited, answered again, thought about; and how an answer says that it is not whole."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chat.reader import ask, ask_slowly, asked_id, button, told
from tests.browser.chat.server import ChatServer, Reply


def edit(page: Page, number: int, text: str, key: str = "Enter") -> None:
    page.locator(".turn").nth(number).hover()
    page.locator(".turn").nth(number).get_by_role("button", name="Edit this message").click()
    box = page.get_by_label("Edit your message")
    expect(box).to_be_focused()
    box.fill(text)
    box.press(key)


def test_an_edited_question_is_a_new_turn_that_names_the_old(chat: Page, server: ChatServer) -> None:
    for prompt in ("one", "two", "three"):
        expect(ask(chat, prompt)).to_have_attribute("data-state", "done")
    edit(chat, 1, "second")
    expect(chat.locator(".question")).to_have_text(["one", "second"])
    expect(chat.locator(".answer").last).to_contain_text("Hello, world.")
    new, old = server.queries[-1], server.queries[1]
    assert new["query"] == "second"
    assert new["edits"] == old["turn_id"] != new["turn_id"]
    assert "regenerate" not in new
    chat.reload()
    expect(chat.locator(".question")).to_have_text(["one", "second"])


def test_an_edit_can_be_given_up(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_have_attribute("data-state", "done")
    edit(chat, 0, "other", "Escape")
    expect(chat.locator(".question")).to_have_text(["one"])
    expect(button(chat, "Edit this message")).to_be_focused()
    edit(chat, 0, "one", "Enter")  # nothing was changed
    expect(chat.locator(".question")).to_have_text(["one"])
    assert len(server.queries) == 1


def test_an_edit_that_fails_is_tried_again_as_the_same_edit(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_have_attribute("data-state", "done")
    chat.context.set_offline(True)
    edit(chat, 0, "other")
    expect(chat.locator(".answer").get_by_role("alert")).to_contain_text("The server did not answer.")
    chat.context.set_offline(False)
    button(chat, "Try again").click()
    expect(chat.locator(".answer")).to_contain_text("Hello, world.")
    assert server.queries[-1]["edits"] == asked_id(server, 0)


def test_answer_again_asks_the_turn_it_stands_under(chat: Page, server: ChatServer) -> None:
    for prompt in ("same words", "in between", "same words"):
        expect(ask(chat, prompt)).to_have_attribute("data-state", "done")
    server.plan(Reply(text="Another answer."))
    chat.locator(".turn").first.hover()
    chat.locator(".turn").first.get_by_role("button", name="Answer again").click()
    expect(chat.locator(".answer").first).to_contain_text("Another answer.")
    expect(chat.locator(".question")).to_have_text(["same words", "in between", "same words"])
    assert (server.queries[-1]["turn_id"], server.queries[-1]["regenerate"]) == (asked_id(server, 0), True)


def test_nothing_else_can_be_asked_while_an_answer_is_written(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_have_attribute("data-state", "done")
    ask_slowly(chat, server, "Half")
    chat.locator(".turn").first.hover()
    for name in ("Answer again", "Edit this message"):
        expect(chat.get_by_role("button", name=name)).to_have_count(0)


def test_thinking_is_folded_and_no_part_of_the_answer(chat: Page, server: ChatServer) -> None:
    reply = server.plan(Reply(open=True, thinking=("Let me *see*.\n", "Yes."), done={"thinking_ms": 12_400}))
    answer = ask(chat)
    thoughts = answer.locator(".thinking-text")
    expect(answer.locator("summary")).to_have_text("Thinking…")
    expect(thoughts).to_be_hidden()
    answer.locator("summary").click()
    expect(thoughts).to_have_text("Let me *see*.\nYes.")
    reply.add("The answer.")
    expect(answer.locator("summary")).to_contain_text("Thought for")
    reply.end()
    expect(answer.locator("summary")).to_have_text("Thought for 12 seconds")
    expect(thoughts).to_be_visible()  # it was opened, so it stays open
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    button(answer, "Copy").click()
    assert chat.evaluate("navigator.clipboard.readText()") == "The answer."


ENDINGS: dict[str, tuple[dict[str, Any], str, bool]] = {
    "whole": ({"finish_reason": "stop"}, "", True),
    "cut off": ({"partial": True, "finish_reason": "length"}, "the model reached its length limit", True),
    "filtered": ({"partial": True, "finish_reason": "content_filter"}, "content filter", True),
    "broken off": ({"partial": True, "finish_reason": None}, "The answer broke off before its end.", True),
    "stopped": ({"partial": True, "stopped": True}, "Stopped.", False),
}


@pytest.mark.parametrize(("outcome", "words", "rated"), ENDINGS.values(), ids=ENDINGS)
@pytest.mark.parametrize("saved", [False, True], ids=["asked", "saved"])
def test_an_answer_that_is_not_whole_says_why(
    chat: Page, server: ChatServer, outcome: dict[str, Any], words: str, rated: bool, saved: bool
) -> None:
    if saved:
        question, message = told("why?", "Half an answer")
        server.save("old", "An old one", question, message | outcome)
        chat.goto(f"{server.url}/chat/old")
        answer = chat.locator(".answer")
    else:
        server.plan(Reply(text="Half an answer", done=outcome))
        answer = ask(chat, "why?")
    expect(answer).to_contain_text("Half an answer")
    expect(answer.locator(".note")).to_have_count(1 if words else 0)
    expect(answer).to_contain_text(words)
    expect(button(answer, "Answer again")).to_be_visible()
    expect(button(answer, "Good answer")).to_have_count(1 if rated else 0)
