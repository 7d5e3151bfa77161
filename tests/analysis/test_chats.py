"""The length of chats: across visits, by hand and by plain pandas; which ones are still going on."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pandas as pd
import pytest

from llmtrack.analysis.chats.report import Chats
from llmtrack.analysis.chats.result import METRICS, ChatsResult
from llmtrack.analysis.frames import frames
from llmtrack.analysis.funnel.report import Funnel
from llmtrack.analysis.stats import mean_interval
from tests.analysis.running import run
from tests.analysis.visits import NOW, START_MS, WEIGHTS, cleaned, in_batches, samples, turn, visit

FIELDS = Chats().fields

AGO_S = NOW.timestamp() - START_MS / 1000


def found(*documents: Any, **options: Any) -> ChatsResult:
    return run(Chats(**options), cleaned(documents, FIELDS))


@pytest.fixture(scope="module")
def demo() -> ChatsResult:
    return run(Chats(), cleaned(samples(), FIELDS), weights=WEIGHTS)


def test_a_chat_goes_on_in_the_next_visit_of_its_user() -> None:
    (group,) = found(
        visit("1", *turn(0, "One two?", "Three.", chat="x"), *turn(10, chat="y"), user="u"),
        visit("2", *turn(5, chat="x"), user="u", start_s=1000),
        visit("3", *turn(0, chat="x"), user="v"),
    ).groups
    assert (group.chats, group.users, group.sessions_per_chat) == (3, 2, 4 / 3)
    assert group.turns.mean == pytest.approx(4 / 3)
    assert (group.turns.median, group.messages.median) == (1, 2)
    assert group.words.raw_mean == pytest.approx((3 + 5 + 5 + 5) / 3)
    assert group.duration_s.raw_mean == pytest.approx((1007 + 2 + 2) / 3)
    assert group.duration_s.p90 == pytest.approx(806)


def test_a_chat_has_the_group_of_its_first_visit() -> None:
    result = found(
        visit("2", *turn(0), user="u", start_s=1000) | {"environment": {"device": "mobile"}},
        visit("1", *turn(0), user="u") | {"environment": {"device": "desktop"}},
        by="device",
    )
    assert [(group.group, group.chats, group.turns.mean) for group in result.groups] == [
        ("desktop", 1, 2),
        ("mobile", 0, None),
    ]


def test_what_no_chat_is_named_for_is_a_chat_of_its_visit() -> None:
    said = [(0, "prompt", {"text": "a b"}), (1, "model_response", {"text": "c"})]
    (group,) = found(visit("1", *said, user="u"), visit("2", *said, user="u", start_s=999)).groups
    assert (group.chats, group.words.mean) == (2, 3)


@pytest.mark.parametrize(("minutes", "going_on"), [(29, 1), (31, 0)])
def test_chats_that_may_go_on_are_left_out_and_counted(minutes: float, going_on: int) -> None:
    result = found(visit("1", *turn(0), start_s=AGO_S - 60 * minutes), visit("2", *turn(0)))
    (group,) = result.groups
    assert (group.censored, group.chats) == (going_on, 2 - going_on)
    assert result.excluded["chats_going_on"] == going_on


def test_a_sign_of_life_in_the_chat_keeps_it_going() -> None:
    long_ago = visit("1", *turn(0), (1500, "scroll", {}), start_s=AGO_S - 2400, end_s=2000)
    assert found(long_ago).groups[0].censored == 1
    later = run(Chats(), cleaned([long_ago], FIELDS), now=NOW + timedelta(minutes=20))
    assert later.groups[0].chats == 1


def test_errors_are_turns_but_no_messages_and_an_answer_alone_is_no_chat() -> None:
    result = found(
        visit("1", *turn(0, error="503", answer=None)), visit("2", (0, "model_response", {"text": "To nobody."}))
    )
    assert (result.groups[0].turns.mean, result.groups[0].messages.mean) == (1, 1)
    assert result.excluded["chats_without_prompt"] == 1


def test_the_share_of_partial_answers_by_hand() -> None:
    a, b = found(
        visit("1", *turn(0, partial=True, chat="x"), *turn(10, chat="x"), user="u"),
        visit("2", *turn(0, chat="x"), *turn(10, partial=True, error="503", chat="x"), user="u", start_s=1000),
        visit("3", *turn(0, partial=False)),
        visit("going on", *turn(0, partial=True), start_s=AGO_S - 60),
        visit("4", *turn(0), group="b"),
    ).groups
    assert (a.answers, a.partial, a.partial_share) == (4, 1, 1 / 4)
    assert a.partial_share_ci is not None
    assert a.partial_share_ci[0] < 1 / 4 < a.partial_share_ci[1]
    assert (b.answers, b.partial, b.partial_share) == (1, 0, 0)


def test_words_are_unknown_where_a_text_is_not_stored() -> None:
    result = found(visit("1", *turn(0, None)), visit("2", *turn(0, "One two three?", "Four.")))
    assert (result.groups[0].words.chats, result.groups[0].words.mean) == (1, 4)
    assert "words_unknown" in {note.code for note in result.warnings}


def test_demo_shows_the_planted_difference_and_no_other(demo: ChatsResult) -> None:
    assert {(each.metric, each.group) for each in demo.comparisons} == {
        (metric, group) for metric in METRICS for group in ("deep-70b", "fast-3b")
    }
    for each in demo.comparisons:
        assert each.p_adjusted is not None
        assert (each.p_adjusted < 0.05) == (each.group == "deep-70b"), each
    assert demo.warnings == []
    means = {group.group: group.turns.ci for group in demo.groups}
    assert means["base-7b"]
    assert means["base-7b"][0] < 2.6 < means["base-7b"][1]
    assert means["deep-70b"]
    assert means["deep-70b"][0] < 3.4 < means["deep-70b"][1]


def test_demo_numbers_are_those_of_plain_pandas(demo: ChatsResult) -> None:
    clean = frames(cleaned(samples(), FIELDS))
    events = clean.events.join(clean.sessions[["user_id", "model_group"]], on="session")
    events["type"] = events["type"].astype(str)
    said = events[events["type"].isin(["prompt", "model_response"])]
    last = events.assign(chat=events["chat_session_id"]).groupby("session")["chat"].ffill()
    active = events.assign(chat=last.groupby(events["session"]).bfill()).groupby(["user_id", "chat"])["t"].max()
    keys = [said["user_id"], said["chat_session_id"]]
    plain = pd.DataFrame(
        {
            "group": said.groupby(keys)["model_group"].first(),
            "turns": (said["type"] == "prompt").groupby(keys).sum(),
            "messages": said["error"].isna().groupby(keys).sum(),
            "duration_s": (said.groupby(keys)["t"].max() - said.groupby(keys)["t"].min()) / 1000,
            "words": said["text"].fillna("").str.split().str.len().groupby(keys).sum(),
        }
    )
    plain = plain[active.reindex(plain.index) <= NOW.timestamp() * 1000 - 1_800_000]
    for group in demo.groups:
        rows = plain[plain["group"] == group.group]
        for metric in METRICS:
            length = getattr(group, metric)
            assert length.chats == len(rows)
            assert length.raw_mean == pytest.approx(rows[metric].mean())
            assert length.median == pytest.approx(rows[metric].median())
            assert length.p90 == pytest.approx(rows[metric].quantile(0.9))
            assert sum(each.chats for each in length.distribution) == len(rows)
        of_user = rows.groupby("user_id")["turns"].agg(["sum", "count"])
        assert group.turns.ci == pytest.approx(mean_interval(of_user["sum"], of_user["count"]))


def test_batches_and_their_order_change_nothing(demo: ChatsResult) -> None:
    assert run(Chats(), in_batches(samples(), FIELDS), weights=WEIGHTS) == demo


def test_result_is_json_and_a_frame(demo: ChatsResult) -> None:
    group = json.loads(json.dumps(demo.to_dict()))["groups"][0]
    assert set(group) >= {"group", "chats", "users", "turns", "messages", "duration_s"}
    assert set(group["turns"]) >= {"mean", "ci", "median", "p90", "distribution"}
    assert len(demo.to_frame()) == len(METRICS) * len(demo.groups)


def test_no_sessions_give_an_empty_result() -> None:
    result = found()
    assert (result.chats, result.groups, result.comparisons) == (0, [], [])
    assert [note.code for note in result.warnings] == ["no_chats"]


def test_the_sessions_of_a_chat_are_one_chat() -> None:
    def opened_again(name: str, *starts_s: float) -> Any:
        events = [
            (start + at, kind, {"text": "a b"})
            for start in starts_s
            for at, kind in ((0, "prompt"), (2, "model_response"))
        ]
        return visit(name, *events) | {"is_chat": True}

    documents = [opened_again("x", 0, 90_000), opened_again("y#2", 0, 5_000, 10_000), opened_again("z", 0)]
    (group,) = found(*documents).groups
    assert (group.chats, group.sessions_per_chat, group.turns.mean) == (3, 2, 2)
    funnel = Funnel(unit="chat")
    (of_chats,) = run(funnel, cleaned(documents, funnel.fields)).groups
    assert of_chats.units == 3
