"""One row of numbers per session: what every report is made of. docs/numbers.md defines each of them."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np

from llmtrack.analysis.interaction import events
from llmtrack.analysis.interaction.attention import waiting_ms
from llmtrack.analysis.interaction.attribution import counted, lost_copies
from llmtrack.analysis.interaction.events import Rows, at, first_fitting, given, total
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.session.cleaning.answers import LATENCY
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.schema import CLICK, COPY, SCROLL
from llmtrack.session.values import Floats, Objects, distinct

FIELDS: Final = (*events.FIELDS, "scrollY", "page_height", "target")
TEXT_FIELDS: Final = (*FIELDS, "text", "selected_text")

REASK_MS: Final = 5 * 60 * 1000  # Hassan et al. 2013
REASK_SIMILARITY: Final = 0.5  # Jaccard, of the sets of words
NOT_STORED: Final = "prompt_not_stored"
EXIT_REASONS: Final = (
    "open",
    NOT_STORED,
    "no_prompt",
    "waiting",
    "after_error",
    "after_copy",
    "after_reading",
    "silent",
)

_WORD: Final = re.compile(r"\w+")


def sessions(found: Evidence) -> dict[str, Any]:
    """The columns of the sessions and the numbers of each, in the same order. Needs FIELDS.

    duration_s, waiting_s, active_s, reading_s, away_s (seconds; duration_s and away_s NaN without events and end);
    scroll_max_px, scroll_total_px, scroll_reversals, scroll_depth (0 to 1, NaN where no page height is known);
    prompts, responses (answers that did not fail), partials (of these, those that are not whole), errors (turns in
    which a call failed, also one that was repeated), unanswered, chats, copies, clicks; latency_p50_ms (NaN
    without any); idle (bool); exit_reason (one of EXIT_REASONS); left_after (answers with nothing asked after them,
    in sessions that are over) of answers_over; rated_responses and up_responses (answers with a thumb, with one up).

    What was read with TEXT_FIELDS gives also: selections (without those that were then copied), answer_copies and
    answer_selections (those of both that belong to an answer), copied_responses, words_out, active_long_s, reasks,
    prompts_with_predecessor, texts_out (answers whose text is stored), copies_without_answer.
    """
    rows, cleaned = found.rows, found.cleaned
    of_answers = answers(found, rows.session, len(cleaned))
    columns = {**cleaned.sessions, **_counts(found), **of_answers, **_time(found), **_scroll(rows, cleaned)}
    columns["exit_reason"] = _exit_reason(found)
    return columns | (_from_texts(found) if found.with_texts else {})


def answers(found: Evidence, key: Ints, count: int) -> dict[str, Any]:
    """The numbers of `sessions` that belong to prompts and answers, of each of `count` keys.

    `key`: one of these for each event that is a prompt or a response. That something was asked again belongs to the
    answer before.
    """
    rows = found.rows
    last = _last_answers(found)
    then, still = rows.next(rows.prompt)[last] >= 0, found.cleaned.sessions["open"][rows.session[last]]
    masks = {
        "prompts": np.flatnonzero(rows.prompt),
        "responses": np.flatnonzero(rows.answer),
        "partials": np.flatnonzero(rows.partial),
        "errors": np.flatnonzero(_failed_turns(found)),
        "unanswered": np.flatnonzero(rows.prompt & (found.response < 0)),
        "rated_responses": np.flatnonzero(found.thumbs != 0),
        "up_responses": np.flatnonzero(found.thumbs > 0),
        "left_after": last[~then & ~still],
        "answers_over": last[then | ~still],
    }
    columns = {name: np.bincount(key[at], minlength=count) for name, at in masks.items()}
    return columns | (_texts_of_answers(found, key, count) if found.with_texts else {})


def _last_answers(found: Evidence) -> Ints:
    """The answer that each turn ended with, where it did not fail."""
    rows = found.rows
    last = np.append(found.response[rows.prompt], np.flatnonzero(rows.response & (found.pairs.prompt < 0)))
    return last[at(rows.answer, last)]


def _per_session(rows: Rows, mask: Bools, count: int) -> Ints:
    return np.bincount(rows.session[mask], minlength=count)


def _counts(found: Evidence) -> dict[str, Any]:
    rows, count = found.rows, len(found.cleaned)
    said = rows.prompt | rows.response
    most = int(rows.chat.max(initial=-1)) + 2  # chats in all, and none
    spoken = distinct(rows.session[said] * most + rows.chat[said] + 1) // most
    latency = rows.field(LATENCY)
    known = rows.answer & ~np.isnan(latency)
    return {
        "chats": np.bincount(spoken, minlength=count),
        "copies": _per_session(rows, rows.kind(COPY), count),
        "clicks": _per_session(rows, rows.kind(CLICK), count),
        "latency_p50_ms": _medians(rows.session[known], latency[known], count),
        "idle": _per_session(rows, rows.goes, count) > 0,
    }


def _failed_turns(found: Evidence) -> Bools:
    """Prompts of which a call failed, also one that was repeated; and failed responses without a prompt."""
    rows, prompt = found.rows, found.pairs.prompt
    failed = rows.error & (prompt < 0)
    owners = prompt[rows.failed]
    failed[owners[owners >= 0]] = True
    return failed


def _medians(session: Ints, values: Floats, count: int) -> Floats:
    """The median of each session's values, NaN without any."""
    values = values[np.lexsort((values, session))]
    counts = np.bincount(session, minlength=count)
    some = counts > 0
    first, counts = (np.cumsum(counts) - counts)[some], counts[some]
    medians = np.full(count, np.nan)
    medians[some] = (values[first + (counts - 1) // 2] + values[first + counts // 2]) / 2
    return medians


def _time(found: Evidence) -> dict[str, Floats]:
    rows, silences, count = found.rows, found.gaps, len(found.cleaned)
    session, ms = rows.session[silences.row], silences.active_ms()
    duration = (found.cleaned.sessions["end_ms"] - found.cleaned.sessions["start_ms"]) / 1000
    active = total(session, ms, count) / 1000
    waiting = waiting_ms(rows, found.waiting_for, count) / 1000
    reading = total(session, ms * (silences.reading >= 0), count) / 1000
    away = np.maximum(duration - active - waiting, 0)
    return {"duration_s": duration, "waiting_s": waiting, "active_s": active, "reading_s": reading, "away_s": away}


def _scroll(rows: Rows, cleaned: Cleaned) -> dict[str, Any]:
    count = len(cleaned)
    scrolls = np.flatnonzero(rows.kind(SCROLL) & ~np.isnan(rows.field("scrollY")))
    session, y = rows.session[scrolls], rows.field("scrollY")[scrolls]
    highest = np.zeros(count)
    np.maximum.at(highest, session, y)
    change, moved = np.diff(y), session[1:]
    within = (moved == session[:-1]) & (change != 0)
    change, moved = change[within], moved[within]
    turned = (np.sign(change[1:]) != np.sign(change[:-1])) & (moved[1:] == moved[:-1])
    page = rows.field("page_height")[scrolls]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth = (y + cleaned.sessions["viewport_height_px"][session]) / np.where(page > 0, page, np.nan)
    deepest = np.full(count, np.nan)
    np.fmax.at(deepest, session, np.clip(depth, 0, 1))
    return {
        "scroll_max_px": highest,
        "scroll_total_px": total(moved, np.abs(change), count),
        "scroll_reversals": np.bincount(moved[1:][turned], minlength=count),
        "scroll_depth": deepest,
    }


def _exit_reason(found: Evidence) -> Objects:
    """The first reason that fits."""
    rows, count = found.rows, len(found.cleaned)
    last_prompt, last_response, last_user, last_taken = (
        _last_row(rows, mask, count) for mask in (rows.prompt, rows.response, rows.user, rows.taken)
    )
    fits = [
        found.cleaned.sessions["open"],
        (last_prompt < 0) & (_per_session(rows, _sent(rows), count) > 0),
        last_prompt < 0,
        at(found.response < 0, last_prompt),
        at(rows.error, last_response),
        last_taken > last_response,
        last_user > last_response,
    ]
    return first_fitting(fits, EXIT_REASONS)


def _sent(rows: Rows) -> Bools:
    """Events by which a person sent something, in data whose writer notes keys."""
    keys = rows.kind("key") | rows.kind("keydown") | rows.kind("keypress")
    keys[keys] = np.equal(rows.field("target")[keys], "Enter")
    return keys | rows.kind("enter") | rows.kind("submit") | rows.kind("send")


def _last_row(rows: Rows, mask: Bools, count: int) -> Ints:
    found = np.full(count, -1)
    here = np.flatnonzero(mask)
    found[rows.session[here]] = here  # of several the last one stays
    return found


def _from_texts(found: Evidence) -> dict[str, Any]:
    rows, taken, silences, count = found.rows, found.taken, found.gaps, len(found.cleaned)
    long_ms = total(rows.session[silences.row], silences.active_long_ms(_words(rows)), count)
    return {
        "selections": np.bincount(rows.session[distinct(taken.row[~taken.copy])], minlength=count),
        "active_long_s": long_ms / 1000,
        "copies_without_answer": np.bincount(rows.session[lost_copies(rows, taken)], minlength=count),
    }


def _texts_of_answers(found: Evidence, key: Ints, count: int) -> dict[str, Any]:
    rows, replies = found.rows, np.flatnonzero(found.rows.answer)
    of = key[replies]
    copies, selections = (each[replies] for each in counted(found.taken, len(rows)))
    before, again = _reasks(rows, rows.field("text"))
    return {
        "answer_copies": np.bincount(of, copies, minlength=count).astype(np.int64),
        "answer_selections": np.bincount(of, selections, minlength=count).astype(np.int64),
        "copied_responses": np.bincount(of[copies > 0], minlength=count),
        "texts_out": np.bincount(of[given(rows.field("text")[replies])], minlength=count),
        "words_out": np.bincount(of, _words(rows)[replies], minlength=count).astype(np.int64),
        "reasks": np.bincount(key[again], minlength=count),
        "prompts_with_predecessor": np.bincount(key[before], minlength=count),
    }


def _words(rows: Rows) -> Floats:
    """The words of each answer, 0 for all other events."""
    words = np.zeros(len(rows))
    replies = np.flatnonzero(rows.answer)
    words[replies] = [len(value.split()) if value else 0 for value in rows.field("text")[replies]]
    return words


def _reasks(rows: Rows, text: Any) -> tuple[Ints, Ints]:
    """Prompts that have a successor in their chat, and those of them after which the same was asked again soon.

    Where one of the two texts is not stored nobody can tell: such a prompt is in neither.
    """
    prompts = np.flatnonzero(rows.prompt)
    prompts = prompts[np.lexsort((prompts, rows.chat[prompts], rows.session[prompts]))]
    session, chat = rows.session[prompts], rows.chat[prompts]
    known = given(text[prompts])
    follows = (session[1:] == session[:-1]) & (chat[1:] == chat[:-1]) & known[1:] & known[:-1]
    before, after = prompts[:-1][follows], prompts[1:][follows]
    soon = rows.t[after] - rows.t[before] <= REASK_MS
    alike = [similarity(text[a], text[b]) >= REASK_SIMILARITY for a, b in zip(before[soon], after[soon], strict=True)]
    return before, before[soon][np.array(alike, dtype=bool)]


def similarity(one: str | None, other: str | None) -> float:
    """Jaccard similarity of the sets of words, case folded; 0 when either has none.

    >>> similarity("What is a tensor?", "what IS a vector")
    0.6
    """
    first, second = (set(_WORD.findall((text or "").casefold())) for text in (one, other))
    return len(first & second) / len(first | second) if first and second else 0.0
