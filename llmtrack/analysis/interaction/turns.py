"""One row a turn: a prompt, the response to it, and what came of that."""

from __future__ import annotations

from typing import Final

import numpy as np
import pandas as pd

from llmtrack.analysis.frames import LATENCY, Frames
from llmtrack.analysis.interaction.attention import gaps
from llmtrack.analysis.interaction.attribution import Taken, attribute
from llmtrack.analysis.interaction.events import Rows, at, categories, total
from llmtrack.analysis.interaction.pairing import answered_by
from llmtrack.session.batch import Bools, Ints
from llmtrack.session.values import Floats

FIELDS: Final = ("activity_state", "latency_ms", "error", "chat_session_id", "turn_id")
TEXT_FIELDS: Final = (*FIELDS, "text", "selected_text", "model")

_NOTHING: Final = np.array([None], dtype=object)


def table(frames: Frames) -> pd.DataFrame:
    """A row a prompt, answered or not, and a row a response whose prompt is not there; by session and time.

    Columns: session (row of frames.sessions), turn (1… within the session; 0 without a prompt), chat_session_id,
    turn_id, prompt_t, response_t (epoch ms, NaN when missing), waited_s, latency_ms, answered, error (bool),
    reading_s (active time from the response to the next prompt or the end), first_action_s (from an answer to the
    next event of the person) with first_action_censored (nothing came before the next prompt or the end, which is
    what first_action_s then measures), next ("prompt", "new_chat": a prompt in another chat, "left", or "open": the
    session still is), idle_first (went idle before the next prompt or the end).

    Of frames with TEXT_FIELDS also prompt, answer (text or None), model, copies, selections (that belong to the
    answer), copied (bool). Needs FIELDS.
    """
    rows = Rows(frames.events)
    response = answered_by(rows)
    prompts = np.flatnonzero(rows.prompt)
    answers = response[prompts]
    strays = np.setdiff1d(np.flatnonzero(rows.response), answers)
    prompt = np.append(prompts, np.full(len(strays), -1))
    reply = np.append(answers, strays)
    anchor = np.append(prompts, strays)
    order = np.argsort(anchor)
    prompt, reply, anchor = prompt[order], reply[order], anchor[order]
    last = np.where(reply >= 0, reply, prompt)  # what came next, came after this

    found = pd.DataFrame({"session": rows.session[anchor], "turn": _numbered(rows, prompt, anchor)})
    for key in ("chat_session_id", "turn_id"):
        values = rows.field(key)
        found[key] = pd.Series(np.where(pd.isna(values[anchor]), values[last], values[anchor]), dtype=object)
    found["prompt_t"] = _pick(rows.t, prompt)
    found["response_t"] = _pick(rows.t, reply)
    found["waited_s"] = (found["response_t"] - found["prompt_t"]) / 1000
    found["latency_ms"] = _pick(rows.field(LATENCY), reply)
    found["answered"] = at(rows.answer, reply)
    found["error"] = at(rows.error, reply)
    found["reading_s"] = _reading_s(rows, response, frames, reply)
    found = found.join(_first_action(rows, found["answered"].to_numpy(), last, frames))
    found["next"] = _next(rows, last, frames)
    found["idle_first"] = _idle_first(rows, last)
    if "text" in frames.events and "selected_text" in frames.events:
        found = found.join(_texts(rows, prompt, reply))
    return found


def _pick(values: Floats, row: Ints) -> Floats:
    return np.where(row >= 0, values[row], np.nan)


def _numbered(rows: Rows, prompt: Ints, anchor: Ints) -> Ints:
    """1, 2, … for the prompts of each session, 0 for a response without one."""
    is_prompt = prompt >= 0
    before = np.cumsum(is_prompt)
    session = rows.session[anchor]
    first = np.searchsorted(session, session)
    return np.where(is_prompt, before - before[first] + is_prompt[first], 0)


def _reading_s(rows: Rows, response: Ints, frames: Frames, reply: Ints) -> Floats:
    silences = gaps(rows, response, frames.sessions["start_ms"].to_numpy())
    read = silences.reading >= 0
    read_ms = total(silences.reading[read], silences.active_ms()[read], len(rows))
    return _pick(read_ms, reply) / 1000


def _first_action(rows: Rows, answered: Bools, last: Ints, frames: Frames) -> pd.DataFrame:
    then = rows.next(rows.user)[last]
    ended = frames.sessions["end_ms"].to_numpy()[rows.session[last]]
    until = np.where(then >= 0, rows.t[then], np.maximum(ended, rows.t[last]))
    seconds = np.where(answered, (until - rows.t[last]) / 1000, np.nan)
    return pd.DataFrame(
        {"first_action_s": seconds, "first_action_censored": answered & ((then < 0) | rows.prompt[then])}
    )


def _next(rows: Rows, last: Ints, frames: Frames) -> pd.Categorical[str]:
    then = rows.next(rows.prompt)[last]
    still = frames.sessions["open"].to_numpy()[rows.session[last]]
    other = rows.chat[then] != rows.chat[last]
    return categories([(then >= 0) & ~other, then >= 0, ~still], ("prompt", "new_chat", "left", "open"))


def _idle_first(rows: Rows, last: Ints) -> Bools:
    idle, then = rows.next(rows.idle)[last], rows.next(rows.prompt)[last]
    return (idle >= 0) & ((then < 0) | (idle < then))


def _texts(rows: Rows, prompt: Ints, reply: Ints) -> pd.DataFrame:
    taken = attribute(rows)
    copies, selections = counted(taken, len(rows))
    text = np.append(rows.field("text"), _NOTHING)  # so that row -1 has none
    found = {
        "prompt": text[prompt],
        "answer": text[np.where(at(rows.answer, reply), reply, -1)],
        "copies": np.where(reply >= 0, copies[reply], 0),
        "selections": np.where(reply >= 0, selections[reply], 0),
    }
    if "model" in rows.events:
        found["model"] = np.append(rows.field("model"), _NOTHING)[reply]
    table = pd.DataFrame({key: pd.Series(values, dtype=values.dtype) for key, values in found.items()})
    return table.assign(copied=table["copies"] > 0)


def counted(taken: Taken, rows: int) -> tuple[Ints, Ints]:
    """For each event that is an answer its copies and its selections."""
    known = taken.answer >= 0
    copies = np.bincount(taken.answer[known & taken.copy], minlength=rows)
    return copies, np.bincount(taken.answer[known & ~taken.copy], minlength=rows)
