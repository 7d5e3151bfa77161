"""The numbers of a session and of its turns, by sessions written by hand: one file a definition."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from llmtrack.analysis.frames import table
from llmtrack.analysis.interaction import Interaction, summary, turns
from llmtrack.session.cleaning.clean import Cleaned, clean
from llmtrack.session.cleaning.columns import Columns

CASES = sorted((Path(__file__).parents[2] / "data" / "definitions").glob("*.json"))
FIELDS = dict.fromkeys((*summary.TEXT_FIELDS, *turns.TEXT_FIELDS))
NOW = datetime(2026, 11, 22, tzinfo=UTC)


def cleaned(*documents: dict[str, Any], now: datetime = NOW, fields: Any = FIELDS) -> Cleaned:
    columns = Columns(fields)
    for document in documents:
        columns.add(document)
    return clean(columns.batch(), now)


def sessions_of(found: Cleaned) -> pd.DataFrame:
    return table(Interaction(found).summary())


def turns_of(found: Cleaned) -> pd.DataFrame:
    return table(Interaction(found).turns())


def as_expected(row: pd.Series, expected: dict[str, Any]) -> dict[str, Any]:
    return {key: None if pd.isna(row[key]) else row[key] for key in expected}


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_definition(path: Path) -> None:
    document = json.loads(path.read_text())
    expected = document["expected"]
    found = cleaned(document, now=datetime.fromisoformat(expected.get("as_of", NOW.isoformat())))
    session, turn = sessions_of(found).iloc[0], turns_of(found)
    assert as_expected(session, expected.get("session", {})) == expected.get("session", {})
    assert as_expected(pd.Series(found.excluded), expected.get("excluded", {})) == expected.get("excluded", {})
    assert as_expected(pd.Series(found.repaired), expected.get("repaired", {})) == expected.get("repaired", {})
    order = [found.types[code] for code in found.type_codes]
    assert order == expected.get("order", order)
    if "turns" in expected:
        rows = [as_expected(row, wanted) for (_, row), wanted in zip(turn.iterrows(), expected["turns"], strict=True)]
        assert rows == expected["turns"]


def test_all_definitions_at_once_give_the_same_numbers_as_alone() -> None:
    documents = [json.loads(path.read_text()) for path in CASES]
    together = sessions_of(cleaned(*documents))
    alone = [sessions_of(cleaned(document)) for document in documents]
    pd.testing.assert_frame_equal(together, pd.concat(alone, ignore_index=True), check_dtype=False)
    all_turns = turns_of(cleaned(*documents)).drop(columns=["session", "event"])
    apart = [turns_of(cleaned(document)).drop(columns=["session", "event"]) for document in documents]
    pd.testing.assert_frame_equal(all_turns, pd.concat(apart, ignore_index=True), check_dtype=False)


def test_without_texts_the_other_numbers_are_the_same() -> None:
    documents = [json.loads(path.read_text()) for path in CASES]
    plain = sessions_of(cleaned(*documents, fields=summary.FIELDS))
    whole = sessions_of(cleaned(*documents))
    assert set(whole) - set(plain) == {
        "selections", "copied_responses", "words_out", "active_long_s", "reasks", "prompts_with_predecessor",
        "answer_copies", "answer_selections", "texts_out", "copies_without_answer",
    }  # fmt: skip
    pd.testing.assert_frame_equal(plain, whole[plain.columns])


def test_no_sessions_give_empty_tables_with_all_columns() -> None:
    nothing, something = cleaned(), cleaned(json.loads(CASES[0].read_text()))
    assert list(sessions_of(nothing)) == list(sessions_of(something))
    assert list(turns_of(nothing)) == list(turns_of(something))


def test_similarity_of_nothing_is_0() -> None:
    assert summary.similarity("", "") == summary.similarity(None, "x") == summary.similarity("?!", "?!") == 0


KINDS = ["prompt", "model_response", "copy", "selection", "scroll", "click", "activity", "new_chat", "own"]
FIELD = {
    "text": st.sampled_from(["What is a tensor", "a tensor is a box", "a  tensor", ""]),
    "selected_text": st.sampled_from(["a tensor", "is a", "other", ""]),
    "chat_session_id": st.sampled_from(["c1", "c2"]),
    "turn_id": st.sampled_from(["t1", "t2", "t3"]),
    "latency_ms": st.sampled_from([-1, 0, 900, 1800.5]),
    "error": st.sampled_from(["timeout", None, False, {"code": 500}]),
    "activity_state": st.sampled_from(["active", "idle"]),
    "scrollY": st.integers(0, 3000),
    "page_height": st.sampled_from([0, 3000]),
}
EVENT = st.builds(
    lambda kind, data: {"type": kind, "data": data}, st.sampled_from(KINDS), st.fixed_dictionaries({}, optional=FIELD)
)
# Different times: for events of the same moment their order in the document is all there is.
VISIT = st.lists(st.tuples(EVENT, st.integers(0, 2000)), max_size=20, unique_by=lambda pair: pair[1])


def visit(events: list[tuple[dict[str, Any], int]]) -> dict[str, Any]:
    start = 1_790_000_000_000
    stored = [{"t": start + at * 997, **event} for event, at in events]
    return {"session_id": "s", "start_time": start, "events": stored, "environment": {"viewport": {"height": 900}}}


@settings(deadline=None)
@given(VISIT, st.randoms(use_true_random=False))
def test_the_order_of_events_in_the_document_does_not_matter(events: list[Any], random: Any) -> None:
    shuffled = random.sample(events, len(events))
    one, other = cleaned(visit(events)), cleaned(visit(shuffled))
    unordered = ["inversions"]
    pd.testing.assert_frame_equal(sessions_of(one).drop(columns=unordered), sessions_of(other).drop(columns=unordered))
    pd.testing.assert_frame_equal(turns_of(one).drop(columns="event"), turns_of(other).drop(columns="event"))


@settings(deadline=None)
@given(VISIT)
def test_numbers_agree_with_each_other(events: list[Any]) -> None:
    found = cleaned(visit(events))
    row, table = sessions_of(found).iloc[0], turns_of(found)
    assume((table["attempts"] <= 1).all())  # a turn asked anew is one row, with several responses
    assert row["prompts"] == (table["turn"] > 0).sum() == table["prompt_t"].notna().sum()
    assert row["responses"] == table["answered"].sum()
    assert row["errors"] == table["error"].sum()
    assert row["unanswered"] == table["response_t"].isna().sum()
    assert row["copied_responses"] <= row["responses"]
    assert row["copied_responses"] == (table["copied"] & table["answered"]).sum()
    assert table.loc[table["answered"], "copies"].sum() == row["answer_copies"] <= row["copies"]
    assert table.loc[table["answered"], "selections"].sum() == row["answer_selections"] <= row["selections"]
    assert row["reading_s"] == pytest.approx(table["reading_s"].sum())
    assert row["reading_s"] <= row["active_s"] <= row["active_long_s"] + 1e-9
    assert row["reasks"] <= row["prompts_with_predecessor"] <= row["prompts"]
    assert (table["waited_s"].dropna() >= 0).all()
    if not math.isnan(row["duration_s"]):
        assert row["active_s"] + row["waiting_s"] + row["away_s"] == pytest.approx(row["duration_s"])
