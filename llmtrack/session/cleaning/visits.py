"""Documents that are chats, opened again and again: a long silence begins another session of the same document."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmtrack.session.cleaning.series import first_and_last, numbered
from llmtrack.session.schema import CHAT, ERROR, MODEL_RESPONSE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from llmtrack.session.cleaning.batch import Bools, Ints
    from llmtrack.session.cleaning.clean import Cleaned
    from llmtrack.session.rules import Rules
    from llmtrack.session.values import Objects

SILENCES: Final = "silences_over_"  # what is noticed, with the minutes
ARRIVALS: Final = ("arrival", "page_load", "pageload", "session_start")  # events of a page that was opened
_ANSWERS: Final = (MODEL_RESPONSE, ERROR)
_OF_FIRST: Final = ("n_gaps", "duplicates", "inversions", "out_of_range")  # of a document: its first session has them


def numbered_id(session_id: str, number: int) -> str:
    """The id of the session with this number (from 1) in a document.

    >>> numbered_id("chat", 1), numbered_id("chat", 2)
    ('chat', 'chat#2')
    """
    return session_id if number == 1 else f"{session_id}#{number}"


def document_of(session_id: str) -> tuple[str, int] | None:
    """The id of the document and the number of the session that `numbered_id` made this of; None for other ids."""
    found, mark, number = session_id.rpartition("#")
    return (found, int(number)) if mark and found and number.isdecimal() and int(number) > 1 else None


def chats_of(sessions: Mapping[str, Any]) -> Objects:
    """The chat that each session's document is; None where it is none. `sessions`: the table of clean ones."""
    columns = (np.asarray(sessions[key]).tolist() for key in ("session_id", "number", "of_chat"))
    found = np.full(len(sessions["session_id"]), None, dtype=object)
    for row, (session_id, number, is_chat) in enumerate(zip(*columns, strict=True)):
        if is_chat:
            found[row] = session_id.removesuffix(numbered_id("", number))
    return found


def divide(cleaned: Cleaned, are_chats: Bools, rules: Rules) -> Cleaned:
    """The sessions, those of documents that are chats divided at silences; it is noticed how many others hold one.

    A silence lies before any event but an answer, and is longer than `rules.visit_gap_s`. A document whose first or
    last silence is that long begins with its first event, or ends with its last: nobody was there.
    """
    gap_ms = rules.visit_gap_s * 1000
    session, t = cleaned.session, cleaned.t
    first = np.append(True, session[1:] != session[:-1])[: len(t)]
    response = np.isin(cleaned.type_codes, [cleaned.types.index(kind) for kind in _ANSWERS if kind in cleaned.types])
    silent = ~first & ~response & (np.append(0.0, np.diff(t))[: len(t)] > gap_ms)
    holding = np.zeros(len(cleaned), dtype=bool)
    holding[session[silent]] = True
    divided = _found(cleaned) | are_chats if rules.chats is None else np.full(len(cleaned), rules.chats)
    undivided = {f"{SILENCES}{rules.visit_gap_s / 60:g}": int((holding & ~divided).sum())}
    cleaned = replace(cleaned, noticed=cleaned.noticed | undivided)
    table = _without_silent_ends(cleaned, divided, gap_ms) | {"of_chat": divided}
    cuts = silent & divided[session]
    if not cuts.any():
        return replace(cleaned, sessions=table)
    sessions = np.bincount(session[cuts], minlength=len(cleaned)) + 1
    row = np.repeat(np.arange(len(cleaned)), sessions)
    number = np.arange(len(row)) - (np.cumsum(sessions) - sessions)[row] + 1
    mine = session + np.cumsum(cuts)
    return replace(cleaned, sessions=_divided(cleaned, table, row, number, mine), session=mine)


def _found(cleaned: Cleaned) -> Bools:
    """Documents that are chats as their events show: they bear the chat's id, or several pages were opened."""
    found = np.zeros(len(cleaned), dtype=bool)
    if cleaned.has(CHAT):
        codes, names = numbered(cleaned.field(CHAT))
        known = np.flatnonzero(codes >= 0)
        ids = cleaned.sessions["session_id"][cleaned.session[known]]
        found[cleaned.session[known][names[codes[known]] == ids]] = True
    arrived = np.isin(cleaned.type_codes, [i for i, kind in enumerate(cleaned.types) if kind in ARRIVALS])
    found |= np.bincount(cleaned.session[arrived], minlength=len(cleaned)) > 1
    return found


def _without_silent_ends(cleaned: Cleaned, divided: Bools, gap_ms: float) -> dict[str, Any]:
    """The table of the sessions, with starts and ends of divided documents no farther than `gap_ms` from an event."""
    start, end = cleaned.sessions["start_ms"], cleaned.sessions["end_ms"]
    first_t, last_t = first_and_last(cleaned.t, cleaned.session, len(cleaned))
    late, early = divided & (first_t - start > gap_ms), divided & (end - last_t > gap_ms)
    return cleaned.sessions | {
        "start_ms": np.where(late, first_t, start),
        "end_ms": np.where(early, last_t, end),
        "end_estimated": cleaned.sessions["end_estimated"] | early,
    }


def _divided(cleaned: Cleaned, table: dict[str, Any], row: Ints, number: Ints, mine: Ints) -> dict[str, Any]:
    """The table of the sessions that `row` says are of these documents; `mine`: the session of each event."""
    first_t, last_t = first_and_last(cleaned.t, mine, len(row))
    is_first, is_last = number == 1, np.append(number[1:] == 1, True)
    found = {key: values[row] for key, values in table.items()}
    ids = zip(found["session_id"].tolist(), number.tolist(), strict=True)
    found["session_id"] = np.array([numbered_id(*each) for each in ids], dtype=object)
    found["start_ms"] = np.where(is_first, found["start_ms"], first_t)
    found["end_ms"] = np.where(is_last, found["end_ms"], last_t)
    found["end_estimated"] = found["end_estimated"] | ~is_last
    found["open"] = found["open"] & is_last
    found["number"] = number
    found["events"] = np.bincount(mine, minlength=len(row))
    return found | {key: np.where(is_first, found[key], 0) for key in _OF_FIRST}
