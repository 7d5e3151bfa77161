"""What was on the screen: one `view` for each time that an answer was to be seen."""

from __future__ import annotations

from collections import defaultdict

from tests.browser.driving import Tab
from tests.browser.standin import Collector, Site

RECYCLE = "for (const each of document.querySelectorAll('[data-turn-id=short]')) each.dataset.turnId = 'recycled'"
STEP_S = 1.0
TOLERANCE_MS = 600  # it looks four times a second, twice for each of two stays


def test_each_answer_says_how_long_it_was_on_the_screen_and_how_far(tab: Tab, collector: Collector, site: Site) -> None:
    tab.open(site.page("answers.html"))
    tab.until(lambda: collector.visits and collector.visit.events)
    moments = collector.visit.times("activity")[:1]

    def change(script: str) -> float:
        """Changes what is on the screen; how long it was as before, in ms."""
        tab.wait(STEP_S)
        moments.append(tab.run(f"() => {{ {script}; return Date.now(); }}"))
        return moments[-1] - moments[-2]

    tab.click("root.querySelector('#inside')")  # an open root is known once something happens in it
    top = change("list.scrollTop = 700")
    below = change("list.scrollTop = 0")
    again = change(RECYCLE)
    recycled = change("list.replaceChildren()")
    tab.wait(STEP_S)
    tolerance = TOLERANCE_MS + 2 * tab.run("() => starved_ms")
    tab.open("about:blank")
    tab.until(lambda: collector.visit.ends)

    views = collector.visit.of("view")
    seen_ms: dict[str, float] = defaultdict(float)
    for view in views:
        seen_ms[view["turn_id"]] += view["visible_ms"]
    told = [view["turn_id"] for view in views]
    assert told[:3] == ["short", "short", "long"]
    assert sorted(told[3:]) == ["folded", "inside", "recycled", "unseen"]
    expected = {"short": top + again, "long": top + below + again + recycled, "recycled": recycled}
    for turn, ms in expected.items():
        assert abs(seen_ms[turn] - ms) < tolerance, turn
    assert all(ms <= moments[-1] - moments[0] + 1000 * STEP_S + tolerance for ms in seen_ms.values())
    assert seen_ms["inside"] > below + again + recycled - tolerance
    assert (seen_ms["unseen"], seen_ms["folded"]) == (0, 0)
    share = {view["turn_id"]: view["seen_share"] for view in views}
    assert share.pop("long") == round((700 + 500 - 200) / 1500, 2)
    assert share == {"short": 1, "recycled": 1, "inside": 1, "unseen": 0, "folded": 0}
