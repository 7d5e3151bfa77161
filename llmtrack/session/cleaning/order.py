"""The order of events: by time, and where two clocks disagree, by what happened.

A prompt comes before its answer, and a chat begins before its first prompt, whatever the clocks say.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.events import RESPONSES, Events
from llmtrack.session.cleaning.repeats import unsorted
from llmtrack.session.cleaning.series import chats, numbered
from llmtrack.session.schema import CHAT, ERROR, NEW_CHAT, PROMPT

CLOCKS_MS: Final = 2_000  # by how much a page and a server may differ: half the way and back, on a slow network
STORED_MS: Final = 3_000  # an answer dated earlier than its prompt by less than this was stored in its right place

_TURN: Final = "turn_id"


def sort(events: Events) -> Ints:
    """Sort by session and t, equal ones as they were stored; how often t steps back in each session.

    A prompt and its answer that were stored together, when the answer was there, and a failure are no step back.
    """
    session, t = events.session, events.t
    rows = unsorted(session, t)
    if not len(rows):
        return np.zeros(events.sessions, dtype=np.int64)
    kept = ~_pushed(events)
    back = (t[kept][1:] < t[kept][:-1]) & (session[kept][1:] == session[kept][:-1])
    inversions = np.bincount(session[kept][1:][back], minlength=events.sessions)
    events.stored = _oldest_first(events)
    order = np.arange(len(events))
    order[rows] = rows[np.lexsort((events.stored[rows], t[rows], session[rows]))]
    events.take(order)
    return inversions


def _oldest_first(events: Events) -> Ints:
    """The numbers `stored` of events in stored order: turned around in sessions that were stored newest first.

    There t steps back several times, and forth by no more than clocks differ, and no n says another order.
    """
    session, t, stored = events.session, events.t, events.stored
    same = session[1:] == session[:-1]
    back, forth = same & (t[1:] < t[:-1]), same & (t[1:] > t[:-1] + STORED_MS)
    backs, forths = (np.bincount(session[1:][steps], minlength=events.sessions) for steps in (back, forth))
    first = np.searchsorted(session, np.arange(events.sessions))
    last = np.searchsorted(session, np.arange(events.sessions), side="right") - 1
    newest = (backs > 1) & (forths == 0)
    newest[session[~np.isnan(events.batch.n[events.rows])]] = False
    newest[newest] = t[first[newest]] - t[last[newest]] > STORED_MS
    return np.where(newest[session], stored[first[session]] + stored[last[session]] - stored, stored)


def _pushed(events: Events) -> Bools:
    prompt, response, session = events.kind(PROMPT), events.kind(*RESPONSES), events.session
    pair = prompt[:-1] & response[1:] & (session[1:] == session[:-1])
    found: Bools = np.append(pair, False) | np.append(False, pair) | events.kind(ERROR)
    return found


def settle(events: Events) -> dict[str, int]:
    """Put answers after their prompts and new chats before their first prompts; what was moved, reason → how many."""
    answers, prompts = _early_answers(events)
    late, firsts = _late_chats(events)
    if len(answers) or len(late):
        rank, t = np.arange(len(events), dtype=np.float64), events.t.copy()
        rank[answers], t[answers] = prompts + 0.5, t[prompts]
        rank[late], t[late] = firsts - 0.5, t[firsts]
        events.t = t
        events.take(np.argsort(rank, kind="stable"))
    return {"answer_before_prompt": len(answers), "chat_begun_late": len(late)}


def _early_answers(events: Events) -> tuple[Ints, Ints]:
    """Answers that stand before their prompts, and those prompts, as places in the events.

    Their prompt is that with the same turn_id. Without one, it is the prompt stored directly before the answer in its
    chat and dated less than STORED_MS after it; two prompts followed by two answers were stored in another way, and
    there time decides.
    """
    asked = np.flatnonzero(events.kind(PROMPT, *RESPONSES))
    if not len(asked):
        return asked, asked
    is_prompt = events.kind(PROMPT)[asked]
    turn = events.field(_TURN, asked)
    codes = np.full(len(asked), -1) if turn is None else numbered(turn)[0]
    target = _of_turn(events, asked, is_prompt, codes)
    if (np.diff(events.stored[asked]) < 0).any():  # else all were stored in order of time
        stored = _stored_before(events, asked, is_prompt, codes)
        target = np.where((target < 0) & (stored >= 0), stored, target)
    early = np.flatnonzero((target >= 0) & (asked < target))
    return asked[early], target[early]


def _of_turn(events: Events, asked: Ints, is_prompt: Bools, codes: Ints) -> Ints:
    """For each answer the prompt with its turn_id; -1 for prompts, and for answers without one.

    Where a turn has several prompts, the answers take them in the order in which all were stored.
    """
    target = np.full(len(asked), -1, dtype=np.int64)
    named = np.flatnonzero(codes >= 0)
    _, group = np.unique(events.session[asked[named]] * (codes.max(initial=0) + 1) + codes[named], return_inverse=True)
    order = np.lexsort((events.stored[asked[named]], group))
    named, group = named[order], group[order]
    prompts, answers = named[is_prompt[named]], named[~is_prompt[named]]
    of_prompt, of_answer = group[is_prompt[named]], group[~is_prompt[named]]
    groups = int(group.max(initial=-1)) + 1
    n_prompts, n_answers = (np.bincount(of, minlength=groups) for of in (of_prompt, of_answer))
    number = np.arange(len(answers)) - (np.cumsum(n_answers) - n_answers)[of_answer]
    number = np.where(n_prompts[of_answer] == 1, 0, number)
    known = (n_prompts[of_answer] == 1) | (n_answers <= n_prompts)[of_answer] & (number < n_prompts[of_answer])
    place = (np.cumsum(n_prompts) - n_prompts)[of_answer] + number
    target[answers[known]] = asked[prompts[place[known]]]
    return target


def _stored_before(events: Events, asked: Ints, is_prompt: Bools, codes: Ints) -> Ints:
    """For each answer the prompt stored directly before it in its chat, if it is dated a little later; else -1."""
    target = np.full(len(asked), -1, dtype=np.int64)
    chat = _stored_chats(events)[asked]
    order = np.lexsort((events.stored[asked], chat, events.session[asked]))
    session, chat, prompt = events.session[asked[order]], chat[order], is_prompt[order]
    t, turn = events.t[asked[order]], codes[order]
    same = np.append((session[1:] == session[:-1]) & (chat[1:] == chat[:-1]), False)  # as the next one
    then_answer = same & ~np.append(prompt[1:], True)
    ahead = t - np.append(t[1:], np.nan)
    fits = prompt & then_answer & (ahead >= 0) & (ahead < STORED_MS) & ~((turn >= 0) & (np.append(turn[1:], -1) >= 0))
    after_prompt, two_answers = np.append(False, (same & prompt)[:-1]), np.append(then_answer[1:], False)
    at = np.flatnonzero(fits & ~(after_prompt & two_answers))
    target[order[at + 1]] = asked[order[at]]
    return target


def _stored_chats(events: Events) -> Ints:
    """The chat of each event, by what was named before it as all was stored."""
    names = events.field(CHAT)
    if names is None:
        return np.full(len(events), -1)
    order = np.argsort(events.stored)
    found = np.empty(len(events), dtype=np.int64)
    found[order] = chats(numbered(names)[0][order], events.session[order])
    return found


def _late_chats(events: Events) -> tuple[Ints, Ints]:
    """new_chat events after the first prompt of their own chat, by no more than clocks differ, and those prompts."""
    begun, prompts = np.flatnonzero(events.kind(NEW_CHAT)), np.flatnonzero(events.kind(PROMPT))
    session, t = events.session, events.t
    before = np.searchsorted(prompts, begun)  # how many prompts stand before each
    begun, before = begun[before > 0], before[before > 0]
    latest = prompts[before - 1]
    near = (session[latest] == session[begun]) & (t[begun] - t[latest] <= CLOCKS_MS)
    names = events.field(CHAT) if near.any() else None
    late: dict[int, int] = {}
    if names is not None:
        for row, count in zip(begun[near].tolist(), before[near].tolist(), strict=True):
            mine = prompts[np.searchsorted(prompts, np.searchsorted(session, session[row])) : count].tolist()
            first = next((prompt for prompt in mine if names[prompt] == names[row]), None)
            if names[row] is not None and first is not None and t[row] - t[first] <= CLOCKS_MS:
                late[row] = first
    return np.array([*late], dtype=np.int64), np.array([*late.values()], dtype=np.int64)
