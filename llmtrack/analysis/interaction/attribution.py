"""Which answer a copy or a selection belongs to."""

from __future__ import annotations

import itertools
from typing import Final, NamedTuple

import numpy as np

from llmtrack.analysis.interaction.events import Rows, given
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.series import numbered
from llmtrack.session.schema import COPY, SELECTION
from llmtrack.session.visible import Shown

SAME_MS: Final = 5_000  # a selection followed this soon by a copy of its text is that copy


class Taken(NamedTuple):
    """Copies and selections: `row` of the event, whether it is a `copy`, and the row of its `answer` (-1: none).

    One that spans two answers stands twice.
    """

    row: Ints
    copy: Bools
    answer: Ints


def attribute(rows: Rows) -> Taken:
    """The answer of each copy and selection; a selection that was then copied counts once, as a copy.

    It is the answer named by turn_id; else the latest earlier one of that chat whose text holds it, as a page shows it,
    or the two that it spans; else, where no answer's text is stored, the latest earlier one; else none: people copy
    their own prompts.
    Needs the fields text and selected_text.
    """
    at = np.flatnonzero(rows.taken & ~_copied_selections(rows))
    named = given(rows.field("turn_id")[at])
    sources = _containing(rows, at[~named])
    row = np.append(at[named], np.repeat(at[~named], np.array([*map(len, sources)], dtype=np.int64)))
    answer = np.append(of_turn(rows, at[named]), np.array([*itertools.chain(*sources)], dtype=np.int64))
    return Taken(row, rows.kind(COPY)[row], answer)


def counted(taken: Taken, rows: int) -> tuple[Ints, Ints]:
    """For each event that is an answer its copies and its selections."""
    known = taken.answer >= 0
    copies = np.bincount(taken.answer[known & taken.copy], minlength=rows)
    return copies, np.bincount(taken.answer[known & ~taken.copy], minlength=rows)


def lost_copies(rows: Rows, taken: Taken) -> Ints:
    """The copies that belong to no answer, as rows."""
    copies = np.flatnonzero(rows.kind(COPY))
    return copies[~np.isin(copies, taken.row[taken.answer >= 0])]


def _copied_selections(rows: Rows) -> Bools:
    """Selections that a copy of the same text follows soon."""
    found = np.zeros(len(rows), dtype=bool)
    text = rows.field("selected_text")
    at = np.flatnonzero(rows.taken & given(text))
    folded, _ = numbered(np.array([_fold(value) for value in text[at]], dtype=object))
    order = np.lexsort((at, folded, rows.session[at]))
    at, folded = at[order], folded[order]
    copy = rows.kind(COPY)[at]
    end = len(at)
    upcoming = np.minimum.accumulate(np.where(copy, np.arange(end), end)[::-1])[::-1]
    known = np.flatnonzero(upcoming < end)
    then = upcoming[known]
    same = (rows.session[at[then]] == rows.session[at[known]]) & (folded[then] == folded[known])
    soon = rows.t[at[then]] - rows.t[at[known]] <= SAME_MS
    found[at[known[same & soon]]] = True
    return found & rows.kind(SELECTION)


def of_turn(rows: Rows, at: Ints) -> Ints:
    """The latest response before it of the event's turn_id; -1 where it lies in another session."""
    turn, session = rows.field("turn_id"), rows.session
    known: dict[tuple[int, str], list[int]] = {}
    for answer in np.flatnonzero(rows.response & given(turn)).tolist():
        known.setdefault((session[answer], turn[answer]), []).append(answer)
    found = []
    for row in at.tolist():
        answers = known.get((session[row], turn[row]), [-1])
        found.append(max((answer for answer in answers if answer < row), default=answers[0]))
    return np.array(found, dtype=np.int64)


def _containing(rows: Rows, at: Ints) -> list[tuple[int, ...]]:
    """For each event the answers whose text a person may have taken it from: one, two that it spans, or (-1,)."""
    answers = np.flatnonzero(rows.answer)
    texts, taken = rows.field("text"), rows.field("selected_text")
    names_chat = given(rows.field("chat_session_id"))
    bounds = np.searchsorted(rows.session[answers], rows.session[at]), np.searchsorted(answers, at)
    shown: dict[int, Shown] = {}
    found: list[tuple[int, ...]] = []
    for row, first, last in zip(at, *bounds, strict=True):
        earlier = [
            a for a in answers[first:last][::-1].tolist() if not names_chat[row] or rows.chat[a] == rows.chat[row]
        ]
        wanted = Shown(taken[row] or "")
        stored = [a for a in earlier if texts[a] is not None]
        if not stored or not wanted.folded:
            found.append((earlier[0] if earlier else -1,))
            continue
        shown |= {a: Shown(texts[a]) for a in stored if a not in shown}
        found.append(_source(stored, shown, wanted))
    return found


def _source(latest_first: list[int], shown: dict[int, Shown], wanted: Shown) -> tuple[int, ...]:
    for answer in latest_first:
        if shown[answer].holds(wanted):
            return (answer,)
    for answer, before in itertools.pairwise(latest_first):
        if shown[before].ends_in(wanted) and shown[answer].begins_in(wanted):
            return (before, answer)
    return (-1,)


def _fold(text: str) -> str:
    return " ".join(text.split())
