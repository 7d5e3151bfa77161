"""One row a turn: a prompt, the response to it, and what came of that."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from llmtrack.analysis.interaction import events
from llmtrack.analysis.interaction.attribution import counted
from llmtrack.analysis.interaction.events import Rows, at, first_fitting, given, total
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.session.cleaning.answers import LATENCY
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats, Objects

FIELDS: Final = events.FIELDS
TEXT_FIELDS: Final = (*FIELDS, "text", "selected_text", "model")


def table(found: Evidence) -> dict[str, Any]:
    """A row a prompt, answered or not, and a row a response whose prompt is not there; by session and time.

    session (from 0), event (the row of its prompt, or response), turn (1… within the session; 0 without a prompt),
    chat_session_id, turn_id, prompt_t, response_t (epoch ms, NaN when missing), waited_s (each time that it was asked),
    latency_ms, answered, error, partial (bool), rating ("up", "down" or None), attempts (times that it was answered, or
    tried), steps (calls of tools on the way), reading_s (active time from its responses to the next prompt or the end),
    first_action_s (from an answer to the next event of the person) with first_action_censored (nothing came before the
    next prompt or the end, which is what first_action_s then measures), next ("prompt", "new_chat": a prompt in another
    chat, "left", or "open": the session still is), idle_first (went away before the next prompt or the end).

    What was read with TEXT_FIELDS gives also prompt, answer (text or None), model, copies, selections (that belong to
    the answer), copied (bool). Needs FIELDS.
    """
    rows = found.rows
    prompts = np.flatnonzero(rows.prompt)
    answers = found.response[prompts]
    strays = np.flatnonzero(rows.response & (found.pairs.prompt < 0))
    prompt = np.append(prompts, np.full(len(strays), -1))
    reply = np.append(answers, strays)
    anchor = np.append(prompts, strays)
    order = np.argsort(anchor)
    prompt, reply, anchor = prompt[order], reply[order], anchor[order]
    last = np.where(reply >= 0, reply, prompt)  # what came next, came after this

    columns: dict[str, Any] = {"session": rows.session[anchor], "event": anchor}
    columns["turn"] = _numbered(rows, prompt, anchor)
    for key in ("chat_session_id", "turn_id"):
        values = rows.field(key)
        columns[key] = np.where(given(values[anchor]), values[anchor], values[last])
    prompt_t, response_t = _pick(rows.t, prompt), _pick(rows.t, reply)
    columns |= {"prompt_t": prompt_t, "response_t": response_t, "waited_s": _waited_s(found, prompt)}
    columns["latency_ms"] = _pick(rows.field(LATENCY), reply)
    columns["answered"] = answered = at(rows.answer, reply)
    columns["error"] = at(rows.error, reply)
    columns["partial"] = at(rows.partial, reply)
    columns["rating"] = np.array([None, "up", "down"], dtype=object)[np.append(found.thumbs, 0)[reply]]
    step = rows.call & ~rows.response & given(rows.field("tool_calls"))
    columns["attempts"] = np.where(prompt >= 0, _of_turn(found, rows.call & ~step)[prompt], 1)
    columns["steps"] = np.where(prompt >= 0, _of_turn(found, step)[prompt], 0)
    columns["reading_s"] = _reading_s(found, prompt, reply)
    columns |= _first_action(found, answered, last)
    columns["next"] = _next(found, last)
    columns["idle_first"] = _idle_first(rows, last)
    return columns | (_texts(found, prompt, reply) if found.with_texts else {})


def _pick(values: Floats, row: Ints) -> Floats:
    return np.where(row >= 0, values[row], np.nan)


def _numbered(rows: Rows, prompt: Ints, anchor: Ints) -> Ints:
    """1, 2, … for the prompts of each session, 0 for a response without one."""
    is_prompt = prompt >= 0
    before = np.cumsum(is_prompt)
    session = rows.session[anchor]
    first = np.searchsorted(session, session)
    return np.where(is_prompt, before - before[first] + is_prompt[first], 0)


def _of_turn(found: Evidence, calls: Bools) -> Ints:
    """For each event that is a prompt how many of these calls belong to it."""
    owner = found.pairs.prompt[calls]
    return np.bincount(owner[owner >= 0], minlength=len(found.rows))


def _waited_s(found: Evidence, prompt: Ints) -> Floats:
    """All waits of a turn; NaN where it has no response."""
    pairs, t = found.pairs, found.rows.t
    owner = pairs.prompt[pairs.ends]
    waited = np.full(len(t), np.nan)
    waited[owner] = 0
    np.add.at(waited, owner, (t[pairs.ends] - t[pairs.begins]) / 1000)
    return _pick(waited, prompt)


def _reading_s(found: Evidence, prompt: Ints, reply: Ints) -> Floats:
    silences = found.gaps
    read = silences.reading >= 0
    of = silences.reading[read]
    owner = np.where(found.pairs.prompt[of] >= 0, found.pairs.prompt[of], of)
    read_ms = total(owner, silences.active_ms()[read], len(found.rows))
    return np.where(reply >= 0, read_ms[np.where(prompt >= 0, prompt, reply)], np.nan) / 1000


def _first_action(found: Evidence, answered: Bools, last: Ints) -> dict[str, Any]:
    rows = found.rows
    then = rows.next(rows.user)[last]
    ended = found.cleaned.sessions["end_ms"][rows.session[last]]
    until = np.where(then >= 0, rows.t[then], np.maximum(ended, rows.t[last]))
    seconds = np.where(answered, (until - rows.t[last]) / 1000, np.nan)
    return {"first_action_s": seconds, "first_action_censored": answered & ((then < 0) | rows.prompt[then])}


def _next(found: Evidence, last: Ints) -> Objects:
    rows = found.rows
    then = rows.next(rows.prompt)[last]
    still = found.cleaned.sessions["open"][rows.session[last]]
    other = rows.chat[then] != rows.chat[last]
    return first_fitting([(then >= 0) & ~other, then >= 0, ~still], ("prompt", "new_chat", "left", "open"))


def _idle_first(rows: Rows, last: Ints) -> Bools:
    idle, then = rows.next(rows.goes)[last], rows.next(rows.prompt)[last]
    return (idle >= 0) & ((then < 0) | (idle < then))


def _texts(found: Evidence, prompt: Ints, reply: Ints) -> dict[str, Any]:
    rows = found.rows
    copies, selections = counted(found.taken, len(rows))
    text = _with_none(rows.field("text"))
    columns: dict[str, Any] = {
        "prompt": text[prompt],
        "answer": text[np.where(at(rows.answer, reply), reply, -1)],
        "copies": np.where(reply >= 0, copies[reply], 0),
        "selections": np.where(reply >= 0, selections[reply], 0),
    }
    if found.cleaned.has("model"):
        columns["model"] = _with_none(rows.field("model"))[reply]
    return columns | {"copied": columns["copies"] > 0}


def _with_none(values: Objects) -> Objects:
    return np.append(values, np.array([None], dtype=object))  # for row -1
