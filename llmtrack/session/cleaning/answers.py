"""What answers say about themselves, mended: latencies below zero, failures stored as texts, questions not stored."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from llmtrack.session.cleaning.batch import DATA, NUMBERS, Bools, Ints
from llmtrack.session.cleaning.events import RESPONSES, SENDING, Events
from llmtrack.session.cleaning.series import chats, numbered
from llmtrack.session.rules import Rules
from llmtrack.session.schema import CHAT, ERROR, MODEL_RESPONSE, PROMPT
from llmtrack.session.values import Floats, number, text

LATENCY: Final = "latency_ms"

_TURN: Final = "turn_id"


def mend(events: Events, data: dict[str, Any], rules: Rules) -> dict[str, int]:
    """Mend what answers say, and add the questions that were not stored; reason → how many.

    Changes `events` and `data`, not the arrays in it. What a report does not read it does not name.
    """
    found = {}
    if LATENCY in data or DATA in data:
        found["negative_latency"] = _mend_latencies(data)
    if rules.failed_answer and ("text" in data or DATA in data):
        found["failed_answer"] = _mark_failures(events, data, rules)
    return {**found, "question_not_stored": _add_questions(events, data)}


def _add_questions(events: Events, data: dict[str, Any]) -> int:
    """Failures (events of type error) whose question was not stored get one, without a text; how many."""
    failures, rank, t = _unasked(events)
    if len(failures):
        places, added = events.insert(failures, rank, t, PROMPT)
        for key, values in data.items():
            data[key] = values[places]
        _blank(data, added)
    return len(failures)


def _mend_latencies(data: dict[str, Any]) -> int:
    """Negative latencies become missing; how many there were. Changes `data`, not the arrays in it."""
    if LATENCY in data:
        negative = data[LATENCY] < 0
        data[LATENCY] = np.where(negative, np.nan, data[LATENCY])
        return int(negative.sum())
    data[DATA] = objects = data[DATA].copy()
    rows = [row for row, each in enumerate(objects) if LATENCY in each and number(each[LATENCY]) < 0]
    for row in rows:
        objects[row] = {key: value for key, value in objects[row].items() if key != LATENCY}
    return len(rows)


def _mark_failures(events: Events, data: dict[str, Any], rules: Rules) -> int:
    """Answers whose text a pattern of the rules fits get it as their `error`; how many. Changes `data`."""
    if not rules.failed_answer or not {"text", DATA} & data.keys():
        return 0
    patterns = [re.compile(pattern) for pattern in rules.failed_answer]
    texts = _texts(events, data)
    failed = {row: said for row, said in texts.items() if any(pattern.search(said) for pattern in patterns)}
    rows = np.array([*failed], dtype=np.int64)
    if DATA in data:
        data[DATA] = data[DATA].copy()
        for row in rows.tolist():
            data[DATA][row] = {"error": failed[row], **data[DATA][row], "text": None}
    else:
        for key, said in (("error", [*failed.values()]), ("text", None)):
            if key in data:
                data[key] = data[key].copy()
                data[key][rows] = said
    return len(rows)


def _texts(events: Events, data: dict[str, Any]) -> dict[int, str]:
    """The texts of the answers that did not fail, by place."""
    rows = np.flatnonzero(events.kind(MODEL_RESPONSE)).tolist()
    if DATA in data:
        found = {row: text(data[DATA][row].get("text")) for row in rows if not data[DATA][row].get("error")}
    else:
        errors = data.get("error", np.full(len(events), None))
        found = {row: data["text"][row] for row in rows if errors[row] is None}
    return {row: said for row, said in found.items() if said}


def _unasked(events: Events) -> tuple[Ints, Floats, Floats]:
    """Failures (events of type error) whose question was not stored; where it belongs, and when it was asked (ms).

    It was asked when the person last sent something before, else at the time of the failure.
    """
    failures = np.flatnonzero(events.kind(ERROR))
    if not len(failures):
        return failures, np.empty(0), np.empty(0)
    said = events.kind(PROMPT, *RESPONSES)
    failures = failures[~_asked(events, failures, said)]
    sending = np.flatnonzero(events.kind(*SENDING))
    rank, t = failures.astype(np.float64) - 0.5, events.t[failures]
    for i, row in enumerate(failures.tolist()):
        place = np.searchsorted(sending, row) - 1
        sent = sending[place] if place >= 0 else -1
        if sent >= 0 and events.session[sent] == events.session[row] and not said[sent:row].any():
            rank[i], t[i] = sent + 0.5, events.t[sent]
    return failures, rank, t


def _asked(events: Events, failures: Ints, said: Bools) -> Bools:
    """Whether the prompt is there: the last thing said before in the chat, or one with the turn_id of the failure."""
    names, turns, prompt = events.field(CHAT), events.field(_TURN), events.kind(PROMPT)
    chat = np.full(len(events), -1) if names is None else chats(numbered(names)[0], events.session)
    spoken = np.flatnonzero(said)
    found = np.zeros(len(failures), dtype=bool)
    for i, row in enumerate(failures.tolist()):
        first, here = np.searchsorted(spoken, [np.searchsorted(events.session, events.session[row]), row])
        earlier = [each for each in spoken[first:here].tolist() if chat[each] == chat[row]]
        named = turns is not None and turns[row] is not None
        found[i] = bool(earlier) and bool(prompt[earlier[-1]])
        if named:
            found[i] |= any(prompt[each] and turns[each] == turns[row] for each in spoken[first:here].tolist())
    return found


def _blank(data: dict[str, Any], added: Bools) -> None:
    """Take from the rows in `added` all data but the ids of their chat and turn. Changes the arrays of `data`."""
    for key, values in data.items():
        if key == DATA:
            for row in np.flatnonzero(added).tolist():
                values[row] = {name: values[row][name] for name in (CHAT, _TURN) if name in values[row]}
        elif key not in (CHAT, _TURN):
            values[added] = np.nan if key in NUMBERS else None
