"""Where people stop: turns, exits, idleness and latency by hand, and what the demo has planted."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd
import pytest

from llmtrack.analysis.dropoff.counted import BUCKETS_MS
from llmtrack.analysis.dropoff.report import Dropoff
from llmtrack.analysis.dropoff.result import DropoffResult
from llmtrack.analysis.frames import table as as_table
from llmtrack.analysis.interaction import Interaction
from llmtrack.analysis.stats import wilson
from llmtrack.errors import UsageError
from tests.analysis.running import run
from tests.analysis.visits import NOW, START_MS, WEIGHTS, cleaned, in_batches, samples, turn, visit

FIELDS = Dropoff().fields

IDLE = {"activity_state": "idle"}
AGO_S = NOW.timestamp() - START_MS / 1000  # seconds from START_MS to now


def found(*documents: Any, **options: Any) -> DropoffResult:
    return run(Dropoff(**options), cleaned(documents, FIELDS))


@pytest.fixture(scope="module")
def demo() -> DropoffResult:
    return run(Dropoff(), cleaned(samples(), FIELDS), weights=WEIGHTS)


def test_turns_by_hand_with_an_open_session_censored() -> None:
    result = found(
        visit("left", *turn(0)),
        visit("went on", *turn(0), *turn(10)),
        visit("idle, then went on", *turn(0), (40, "activity", IDLE), *turn(50)),
        visit("open", *turn(0), start_s=AGO_S - 60, end_s=None),
        visit("no prompt", (0, "click", {})),
    )
    first, second = result.turns
    assert first[:7] == ("a", 1, 4, 2, 1, 1, 1)
    assert first.hazard == pytest.approx(1 / 3)
    assert first.hazard_ci == pytest.approx(wilson(1, 3))
    assert first.remaining == pytest.approx(2 / 3)
    assert second[:7] == ("a", 2, 2, 0, 2, 0, 0)
    assert (second.hazard, second.remaining) == (1, 0)
    (group,) = result.groups
    assert (group.sessions, group.users, group.turns, group.left_share) == (5, 5, 6, 3 / 5)
    assert {each.exit_reason: each.sessions for each in result.exits if each.sessions} == {
        "open": 1,
        "no_prompt": 1,
        "silent": 3,
    }


def test_idleness_is_timed_from_the_answer_and_only_the_first_counts() -> None:
    result = found(
        visit("1", *turn(0), (37, "activity", IDLE), (40, "scroll", {}), (80, "activity", IDLE)),
        visit("2", *turn(0), *turn(4), (66, "activity", IDLE)),
        visit("3", (0, "prompt", {}), (30, "activity", IDLE)),
        visit("4", *turn(0, error="503", answer=None), (40, "activity", IDLE)),
    )
    (idle,) = result.idle
    assert (idle.answers, idle.p25_s, idle.median_s, idle.p75_s) == (2, 41.25, 47.5, 53.75)
    assert dict(zip(idle.from_s, idle.counts, strict=True)) == {0: 0, 35: 1, 45: 0, 60: 1, 90: 0, 120: 0, 300: 0}


def test_latency_buckets_hold_answers_of_turns_that_are_over() -> None:
    result = found(
        visit("1", *turn(0, latency_ms=999), *turn(10, latency_ms=1000)),
        visit("2", *turn(0, latency_ms=20_000)),
        visit("3", *turn(0)),
        visit("4", *turn(0, latency_ms=900, error="503", answer=None)),
        visit("5", *turn(0, latency_ms=900), start_s=AGO_S - 60, end_s=None),
    )
    assert [(each.bucket_ms, each.responses, each.left) for each in result.latency] == [
        ((500, 1000), 1, 0),
        ((1000, 2000), 1, 1),
        ((16_000, None), 1, 1),
    ]


def test_partial_answers_and_who_left_after_them_by_hand() -> None:
    cut = {"partial": True, "finish_reason": "length"}
    result = found(
        visit("left after one", *turn(0, **cut)),
        visit("went on after one", *turn(0, **cut), *turn(10)),
        visit("left after a whole one", *turn(0), *turn(10)),
        visit("failed in the middle", *turn(0, error="503", partial=True)),
        visit("still open", *turn(0, **cut), start_s=AGO_S - 60, end_s=None),
        visit("another group", *turn(0), group="b"),
    )
    a, b = result.groups
    assert (a.answers, a.partial, a.partial_share) == (5, 2, 2 / 5)
    assert (a.left_after_partial, a.left_after_whole) == (1 / 2, 2 / 3)
    assert a.left_after_partial_ci == pytest.approx(wilson(1, 2))
    assert a.partial_share_ci is not None
    assert (b.answers, b.partial, b.partial_share) == (1, 0, 0)
    assert (b.left_after_partial, b.left_after_partial_ci, b.left_after_whole) == (None, None, 1)


def test_sessions_of_one_user_are_no_independent_witnesses() -> None:
    alike = [visit(f"{user} {i}", *turn(0), *(turn(9) if user % 2 else []), user=f"u{user}")
             for user in range(40) for i in range(5)]  # fmt: skip
    first = found(*alike).turns[0]
    lo, hi = first.hazard_ci or (0, 0)
    apart = wilson(100, 200)
    assert first.hazard == 0.5
    assert hi - lo > 2 * (apart.hi - apart.lo)


def test_users_in_several_groups_leave_and_nobody_s_sessions_stay() -> None:
    result = found(
        visit("1", *turn(0), user="both", group="a"),
        visit("2", *turn(0), user="both", group="b"),
        visit("3", *turn(0), group="a"),
        visit("4", *turn(0), group="b") | {"user_id": None},
        visit("5", *turn(0), group="b") | {"user_id": None},
    )
    assert result.excluded["users_in_several_groups"] == 1
    assert [(group.group, group.sessions, group.users) for group in result.groups] == [("a", 1, 1), ("b", 2, 2)]
    assert [each.method for each in result.comparisons] == ["none"]
    assert {"users_in_several_groups", "small_group"} <= {note.code for note in result.warnings}
    assert len(found(visit("1", *turn(0), user="both"), by="none").groups) == 1


def test_without_activity_events_a_note_says_that_nobody_can_be_seen_idle() -> None:
    assert "no_idle_events" in {note.code for note in found(visit("1", *turn(0))).warnings}


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(UsageError, match="cannot be grouped"):
        found(visit("1"), by="shoe_size")
    with pytest.raises(UsageError, match="control"):
        found(visit("1"), control="z")


def test_demo_shows_the_planted_difference_and_no_other(demo: DropoffResult) -> None:
    verdicts = {
        (each.metric, each.group): each.p_adjusted is not None and each.p_adjusted < 0.05 for each in demo.comparisons
    }
    assert verdicts == {
        ("left_share", "deep-70b"): True,
        ("left_share", "fast-3b"): False,
        ("idle_share", "deep-70b"): False,
        ("idle_share", "fast-3b"): False,
    }
    assert demo.warnings == []
    of_latency = {each.group: [] for each in demo.latency}
    for each in demo.latency:
        of_latency[each.group].append(each)
    for buckets in of_latency.values():  # a slow answer drives nobody away there: all intervals overlap
        ends = [each.left_share_ci for each in buckets if each.left_share_ci and each.responses >= 30]
        assert max(lo for lo, _ in ends) < min(hi for _, hi in ends)


def test_demo_numbers_are_those_of_plain_pandas(demo: DropoffResult) -> None:
    found = Interaction(cleaned(samples(), FIELDS))
    sessions, table = as_table(found.summary()), as_table(found.turns())
    table = table[table["turn"] > 0].join(sessions["model_group"], on="session")
    for (group, number), rows in table.groupby(["model_group", "turn"]):
        (mine,) = [turn for turn in demo.turns if (turn.group, turn.turn) == (group, number)]
        over = rows[rows["next"] != "open"]
        assert (mine.reached, mine.idle) == (len(rows), rows["idle_first"].sum())
        assert mine.hazard == pytest.approx((over["next"] == "left").mean())
    exits = pd.crosstab(sessions["model_group"], sessions["exit_reason"])
    assert {(each.group, each.exit_reason): each.sessions for each in demo.exits if each.sessions} == {
        (group, reason): count for group, row in exits.iterrows() for reason, count in row.items() if count
    }
    answered = table[table["answered"] & (table["next"] != "open")]
    buckets = pd.cut(answered["latency_ms"], [*BUCKETS_MS, float("inf")], right=False)
    counts = answered.groupby(["model_group", buckets], observed=True).size()
    assert [each.responses for each in demo.latency] == counts.tolist()


def test_batches_and_their_order_change_nothing(demo: DropoffResult) -> None:
    batches = list(in_batches(samples(), FIELDS))
    assert run(Dropoff(), batches, weights=WEIGHTS) == demo


def test_result_is_json_and_a_frame(demo: DropoffResult) -> None:
    document = json.loads(json.dumps(demo.to_dict()))
    assert set(document["turns"][0]) >= {"group", "turn", "reached", "left", "idle", "hazard", "hazard_ci"}
    assert set(document["exits"][0]) >= {"group", "exit_reason", "sessions", "share"}
    assert set(document["latency"][0]) >= {"group", "bucket_ms", "responses", "left_share"}
    assert len(demo.to_frame()) == len(demo.turns)


def test_no_sessions_give_an_empty_result() -> None:
    result = found()
    assert (result.sessions, result.groups, result.turns, result.exits, result.comparisons) == (0, [], [], [], [])
