"""One answer: how it streams, renders, fails, and what can be done with it."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.browser.chat.reader import ask, ask_slowly, asked_id, button, selected, session_id, tracked
from tests.browser.chat.server import ChatServer, Reply


def test_an_answer_streams_in_and_renders_as_markdown(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "Learning **rules** from")
    expect(answer.locator("strong")).to_have_text("rules")
    expect(answer).to_have_attribute("aria-busy", "true")
    reply.add(" examples: äöü 🙂\n\n- one\n- two")
    reply.end()
    expect(answer).to_have_attribute("aria-busy", "false")
    expect(answer.locator("p").first).to_have_text("Learning rules from examples: äöü 🙂")
    expect(answer.locator("li")).to_have_text(["one", "two"])
    assert answer.get_attribute("data-turn-id") == asked_id(server)
    assert chat.locator("#conversation").get_attribute("data-chat-session-id") == session_id(chat)


def test_a_selection_survives_the_text_that_arrives_after_it(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "The first paragraph stays.\n\nThe second one")
    answer.locator("p").first.click(click_count=3)
    before = selected(chat).strip()
    assert before == "The first paragraph stays."
    for n in range(30):
        reply.add(f" grows {n}" if n % 5 else "\n\n## And")
    reply.end()
    expect(answer).to_have_attribute("data-state", "done")
    assert selected(chat).strip() == before


def test_a_selection_survives_in_the_very_paragraph_that_grows(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "One *growing* paragraph")
    answer.locator("em").dblclick()
    assert selected(chat).strip() == "growing"
    for n in range(20):
        reply.add(f" and **more** {n}")
    reply.end()
    expect(answer).to_have_attribute("data-state", "done")
    assert selected(chat).strip() == "growing"


HOSTILE = """
<script>window.hacked = 1</script> <img src=x onerror="window.hacked = 2"> <b onclick="hacked=3">bold</b>

[one](javascript:window.hacked=4) [two](JaVaScRiPt&colon;window.hacked=5)
[three](data:text/html,<script>hacked=6</script>)
[fine](https://example.org/a "title")

![pixel](https://evil.example/pixel.png) <iframe src="https://evil.example/frame"></iframe>

<form action="https://evil.example/"><input name=password><button>Log in</button></form>
<style>body { display: none }</style> <link rel=stylesheet href="https://evil.example/style.css">

<div style="position:fixed;inset:0">over everything</div> <svg onload="window.hacked=7"></svg> <math><mi>x</mi></math>

- [x] done <video src="https://evil.example/v.mp4" autoplay></video>
"""


def test_nothing_in_an_answer_runs_or_loads(chat: Page, server: ChatServer) -> None:
    asked_for: list[str] = []
    chat.on("request", lambda request: asked_for.append(request.url))
    server.plan(Reply(text=HOSTILE, citations=[{"title": "<i>bad</i>", "url": "javascript:window.hacked=8"}]))
    answer = ask(chat)
    expect(answer).to_have_attribute("data-state", "done")
    chat.wait_for_timeout(200)
    assert chat.evaluate("window.hacked") is None
    assert [url for url in asked_for if not url.startswith(server.url)] == []
    elements = "script, style, link, img, iframe, form, input, button, svg, math, video"
    expect(answer.locator(".prose").locator(elements)).to_have_count(0)
    expect(answer.locator(".prose").locator("[style], [onclick], [onerror]")).to_have_count(0)
    hrefs = answer.locator("a[href]").evaluate_all("links => links.map(a => [a.href, a.target, a.rel])")
    assert hrefs == [
        ["https://example.org/a", "_blank", "noopener noreferrer"],
        ["https://evil.example/pixel.png", "_blank", "noopener noreferrer"],
    ]
    expect(answer).to_contain_text("<script>window.hacked = 1</script>")  # what the model wrote can be read
    expect(answer).to_contain_text("<i>bad</i>")


def test_the_sanitizer_alone_lets_nothing_through(page: Page, server: ChatServer) -> None:
    """The renderer shows HTML as text; should marked ever let some pass, DOMPurify stands behind it."""
    page.goto(server.url)
    hostile = "<p style='x' onclick='y' id=z class=c data-a=b>t<script>1</script><input><img src=x></p><form></form>"
    html = page.evaluate(
        """async (html) => {
            const { sanitize } = await import("/assets/text/markdown.js");
            const box = document.createElement("div");
            box.append(sanitize(html));
            return box.innerHTML;
        }""",
        hostile,
    )
    assert html == "<p>t</p>"


def test_sources_are_listed_under_the_answer(chat: Page, server: ChatServer) -> None:
    server.plan(
        Reply(citations=[{"title": "A book", "url": "https://example.org/b"}, {"url": "https://example.org/c"}])
    )
    links = ask(chat).get_by_role("group", name="Sources").get_by_role("link")
    expect(links).to_have_text(["A book", "example.org"])
    expect(links.first).to_have_attribute("rel", "noopener noreferrer")


def test_the_copy_button_copies_markdown_and_tells_the_tracker(chat: Page, server: ChatServer) -> None:
    chat.context.grant_permissions(["clipboard-read", "clipboard-write"])
    answer = ask(chat)
    button(answer, "Copy").click()
    expect(button(answer, "Copied")).to_be_visible()
    assert chat.evaluate("navigator.clipboard.readText()") == "Hello, **world**."
    assert tracked(chat, "copy") == [
        {
            "selected_text": "Hello, **world**.",
            "page_url": f"{server.url}/chat/{session_id(chat)}",
            "button": True,
            "turn_id": asked_id(server),
            "chat_session_id": session_id(chat),
        }
    ]


def test_copying_works_without_the_clipboard_of_secure_pages(chat: Page, server: ChatServer) -> None:
    chat.evaluate("Object.defineProperty(navigator, 'clipboard', {value: undefined})")
    server.plan(Reply(text="```python\nprint(1)\n```"))
    answer = ask(chat)
    button(answer, "Copy this code").click()
    expect(button(answer, "Copied")).to_be_visible()
    assert tracked(chat, "copy")[0]["selected_text"] == "print(1)\n"


def test_thumbs_tell_the_tracker_and_stay_pressed(chat: Page, server: ChatServer) -> None:
    answer = ask(chat)
    button(answer, "Good answer").click()
    button(answer, "Bad answer").click()
    expect(button(answer, "Bad answer")).to_have_attribute("aria-pressed", "true")
    expect(button(answer, "Good answer")).to_have_attribute("aria-pressed", "false")
    ids = {"turn_id": asked_id(server), "chat_session_id": session_id(chat)}
    assert tracked(chat, "feedback") == [{"rating": "up", **ids}, {"rating": "down", **ids}]


def test_stop_keeps_what_came_and_the_chat_goes_on(chat: Page, server: ChatServer) -> None:
    _, answer = ask_slowly(chat, server, "Only half of")
    button(chat, "Stop answering").click()
    expect(answer).to_contain_text("Only half of")
    expect(answer).to_contain_text("Stopped.")
    expect(chat.get_by_label("Your message")).to_be_focused()
    expect(ask(chat, "next")).to_contain_text("Hello, world.")


def test_an_error_is_shown_and_tried_again_as_the_same_prompt(chat: Page, server: ChatServer) -> None:
    server.plan(Reply(status=502, error="The model <b>refused</b>. Set OPENAI_API_KEY."))
    answer = ask(chat, "why?")
    expect(answer.get_by_role("alert")).to_contain_text("The model <b>refused</b>. Set OPENAI_API_KEY.")
    button(answer, "Try again").click()
    expect(answer).to_contain_text("Hello, world.")
    expect(answer.get_by_role("alert")).to_have_count(0)
    assert [(q["query"], q.get("regenerate")) for q in server.queries] == [("why?", None), ("why?", True)]
    expect(chat.locator(".turn")).to_have_count(1)


def test_an_error_in_the_middle_keeps_the_text_before_it(chat: Page, server: ChatServer) -> None:
    server.plan(Reply(text="Half an answer", error="The model stopped answering."))
    answer = ask(chat)
    expect(answer).to_contain_text("Half an answer")
    expect(answer.get_by_role("alert")).to_contain_text("The model stopped answering.")


def test_a_connection_lost_in_the_middle_can_be_tried_again(chat: Page, server: ChatServer) -> None:
    reply, answer = ask_slowly(chat, server, "Half an answer")
    reply.break_off()
    expect(answer.get_by_role("alert")).to_contain_text("The answer broke off before its end.")
    expect(answer).to_contain_text("Half an answer")
    button(answer, "Try again").click()
    expect(answer).to_contain_text("Hello, world.")


def test_a_server_that_is_away_is_named_and_asked_anew(chat: Page, server: ChatServer) -> None:
    chat.context.set_offline(True)
    answer = ask(chat)
    expect(answer.get_by_role("alert")).to_contain_text("The server did not answer.")
    chat.context.set_offline(False)
    button(answer, "Try again").click()
    expect(answer).to_contain_text("Hello, world.")
    assert "regenerate" not in server.queries[0]


def test_an_empty_answer_says_so(chat: Page, server: ChatServer) -> None:
    server.plan(Reply(text="", streamed=False))
    expect(ask(chat)).to_contain_text("The answer is empty.")


def test_another_answer_takes_the_place_of_the_first_under_the_same_id(chat: Page, server: ChatServer) -> None:
    answer = ask(chat, "again?")
    expect(answer).to_contain_text("Hello, world.")
    server.plan(Reply(text="Another answer."))
    button(answer, "Answer again").click()
    expect(answer).to_contain_text("Another answer.")
    expect(answer).not_to_contain_text("Hello")
    first, second = server.queries
    assert (second["query"], second["turn_id"], second["regenerate"]) == ("again?", first["turn_id"], True)
    expect(answer).to_have_attribute("data-turn-id", first["turn_id"])


def test_an_answer_that_was_not_tracked_says_so(chat: Page, server: ChatServer) -> None:
    server.plan(Reply(tracked=False, notice="This answer was not tracked: unknown session."))
    expect(ask(chat).locator(".untracked")).to_have_text("This answer was not tracked: unknown session.")
