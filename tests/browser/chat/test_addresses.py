"""Each chat has an address: Back, Forward, links, other tabs."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.chat.reader import ask, ask_slowly, button, session_id, told
from tests.browser.chat.server import ChatServer


def test_a_chat_gets_its_address_with_its_first_question(chat: Page, server: ChatServer) -> None:
    assert chat.url == f"{server.url}/"
    expect(ask(chat, "one")).to_contain_text("Hello")
    assert chat.url == f"{server.url}/chat/{session_id(chat)}"
    chat.reload()
    expect(chat.locator(".question")).to_have_text(["one"])


def test_back_and_forward_go_between_chats(chat: Page, server: ChatServer) -> None:
    server.save("a", "Chat A", *told("in A"))
    server.save("b/ü", "Chat B", *told("in B"))
    chat.reload()
    chat.get_by_role("link", name="Chat A").click()
    expect(chat.locator(".question")).to_have_text(["in A"])
    chat.get_by_role("link", name="Chat B").click()
    expect(chat.locator(".question")).to_have_text(["in B"])
    button(chat, "New Chat").click()
    expect(chat.locator(".question")).to_have_count(0)
    for shown in ("in B", "in A"):
        chat.go_back()
        expect(chat.locator(".question")).to_have_text([shown])
    expect(chat).to_have_title("Chat A")
    expect(chat.locator("[aria-current]")).to_contain_text("Chat A")
    chat.go_back()
    expect(chat.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    for shown in ("in A", "in B"):
        chat.go_forward()
        expect(chat.locator(".question")).to_have_text([shown])
    assert session_id(chat) == "b/ü"


def test_a_link_to_a_chat_opens_in_another_tab(chat: Page, server: ChatServer) -> None:
    server.save("a", "Chat A", *told("in A"))
    chat.reload()
    with chat.context.expect_page() as opened:
        chat.get_by_role("link", name="Chat A").click(modifiers=["Control"])
    expect(opened.value.locator(".question")).to_have_text(["in A"])
    expect(chat.locator(".question")).to_have_count(0)


def test_an_address_of_no_chat_is_an_empty_one(page: Page, server: ChatServer) -> None:
    page.goto(f"{server.url}/chat/gone")
    expect(page.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(ask(page)).to_contain_text("Hello")


def test_leaving_a_chat_in_mid_answer_goes_on_with_it_later(chat: Page, server: ChatServer) -> None:
    _, answer = ask_slowly(chat, server, "Half")
    first = session_id(chat)
    button(chat, "New Chat").click()
    expect(answer).to_have_count(0)
    assert server.stopped == []  # the server goes on
    server.chats[first]["messages"].append({"role": "assistant", "text": "Half and whole.", "turn_id": told_id(server)})
    chat.go_back()
    expect(chat.locator(".answer")).to_contain_text("Half and whole.")


def told_id(server: ChatServer) -> str:
    return str(server.queries[-1]["turn_id"])


# two tabs


def duplicate(page: Page) -> Page:
    """A second tab with a copy of the first one's sessionStorage, as browsers duplicate it."""
    with page.context.expect_page() as opened:
        page.evaluate("open(location.href)")
    return opened.value


def test_a_duplicated_tab_gets_a_chat_of_its_own(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "mine")).to_contain_text("Hello")
    other = duplicate(chat)
    expect(other.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    expect(ask(other, "the other's")).to_contain_text("Hello")
    assert session_id(other) != session_id(chat)
    expect(chat.locator(".question")).to_have_text(["mine"])
    third = duplicate(other)
    expect(third.get_by_role("heading", name="What would you like to know?")).to_be_visible()
    assert len({session_id(tab) for tab in (chat, other, third)}) == 3
    other.reload()
    expect(other.locator(".question")).to_have_text(["the other's"])


def test_a_duplicated_empty_chat_is_another_one(chat: Page) -> None:
    other = duplicate(chat)
    other.wait_for_function("mine => sessionStorage.getItem('sessionId') !== mine", arg=session_id(chat))


def test_two_tabs_on_one_chat_see_each_others_turns(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_contain_text("Hello")
    other = chat.context.new_page()
    other.goto(chat.url)
    expect(other.locator(".question")).to_have_text(["one"])
    expect(ask(other, "two")).to_contain_text("Hello")
    expect(chat.locator(".question")).to_have_text(["one", "two"])
    expect(ask(chat, "three")).to_contain_text("Hello")
    expect(other.locator(".question")).to_have_text(["one", "two", "three"])
    expect(other.locator(".answer").last).to_contain_text("Hello, world.")
    assert session_id(other) == session_id(chat)


def test_what_is_selected_stays_when_another_tab_asks(chat: Page, server: ChatServer) -> None:
    expect(ask(chat, "one")).to_contain_text("Hello")
    chat.locator(".answer strong").dblclick()
    other = chat.context.new_page()
    other.goto(chat.url)
    expect(ask(other, "two")).to_contain_text("Hello")
    expect(chat.locator(".question")).to_have_text(["one", "two"])
    assert chat.evaluate("getSelection().toString().trim()") == "world"


# a reload in mid-answer


def writing(server: ChatServer, text: str, **more: object) -> None:
    """What the server has saved so far of the last answer."""
    query = server.queries[-1]
    answer = {"role": "assistant", "turn_id": query["turn_id"], "text": text, **more}
    server.log(query["sessionId"], answer)


def test_a_reload_in_mid_answer_goes_on(chat: Page, server: ChatServer) -> None:
    ask_slowly(chat, server, "Half")
    writing(server, "Half of", writing=True)
    chat.reload()
    answer = chat.locator(".answer")
    expect(answer).to_contain_text("Half of")
    expect(answer).to_have_attribute("aria-busy", "true")
    expect(chat.get_by_role("alert").filter(has_text="got no answer")).to_have_count(0)
    answer.locator("p").first.evaluate("p => getSelection().setBaseAndExtent(p.firstChild, 0, p.firstChild, 4)")
    writing(server, "Half of an answer", writing=True)
    expect(answer).to_contain_text("Half of an answer")
    assert chat.evaluate("getSelection().toString()") == "Half"
    writing(server, "Half of an answer, and **all** of it.")
    expect(answer.locator("strong")).to_have_text("all")
    expect(answer).to_have_attribute("data-state", "done")
    expect(button(answer, "Good answer")).to_be_visible()
    expect(button(chat, "Send")).to_be_visible()
    assert len(server.queries) == 1


def test_a_reload_before_the_first_word_waits_on(chat: Page, server: ChatServer) -> None:
    ask_slowly(chat, server)
    server.chats[session_id(chat)]["messages"][0]["writing"] = True
    chat.reload()
    expect(chat.locator(".answer")).to_have_attribute("data-state", "waiting")
    chat.get_by_label("Your message").fill("another")
    chat.keyboard.press("Enter")  # not while an answer is awaited
    assert len(server.queries) == 1
    button(chat, "Stop answering").click()
    server.chats[session_id(chat)]["messages"][0]["writing"] = False
    writing(server, "", partial=True, stopped=True)
    expect(chat.locator(".answer")).to_contain_text("Stopped.")
    assert server.stopped == [server.queries[0]["turn_id"]]


def test_a_lost_connection_is_picked_up_again(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "Half")
    writing(server, "Half of an", writing=True)
    reply.break_off()
    expect(answer).to_contain_text("Half of an")
    expect(answer).to_have_attribute("aria-busy", "true")
    writing(server, "Half of an answer.")
    expect(answer).to_have_attribute("data-state", "done")
    expect(answer).to_contain_text("Half of an answer.")
    expect(answer.get_by_role("alert")).to_have_count(0)
