"""Every way in which text that somebody typed, or that is masked, could leave the page. Each holds a "secret"."""

from __future__ import annotations

from typing import Any

import pytest

from tests.browser.driving import Tab
from tests.browser.standin import Collector, Site

FIELDS = ["input", "password", "openArea", "deepInput", "closedInput", "area"]
EDITORS = ["openRich", "closedRich", "rich", "island", "plain", "fake"]
MASKED = ["openMasked", "note", "innerNote", "slotted"]
CLOSED = ["closed", "sealed"]


def arrive(tab: Tab, collector: Collector, site: Site, page: str = "trees.html", **attributes: str) -> None:
    tab.open(site.page(page, **attributes))
    tab.until(lambda: collector.visits and collector.visit.events)


def leave(tab: Tab, collector: Collector) -> None:
    tab.open("about:blank")
    tab.until(lambda: collector.visit.ends)


def read(collector: Collector) -> list[dict[str, Any]]:
    """What was recorded of selections and copies, in order."""
    events = [event for _, event in sorted(collector.visit.events.items())]
    return [event["data"] for event in events if event["type"] in ("selection", "copy")]


def leaks(collector: Collector) -> list[str]:
    """Every value that left the page and holds a secret."""
    found: list[str] = []

    def look(value: Any) -> None:
        if isinstance(value, str) and "secret" in value.lower():
            found.append(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(inner)

    for request in collector.requests:
        look({key: value for key, value in request.body.items() if key != "secret"})
    return found


def take(tab: Tab) -> None:
    """Copies, which also ends the selection; and what a page that was slow to notice would still have sent."""
    tab.press("Control+c")
    tab.wait(0.1)


@pytest.mark.parametrize("way", ["keyboard", "mouse"])
def test_what_was_typed_stays_wherever_its_field_is(tab: Tab, collector: Collector, site: Site, way: str) -> None:
    arrive(tab, collector, site)
    for part in FIELDS + EDITORS:
        if way == "keyboard":
            tab.click(f"parts.{part}")
            tab.press("Control+a")
        else:
            tab.drag_over(f"parts.{part}")
        take(tab)
    leave(tab, collector)
    assert leaks(collector) == []


def test_masks_hold_across_the_roots_below_them(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    put = "event.clipboardData.setData('text/plain', 'secret that the page knows'); event.preventDefault()"
    tab.run(f"() => document.addEventListener('copy', (event) => {{ {put} }})")
    for part in MASKED:
        tab.drag_over(f"parts.{part}")
        take(tab)
    leave(tab, collector)
    assert leaks(collector) == []
    assert {(data["selected_text"], data["masked"]) for data in read(collector)} == {("", True)}
    assert [data["selected_length"] for data in read(collector)][:2] == [len("secret masked words in a root")] * 2


def test_of_a_closed_root_nothing_is_read(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    for part in CLOSED:
        tab.drag_over(f"parts.{part}")
        take(tab)
    leave(tab, collector)
    assert leaks(collector) == []


def test_a_drag_from_one_tree_into_another_reads_nothing_of_what_it_skips(
    tab: Tab, collector: Collector, site: Site
) -> None:
    arrive(tab, collector, site)
    ends = ["before", "open", "closed", "between", "sealed", "deep", "after", "note"]
    for start in ends:
        for end in ends:
            if start == end:
                continue
            left, top, _, height = tab.box(f"parts.{start}")
            to_left, to_top, width, to_height = tab.box(f"parts.{end}")
            left, top, _, height = tab.box(f"parts.{start}")
            tab.drag_to(left + 2, top + height / 2, to_left + min(width, 200), to_top + to_height / 2)
            tab.press("Control+c")
    leave(tab, collector)
    assert leaks(collector) == []


def test_a_selection_of_everything_leaves_out_what_was_typed(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    tab.run("() => { document.activeElement.blur(); getSelection().selectAllChildren(document.body); }")
    take(tab)
    leave(tab, collector)
    assert leaks(collector) == []
    assert all(data["masked"] for data in read(collector))


def test_a_page_that_is_an_editor_is_never_read(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site, "page.html")
    tab.run("() => { document.designMode = 'on'; }")
    tab.click("document.querySelector('#answer')")
    tab.type("secret")
    tab.press("Control+a")
    take(tab)
    leave(tab, collector)
    assert read(collector) == []
    assert leaks(collector) == []


def test_an_edit_context_is_an_editor(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    if not tab.run("() => !!window.EditContext"):  # Chromium's alone: elsewhere the element is any other
        tab.run("() => { parts.editor.editContext = {}; }")
    tab.drag_over("parts.editor")
    take(tab)
    tab.run("() => document.activeElement.blur()")
    tab.run("() => getSelection().setBaseAndExtent(parts.before, 0, parts.after, 1)")
    take(tab)
    leave(tab, collector)
    assert leaks(collector) == []


def test_answers_in_open_roots_are_read_and_known(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    for part in ("before", "open", "deep", "between"):
        tab.drag_over(f"parts.{part}")
        take(tab)
    leave(tab, collector)
    assert [(data["selected_text"], data.get("turn_id")) for data in collector.visit.of("copy")] == [
        ("public words before", None),
        ("public words in a root", "turn-open"),
        ("public words deep inside", "turn-deep"),
        ("public words between", None),
    ]
    assert collector.visit.of("copy") == collector.visit.of("selection")
    assert collector.visit.of("copy")[1]["chat_session_id"] == "chat-open"


def test_scrolling_and_clicks_in_open_roots_are_seen(tab: Tab, collector: Collector, site: Site) -> None:
    arrive(tab, collector, site)
    tab.click("parts.bold")
    left, top, _, _ = tab.box("parts.scroller")
    tab.wheel_at(left + 30, top + 30, 40)
    tab.wait(0.3)
    tab.wheel_at(left + 30, top + 30, 100)
    tab.wait(1)
    leave(tab, collector)
    (click,) = collector.visit.of("click")
    assert (click["target"], click["name"]) == ("B", "Go on")
    inner = [scroll for scroll in collector.visit.of("scroll") if scroll["view_height"] == 60]
    assert inner
    assert inner[-1]["page_height"] == 2000
    assert "user" not in inner[-1]
