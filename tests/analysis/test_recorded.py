"""What a source never records is missing in every report, and never 0 %; thumbs are numbers where there are some."""

from __future__ import annotations

import math
from typing import Any

import pytest

from llmtrack.analysis.chats.report import Chats
from llmtrack.analysis.dropoff.report import Dropoff
from llmtrack.analysis.experiment.report import Engagement
from llmtrack.analysis.export.tables import Export
from llmtrack.analysis.funnel.report import Funnel
from llmtrack.analysis.health.report import Health
from llmtrack.analysis.queries import Queries
from llmtrack.analysis.report import Report, ReportSettings
from tests.analysis.visits import NOW, Document, cleaned, turn, visit


def thumb(at: float, rating: Any, **data: Any) -> tuple[float, str, dict[str, Any]]:
    return (at, "feedback", {"rating": rating, "chat_session_id": "c", **data})


CHATS = [  # as a chat export gives them: what was said, and thumbs; nothing that a page would tell
    visit("1", *turn(0), thumb(3, "up"), *turn(10, "And now?"), end_s=None),
    visit("2", *turn(0), thumb(3, "thumbsDown"), group="b", end_s=None),
    visit("3", *turn(0), thumb(3, "down"), thumb(4, 1), group="b", end_s=None),
]
COPIES = visit("4", *turn(0), (5, "copy", {"selected_text": "it is so"}), (6, "scroll", {"scrollY": 10}), end_s=60)


def run(report: Report[Any], *parts: list[Document]) -> Any:
    return report.finish(
        [report.pick(cleaned(documents, report.fields)) for documents in parts], ReportSettings(now=NOW)
    )


def metrics(*parts: list[Document], **asked: Any) -> dict[str, Any]:
    found = run(Engagement(**asked), *parts)
    return {each.metric: each for each in found.metrics}


def test_metrics_of_what_was_never_recorded_have_no_numbers_and_are_no_primary_ones() -> None:
    found = metrics(CHATS)
    untold = {name for name, metric in found.items() if not metric.recorded}
    assert untold == {
        "scroll_max_px", "scroll_depth", "copies_per_response", "copied_response_share", "selections_per_response",
        "bounce_share", "silent_share", "idle_share", "first_action_s",
    }  # fmt: skip
    for name in untold:
        assert {group.value for group in found[name].groups} == {None}
        assert found[name].comparisons == []
        assert found[name].exploratory
    assert not found["prompts_per_session"].exploratory
    assert [group.value for group in found["prompts_per_session"].groups] == [2, 1]


def test_one_session_anywhere_that_has_a_copy_makes_copies_a_number_for_all() -> None:
    found = metrics(CHATS, [COPIES])  # another part: the whole source counts
    shares = {group.group: group.value for group in found["copied_response_share"].groups}
    assert shares == {"a": 1 / 3, "b": 0}
    assert not found["copied_response_share"].exploratory
    assert not found["idle_share"].recorded
    assert found["bounce_share"].recorded


def test_thumbs_are_metrics() -> None:
    found = metrics(CHATS)
    assert {group.group: group.value for group in found["rated_share"].groups} == {"a": 1 / 2, "b": 1}
    assert {group.group: group.value for group in found["up_share"].groups} == {"a": 1, "b": 1 / 2}
    assert not metrics([COPIES])["up_share"].recorded


def test_thumbs_are_columns_and_the_last_one_counts() -> None:
    sessions = run(Export(table="sessions"), CHATS).to_frame()
    assert sessions["rated_responses"].tolist() == [1, 1, 1]
    assert sessions["up_responses"].tolist() == [1, 0, 1]
    turns = run(Export(table="turns"), CHATS).to_frame()
    assert turns["rating"].fillna("").tolist() == ["up", "", "down", "up"]


@pytest.mark.parametrize(
    ("events", "rated"),
    [
        ([*turn(0, turn_id="x"), *turn(10, turn_id="y"), thumb(20, "up", turn_id="x")], ["up", ""]),
        ([*turn(0), *turn(10), thumb(20, "up"), thumb(21, "neutral")], ["", ""]),  # taken back
        ([*turn(0), *turn(10), (20, "feedback", {"feedback": "down"})], ["", "down"]),
        (
            [
                *turn(0, chat="c"),
                *turn(10, chat="d"),
                (20, "feedback", {"feedback": {"rating": "thumbsUp"}, "chat_session_id": "c"}),
            ],
            ["up", ""],
        ),
        ([thumb(0, "up"), *turn(5)], [""]),  # of nothing
    ],
)
def test_a_thumb_belongs_to_one_answer(events: list[Any], rated: list[str]) -> None:
    found = run(Export(table="turns"), [visit("1", *events)]).to_frame()
    assert found["rating"].fillna("").tolist() == rated


def test_exports_leave_empty_what_was_never_recorded() -> None:
    row = run(Export(table="sessions"), CHATS).to_frame().iloc[0]
    for column in ("copies", "copies_without_answer", "selections", "clicks", "scroll_max_px", "idle", "exit_reason"):
        assert row.isna()[column], column
    assert row["prompts"] == 2
    assert run(Export(table="sessions"), CHATS, [COPIES]).to_frame()["copies"].tolist() == [0, 0, 0, 1]
    assert run(Export(table="turns"), CHATS).to_frame()["copied"].isna().all()


def test_a_source_of_sessions_without_any_prompt_bounces_nobody() -> None:
    pages = [visit(str(i), (1, "click", {"x": 1})) for i in range(3)]
    found = metrics(pages)
    assert not found["bounce_share"].recorded
    assert not found["prompts_per_session"].recorded
    assert {each.exit_reason: each.sessions for each in run(Dropoff(), pages).exits}["no_prompt"] is None
    row = run(Export(table="sessions"), pages).to_frame().iloc[0]
    assert row.isna()[["prompts", "unanswered", "exit_reason"]].all()


@pytest.mark.parametrize("unit", ["session", "chat", "user"])
def test_a_step_that_is_never_recorded_has_no_numbers_and_stops_nobody(unit: Any) -> None:
    result = run(Funnel(unit=unit, by="none"), CHATS[:2], CHATS[2:])
    steps = {step.step: step for step in result.groups[0].steps}
    assert steps["engaged"][1:] == (None,) * 6
    assert (steps["answer"].reached, steps["again"].reached) == (3, 1)
    assert steps["again"].median_s == 8  # since the step before that is recorded
    assert result.warnings[0].code == "step_not_recorded"
    assert "selection or copy" in result.warnings[0].text


def test_a_step_that_somebody_reached_elsewhere_is_counted_for_all() -> None:
    result = run(Funnel(by="none"), CHATS, [COPIES])
    assert [step.reached for step in result.groups[0].steps] == [4, 4, 4, 1, 0]


def test_excluded_events_still_exclude_where_a_step_is_missing() -> None:
    asked = [*CHATS, visit("5", *turn(0), *turn(10))]
    result = run(Funnel(steps=("prompt", "copy", "again=prompt"), exclude=("feedback",), by="none"), asked)
    assert [step.reached for step in result.groups[0].steps] == [1, None, 1]
    assert result.excluded["excluded_event"] == 3


def test_drop_off_tells_no_idleness_and_no_reading() -> None:
    result = run(Dropoff(), CHATS)
    assert {turn.idle for turn in result.turns} == {None}
    assert {group.idle_share for group in result.groups} == {None}
    assert {each.metric for each in result.comparisons} == {"left_share"}
    told = {each.exit_reason for each in result.exits if each.sessions is not None}
    assert told == {"open", "no_prompt", "waiting", "after_error"}


def test_health_does_not_check_what_is_never_recorded() -> None:
    status = {check.check: check.status for check in run(Health(), CHATS).checks}
    assert (status["missing_end"], status["lost_events"]) == ("unchecked", "unchecked")
    assert status["duplicates"] == "ok"
    assert {check.check: check.status for check in run(Health(), CHATS, [COPIES]).checks}["missing_end"] == "warning"


def test_chats_are_as_long_as_ever() -> None:
    assert [group.chats for group in run(Chats(), CHATS).groups] == [1, 2]


def test_queries_rank_by_thumbs_where_nothing_was_copied_or_selected() -> None:
    good = [visit(f"g{i}", *turn(0, "Good?"), thumb(3, "up")) for i in range(8)]
    bad = [visit(f"b{i}", *turn(0, "Bad?"), thumb(3, "down")) for i in range(8)]
    mute = [visit(f"m{i}", *turn(0, "Mute?")) for i in range(8)]
    result = run(Queries(), [*mute, *bad, *good])
    assert result.ranked_by == "thumbs"
    assert [(row.prompt, row.rated, row.up) for row in result.rows] == [
        ("Good?", 8, 8),
        ("Mute?", 0, 0),
        ("Bad?", 8, 0),
    ]
    assert result.rows[0].copied is None
    assert result.rows[0].rate is None
    scores = [row.score for row in result.rows]
    assert scores[0] > 0.8
    assert scores[2] < 0.2
    assert math.isclose(scores[1], result.prior.mean)
    assert [note.code for note in result.warnings] == ["ranked_by_thumbs"]


def test_queries_rank_nothing_where_nothing_was_used() -> None:
    result = run(Queries(), [visit("1", *turn(0)), visit("2", *turn(0))])
    assert (result.ranked_by, result.rows, result.responses) == (None, [], 2)
    assert [note.code for note in result.warnings] == ["nothing_used"]


def test_what_another_application_calls_unfinished_is_a_partial_answer() -> None:
    events = [*turn(0, unfinished=True), *turn(10, unfinished=False), *turn(20, partial=True)]
    assert run(Export(table="turns"), [visit("1", *events)]).to_frame()["partial"].tolist() == [True, False, True]
