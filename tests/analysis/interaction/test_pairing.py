"""Which response answers which prompt, against a plain loop over one visit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llmtrack.analysis.interaction import Interaction
from llmtrack.session.cleaning import one

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
START_MS = 1_795_000_000_000

Event = dict[str, Any]


def pairs(events: list[Event]) -> dict[int, int]:
    """Responses and their prompts, as llmtrack pairs them."""
    found = Interaction(one({"session_id": "s", "start_time": START_MS, "events": events}, NOW).cleaned)
    found_pairs = found.pairs
    last = {prompt: int(answer) for prompt, answer in enumerate(found_pairs.response) if answer >= 0}
    by_response = {at: int(prompt) for at, prompt in enumerate(found_pairs.prompt) if prompt >= 0}
    assert last == {prompt: answer for answer, prompt in sorted(by_response.items())}
    return by_response


def expected(events: list[Event]) -> dict[int, int]:
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
