"""Which response answers which prompt, against a plain loop over one visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.interaction import Interaction
from llmtrack.session.cleaning.clean import one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START_MS = 1_795_000_000_000

Event = dict[str, Any]


def pairs(events: list[Event]) -> dict[int, int]:
    """Responses and their prompts, as llmtrack pairs them, by their places in the document."""
    found = Interaction(one({"session_id": "s", "start_time": START_MS, "events": events}, NOW).cleaned)
    found_pairs, pos = found.pairs, found.cleaned.pos.tolist()
    last = {prompt: int(answer) for prompt, answer in enumerate(found_pairs.response) if answer >= 0}
    by_response = {at: int(prompt) for at, prompt in enumerate(found_pairs.prompt) if prompt >= 0}
    assert last == {prompt: answer for answer, prompt in sorted(by_response.items())}
    return {pos[answer]: pos[prompt] for answer, prompt in by_response.items()}


def expected(events: list[Event]) -> dict[int, int]:
    """As `in_order`, once answers of a turn that come before its prompt are put after it."""
    order = settled(events)
    return {order[answer]: order[prompt] for answer, prompt in in_order([events[place] for place in order]).items()}


def settled(events: list[Event]) -> list[int]:
    """The places of the events, the k-th answer of a turn after its k-th prompt (where it has one, after that)."""
    rank = dict(enumerate(map(float, range(len(events)))))
    for turn in {event["data"]["turn_id"] for event in events} - {None}:
        prompts, answers = (
            [i for i, event in enumerate(events) if event["type"] == kind and event["data"]["turn_id"] == turn]
            for kind in ("prompt", "model_response")
        )
        if len(prompts) != 1 and len(answers) > len(prompts):
            continue
        for number, answer in enumerate(answers):
            prompt = prompts[min(number, len(prompts) - 1)]
            rank[answer] = max(rank[answer], prompt + 0.5)
    return sorted(rank, key=rank.__getitem__)


def in_order(events: list[Event]) -> dict[int, int]:
    """By turn_id where both have one, else the latest open prompt of the chat; later calls of a turn are its own."""
    turns = [event["data"]["turn_id"] for event in events]
    named = matched(events, turns, {})
    rest = matched(events, chats(events), named)
    found = named | {here: prompt for here, prompt in rest.items() if turns[here] is None or turns[prompt] is None}
    for here, event in enumerate(events):
        prompts = [at for at, each in enumerate(events) if each["type"] == "prompt" and turns[at] == turns[here]]
        called = event["type"] == "model_response" and turns[here] is not None and here not in found
        if called and len(prompts) == 1 and prompts[0] < here:
            found[here] = prompts[0]
    return found


def matched(events: Sequence[Event], keys: Sequence[str | None], paired: Mapping[int, int]) -> dict[int, int]:
    """Responses with the latest open prompt of the same key; None and what is paired already are left out."""
    taken = {*paired, *paired.values()}
    open_prompts: dict[str, list[int]] = {}
    found: dict[int, int] = {}
    for here, (event, key) in enumerate(zip(events, keys, strict=True)):
        if key is None or here in taken:
            continue
        if event["type"] == "prompt":
            open_prompts.setdefault(key, []).append(here)
        elif event["type"] == "model_response" and open_prompts.get(key):
            found[here] = open_prompts[key].pop()
    return found


def chats(events: Sequence[Event]) -> list[str]:
    """The chat of each event: the one it names, else the last one named before it, else the first one named."""
    named = [event["data"]["chat_session_id"] for event in events]
    chat = next((name for name in named if name is not None), "")
    return [chat := name if name is not None else chat for name in named]


IDS = st.sampled_from([None, "1", "2"])
SPOKEN = st.tuples(st.sampled_from(["prompt", "model_response", "new_chat"]), IDS, IDS)


@given(st.lists(SPOKEN, min_size=1, max_size=12))
@settings(deadline=None, max_examples=150)
def test_prompts_and_responses_are_paired(spoken: list[tuple[str, str | None, str | None]]) -> None:
    events = [
        {"t": START_MS + place * 3000, "type": kind, "data": {"turn_id": turn, "chat_session_id": chat}}
        for place, (kind, turn, chat) in enumerate(spoken)
    ]
    assert pairs(events) == expected(events)


def said(kind: str, at_ms: float, text: str, **data: Any) -> Event:
    return {"t": START_MS + at_ms, "type": kind, "data": {"text": text, **data}}


def asked(at_ms: float, text: str, **data: Any) -> Event:
    return said("prompt", at_ms, text, **data)


def answered(at_ms: float, text: str, **data: Any) -> Event:
    return said("model_response", at_ms, text, **data)


TURNS = {  # stored events; question, answer and wait of each turn; how many answers were put after their prompts
    "every answer 80 ms before its prompt": (
        [asked(0, "q1"), answered(-80, "a1"), asked(9000, "q2"), answered(8920, "a2"), asked(20_000, "q3")],
        [("q1", "a1", 0), ("q2", "a2", 0), ("q3", None, None)], 2,
    ),
    "prompt and answer of one moment": (
        [asked(1000, "q1"), answered(1000, "a1"), asked(5000, "q2"), answered(5000, "a2")],
        [("q1", "a1", 0), ("q2", "a2", 0)], 0,
    ),
    "only some answers come early": (
        [asked(0, "q1"), answered(1500, "a1"), asked(9000, "q2"), answered(8995, "a2"), asked(9500, "q3"),
         answered(12_000, "a3")],
        [("q1", "a1", 1.5), ("q2", "a2", 0), ("q3", "a3", 2.5)], 1,
    ),
    "a question that nobody answered, then an early answer": (
        [asked(0, "q1"), asked(9000, "q2"), answered(8900, "a2")], [("q1", None, None), ("q2", "a2", 0)], 1,
    ),
    "two questions before any answer": (
        [asked(0, "q1"), asked(6000, "q2"), answered(5000, "a1"), answered(9000, "a2")],
        [("q1", "a1", 5), ("q2", "a2", 3)], 0,
    ),
    "an early answer and another one": (
        [asked(5000, "q1"), answered(4990, "a1"), answered(8000, "again")],
        [("q1", "a1", 0), (None, "again", None)], 1,
    ),
    "two chats at once": (
        [asked(0, "q1", chat_session_id="a"), asked(100, "q2", chat_session_id="b"),
         answered(-5, "a1", chat_session_id="a"), answered(60, "a2", chat_session_id="b")],
        [("q1", "a1", 0), ("q2", "a2", 0)], 2,
    ),
    "only the question has an id": (
        [asked(0, "q1", turn_id="1"), answered(-30, "a1"), asked(5000, "q2", turn_id="2"), answered(4990, "a2")],
        [("q1", "a1", 0), ("q2", "a2", 0)], 2,
    ),
    "only the answer has an id": (
        [asked(0, "q1"), answered(-30, "a1", turn_id="1"), asked(5000, "q2"), answered(4990, "a2", turn_id="2")],
        [("q1", "a1", 0), ("q2", "a2", 0)], 2,
    ),
    "ids tell, however early": (
        [asked(60_000, "q1", turn_id="1"), answered(1000, "a1", turn_id="1"), asked(70_000, "q2", turn_id="2"),
         answered(2000, "a2", turn_id="2")],
        [("q1", "a1", 0), ("q2", "a2", 0)], 2,
    ),
    "ids tell, stored the other way round": (
        [answered(1000, "a1", turn_id="1"), asked(3000, "q1", turn_id="1")], [("q1", "a1", 0)], 1,
    ),
    "an answer long before the next question is not its own": (
        [asked(0, "q1"), asked(9000, "q2"), answered(5000, "a1")], [("q1", "a1", 5), ("q2", None, None)], 0,
    ),
    "newest first, each question soon after the answer": (
        [answered(8000, "a3"), asked(6500, "q3"), answered(5000, "a2"), asked(3500, "q2"), answered(2000, "a1"),
         asked(0, "q1")],
        [("q1", "a1", 2), ("q2", "a2", 1.5), ("q3", "a3", 1.5)], 0,
    ),
    "newest first, answers of the moment and before it": (
        [answered(60_000, "a3"), asked(60_000, "q3"), answered(29_000, "a2"), asked(30_000, "q2"), answered(0, "a1"),
         asked(0, "q1")],
        [("q1", "a1", 0), ("q2", "a2", 0), ("q3", "a3", 0)], 1,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("events", "expected_turns", "moved"), TURNS.values(), ids=TURNS)
def test_an_answer_belongs_to_its_prompt_whatever_the_clocks_say(
    events: list[Event], expected_turns: list[Any], moved: int
) -> None:
    visit = one({"session_id": "s", "start_time": START_MS, "events": events}, NOW)
    found = Interaction(visit.cleaned)
    turns = found.turns()
    told = zip(turns["prompt"], turns["answer"], turns["waited_s"].tolist(), strict=True)
    assert [(q, a, None if waited != waited else waited) for q, a, waited in told] == expected_turns
    assert visit.repaired["answer_before_prompt"] == moved
    assert found.summary()["unanswered"].tolist() == [sum(a is None for _, a, _ in expected_turns)]
    order = [event["type"] for event in visit.events]
    assert [event["t"] for event in visit.events] == sorted(event["t"] for event in visit.events), order
