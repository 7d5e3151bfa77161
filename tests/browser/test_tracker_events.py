"""What the tracker records: gestures of a real mouse and keyboard in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.standin import Collector, Site, until


@pytest.fixture
def tracked(page: Page, site: Site, collector: Collector) -> Page:
    """A page whose visit has begun."""
    page.goto(site.page(experiment="production_v1", user="alice"))
    until(lambda: collector.sent("event"), pause=lambda s: page.wait_for_timeout(s * 1000))
    return page


def flush(page: Page, collector: Collector, rest_ms: int = 50) -> None:
    """Leaves the page after a rest: what is unsent goes out with the end."""
    page.wait_for_timeout(rest_ms)
    page.goto("about:blank")
    until(lambda: collector.visit.ends, pause=lambda s: page.wait_for_timeout(s * 1000))


def test_start_says_who_where_and_on_what(tracked: Page, collector: Collector, site: Site) -> None:
    start = collector.visit.start
    assert re.fullmatch(r"user_alice_\d{13}_[0-9a-z]{16,}", start["session_id"])
    assert start["session_id"] == tracked.evaluate("llmtrack.sessionId")
    assert (start["user_id"], start["experiment_id"]) == ("alice", "production_v1")
    assert start["environment"] == {
        "viewport": {"width": 800, "height": 600},
        "language": "en-US",
        "page_url": f"{site.url}/page.html",
        "referrer": "",
        "automation": True,
        "touch": False,
        "gpc": False,
        "dnt": False,
    }
    assert collector.visit.of("activity") == [{"activity_state": "active"}]


def test_two_visits_never_share_an_id_and_a_user_keeps_theirs(page: Page, site: Site, collector: Collector) -> None:
    for _ in range(2):
        page.goto("about:blank")
        page.goto(site.page())
        page.wait_for_function("window.llmtrack?.sessionId")
    until(lambda: len(collector.visits) == 2)
    one, two = collector.visits.values()
    assert one.start["session_id"] != two.start["session_id"]
    assert one.start["user_id"] == two.start["user_id"]
    assert re.fullmatch(r"\d{30,40}", one.start["user_id"])


def test_five_seconds_of_wheel_are_at_most_eleven_scrolls(tracked: Page, collector: Collector) -> None:
    tracked.mouse.move(400, 560)
    began = tracked.evaluate("performance.now()")
    turns = 0
    while tracked.evaluate("performance.now()") < began + 5000:
        tracked.mouse.wheel(0, 20)
        turns += 1
        tracked.wait_for_timeout(25)
    tracked.wait_for_timeout(600)
    end = tracked.evaluate("scrollY")
    flush(tracked, collector, 600)
    scrolls, times = collector.visit.of("scroll"), collector.visit.times("scroll")
    assert turns > 60
    assert 7 <= len(scrolls) <= 11
    assert all(later - earlier >= 490 for earlier, later in pairwise(times))
    assert scrolls[-1]["scrollY"] == end  # the trailing one tells where it came to rest
    assert {scroll["direction"] for scroll in scrolls} == {"down"}
    assert all(20 <= scroll["speed"] <= 3000 for scroll in scrolls)
    assert all(scroll["page_height"] > 20000 and scroll["view_height"] == 600 for scroll in scrolls)
    assert not any("user" in scroll for scroll in scrolls)


def test_an_inner_element_that_scrolls_is_seen(tracked: Page, collector: Collector) -> None:
    tracked.hover("#long", position={"x": 20, "y": 60})
    tracked.mouse.wheel(0, 300)
    tracked.wait_for_timeout(700)
    tracked.mouse.wheel(0, -100)
    flush(tracked, collector, 600)
    scrolls = collector.visit.of("scroll")
    assert [(scroll["scrollY"], scroll["direction"]) for scroll in scrolls] == [(300, "down"), (200, "up")]
    assert scrolls[0]["page_height"] >= 20000
    assert scrolls[0]["view_height"] == 200


def test_scrolling_by_program_is_not_the_users(tracked: Page, collector: Collector) -> None:
    tracked.click("#button")  # a press that makes the page scroll, as sending a prompt does
    tracked.evaluate("scrollTo(0, 4000)")
    flush(tracked, collector, 100)
    (scroll,) = collector.visit.of("scroll")
    assert (scroll["scrollY"], scroll["user"]) == (4000, False)


def test_keys_that_scroll_are_the_users(tracked: Page, collector: Collector) -> None:
    tracked.keyboard.press("PageDown")
    flush(tracked, collector, 600)
    assert all("user" not in scroll for scroll in collector.visit.of("scroll"))
    assert collector.visit.of("scroll")


def test_every_click_is_recorded_with_its_target(tracked: Page, collector: Collector, site: Site) -> None:
    for _ in range(3):
        tracked.click("#button", position={"x": 5, "y": 5})
    box = tracked.locator("#button").bounding_box()
    flush(tracked, collector)
    clicks = collector.visit.of("click")
    assert len(clicks) == 3
    assert clicks[0]["target"] == "BUTTON"
    assert clicks[0]["page_url"] == f"{site.url}/page.html"
    assert box is not None
    assert 5 <= clicks[0]["x"] - box["x"] <= 8  # within the button's border
    assert 5 <= clicks[0]["y"] - box["y"] <= 8


def drag(page: Page, selector: str, seconds: float = 0.4) -> None:
    box = page.locator(selector).bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 1, y)
    page.mouse.down()
    steps = max(4, int(seconds * 30))
    for step in range(1, steps + 1):
        page.mouse.move(box["x"] + 400 * step / steps, y)
        page.wait_for_timeout(1000 * seconds / steps)
    page.mouse.up()


def test_a_slow_drag_is_one_selection_that_names_its_answer(tracked: Page, collector: Collector, site: Site) -> None:
    tracked.evaluate("window.changes = 0; document.addEventListener('selectionchange', () => window.changes++)")
    drag(tracked, "#answer", 2)
    changes = tracked.evaluate("window.changes")
    flush(tracked, collector, 800)
    assert changes > 20
    assert collector.visit.of("selection") == [
        {
            "selected_text": "Supervised learning maps inputs to labels.",
            "page_url": f"{site.url}/page.html",
            "turn_id": "turn-1",
            "chat_session_id": "chat-1",
        }
    ]


def test_a_drag_that_pauses_is_still_one_selection(tracked: Page, collector: Collector) -> None:
    box = tracked.locator("#answer").bounding_box()
    assert box
    tracked.mouse.move(box["x"] + 1, box["y"] + 10)
    tracked.mouse.down()
    tracked.mouse.move(box["x"] + 90, box["y"] + 10, steps=4)
    tracked.wait_for_timeout(1500)
    tracked.mouse.move(box["x"] + 400, box["y"] + 10, steps=4)
    tracked.mouse.up()
    flush(tracked, collector)
    assert len(collector.visit.of("selection")) == 1


def test_a_copy_comes_after_the_selection_it_was_made_from(tracked: Page, collector: Collector) -> None:
    drag(tracked, "#other")
    tracked.keyboard.press("Control+c")  # before the selection has settled
    flush(tracked, collector)
    kinds = [event["type"] for _, event in sorted(collector.visit.events.items())]
    assert kinds.index("selection") < kinds.index("copy")
    assert collector.visit.of("copy")[0]["selected_text"] == "Unsupervised learning finds structure."
    assert collector.visit.of("copy")[0]["turn_id"] == "turn-2"


def test_the_same_text_selected_again_counts_again(tracked: Page, collector: Collector) -> None:
    for _ in range(2):
        drag(tracked, "#answer")
        tracked.wait_for_timeout(800)
        tracked.mouse.click(700, 60)
        tracked.wait_for_timeout(800)
    flush(tracked, collector)
    assert len(collector.visit.of("selection")) == 2


def write_a_draft(page: Page) -> None:
    page.fill("#draft", "my unsent draft")
    page.focus("#draft")
    page.keyboard.press("Control+a")
    page.wait_for_timeout(700)
    page.keyboard.press("Control+c")


def type_a_password(page: Page) -> None:
    page.click("#password")
    page.keyboard.type("my unsent draft")
    page.keyboard.press("Control+a")
    page.wait_for_timeout(700)


def edit_a_note(page: Page) -> None:
    page.click("#note")
    page.keyboard.type("my unsent draft")
    page.keyboard.press("Control+a")
    page.wait_for_timeout(700)
    page.keyboard.press("Control+c")


def select_all_with_a_draft(page: Page) -> None:
    page.fill("#draft", "my unsent draft")
    page.evaluate("document.activeElement.blur(); getSelection().selectAllChildren(document.body)")
    page.wait_for_timeout(700)


@pytest.mark.parametrize("act", [write_a_draft, type_a_password, edit_a_note, select_all_with_a_draft])
def test_text_typed_into_fields_is_never_read(tracked: Page, collector: Collector, act: Callable[[Page], Any]) -> None:
    act(tracked)
    flush(tracked, collector)
    assert "unsent draft" not in str([request.body for request in collector.requests])


def test_masked_text_is_reported_by_its_length_only(tracked: Page, collector: Collector) -> None:
    drag(tracked, "#secret")
    tracked.keyboard.press("Control+c")
    tracked.wait_for_timeout(100)
    tracked.evaluate(
        "getSelection().setBaseAndExtent(document.querySelector('#other'), 0, document.querySelector('#draft'), 0)"
    )
    flush(tracked, collector)
    for event in (*collector.visit.of("selection"), *collector.visit.of("copy")):
        assert event["selected_text"] == ""
        assert event["masked"] is True
        assert event["selected_length"] >= len("My name is Nobody.")
    assert len(collector.visit.of("selection")) == 2
    assert len(collector.visit.of("copy")) == 1
    assert "Nobody" not in str([request.body for request in collector.requests])


def test_half_an_emoji_is_made_whole_and_long_text_is_cut(tracked: Page, collector: Collector) -> None:
    tracked.evaluate(
        "llmtrack.track('note', {half: 'a\\ud83d', deep: [{x: '\\ude00b'}], long: 'x'.repeat(19999) + '😀'})"
    )
    tracked.evaluate("llmtrack.track('\\ud83d')")
    flush(tracked, collector)
    (note,) = collector.visit.of("note")
    assert note["half"] == "a\ufffd"
    assert note["deep"] == [{"x": "\ufffdb"}]
    assert note["long"] == "x" * 19999 + "\ufffd"
    assert collector.visit.of("\ufffd") == [{}]


def test_an_event_of_the_application_is_kept(tracked: Page, collector: Collector) -> None:
    tracked.evaluate("llmtrack.track('new_chat', {chat_session_id: 'chat-2'})")
    tracked.evaluate("llmtrack.track('rating', 5)")
    flush(tracked, collector)
    assert collector.visit.of("new_chat") == [{"chat_session_id": "chat-2"}]
    assert collector.visit.of("rating") == [{"value": 5}]


def test_idle_after_thirty_seconds_and_active_on_return(page: Page, site: Site, collector: Collector) -> None:
    page.clock.install()
    page.goto(site.page())
    page.mouse.move(10, 10)
    page.clock.run_for(20_000)
    page.mouse.move(20, 20)
    page.clock.run_for(29_000)
    page.evaluate("scrollTo(0, 900)")  # by program: no activity
    page.clock.run_for(60_000)
    page.mouse.move(30, 30)
    page.clock.run_for(3_000)
    until(lambda: len(collector.visit.of("activity")) == 3, pause=lambda s: page.clock.run_for(100))
    states, times = collector.visit.of("activity"), collector.visit.times("activity")
    assert [state["activity_state"] for state in states] == ["active", "idle", "active"]
    assert 49_900 <= times[1] - times[0] <= 51_000  # 20 s, then 30 s without interaction
    assert 58_500 <= times[2] - times[1] <= 60_000


def test_idle_is_dated_when_it_began_also_after_the_laptop_slept(page: Page, site: Site, collector: Collector) -> None:
    # In a sleeping laptop timers and performance.now() stop, while the date goes on.
    page.add_init_script("const real = Date.now; window.slept = 0; Date.now = () => real() + window.slept;")
    page.goto(site.page())
    page.mouse.move(10, 10)
    page.evaluate("window.slept = 3_600_000")
    page.mouse.move(20, 20)
    flush(page, collector)
    states, times = collector.visit.of("activity"), collector.visit.times("activity")
    assert [state["activity_state"] for state in states] == ["active", "idle", "active"]
    assert 30_000 <= times[1] - times[0] <= 31_000
    assert 3_600_000 <= times[2] - times[0] <= 3_602_000
