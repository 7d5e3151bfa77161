"""However the script is loaded: its settings hold, or nothing is recorded. No way of loading turns consent off."""

from __future__ import annotations

import pytest

from tests.browser.driving import Tab
from tests.browser.standin import Collector, Site

KNOWS_ITS_TAG = ["plain", "query", "fragment", "removedLater"]
LOST_ITS_TAG = ["redirect", "removed", "shadow", "imported", "dynamic"]


def load(tab: Tab, site: Site, how: str, **settings: str) -> None:
    tab.open(site.page("loader.html", how=how, **settings).removesuffix("#part"))
    tab.until(lambda: tab.run("() => !!window.llmtrack"))


def use(tab: Tab) -> None:
    tab.click("document.querySelector('#button')")
    tab.drag_over("document.querySelector('#answer')")
    tab.press("Control+c")
    tab.run("() => llmtrack.track('note', {})")
    tab.wait(0.3)


@pytest.mark.parametrize("how", [*KNOWS_ITS_TAG, *LOST_ITS_TAG, "started", "twice"])
def test_where_consent_is_required_nothing_is_kept_or_sent_before_it(
    tab: Tab, collector: Collector, site: Site, how: str
) -> None:
    load(tab, site, how, consent="required")
    use(tab)
    assert tab.run("() => [llmtrack.sessionId, Object.keys(localStorage)]") == [None, []]
    assert collector.requests == []
    tab.run("() => llmtrack.consent(true)")
    if how in LOST_ITS_TAG:
        tab.wait(0.3)
        assert collector.requests == []  # agreed, but to what? The page has said nothing yet
        tab.run("() => llmtrack.start({ consent: 'required' })")
    tab.until(lambda: collector.visits)
    assert len(collector.visits) == 1


@pytest.mark.parametrize("how", LOST_ITS_TAG)
def test_without_settings_nothing_is_recorded_until_the_page_starts_it(
    tab: Tab, collector: Collector, site: Site, how: str
) -> None:
    load(tab, site, how, experiment="elsewhere")
    use(tab)
    tab.wait(1)
    assert collector.requests == []
    assert tab.run("() => Object.keys(localStorage)") == []
    tab.run("() => llmtrack.start({ experiment: 'production_v1', user: 'alice' })")
    tab.run("() => llmtrack.start({ experiment: 'other' })")  # the first holds
    tab.until(lambda: collector.visits)
    assert (collector.visit.start["experiment_id"], collector.visit.start["user_id"]) == ("production_v1", "alice")


def test_a_tracker_that_waits_says_so_once(tab: Tab, collector: Collector, site: Site) -> None:
    load(tab, site, "dynamic")
    tab.run("() => { window.said = []; console.warn = (...words) => said.push(words.join(' ')); }")
    tab.wait(1.3)
    (said,) = tab.run("() => window.said")
    assert "llmtrack.start(" in said


def test_loaded_twice_it_is_one_visit(tab: Tab, collector: Collector, site: Site) -> None:
    load(tab, site, "twice")
    tab.until(lambda: collector.visits and collector.visit.events)
    use(tab)
    tab.open("about:blank")
    tab.until(lambda: collector.visit.ends)
    assert [click["target"] for click in collector.visit.of("click")].count("BUTTON") == 1
    assert len(collector.visit.of("copy")) == 1


def test_of_two_tags_the_stricter_holds(tab: Tab, collector: Collector, site: Site) -> None:
    load(tab, site, "twiceStrict", consent="required")
    tab.wait(0.5)
    assert tab.run("() => llmtrack.sessionId") is None
    before = len(collector.requests)
    use(tab)
    assert len(collector.requests) == before


@pytest.mark.parametrize("said", ["required", "", "true", "false", "Required", "yes"])
def test_whatever_is_said_of_consent_it_is_waited_for(tab: Tab, collector: Collector, site: Site, said: str) -> None:
    load(tab, site, "plain", consent=said)
    use(tab)
    assert collector.requests == []
