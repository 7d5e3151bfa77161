"""What follows from kinds of events that a source never recorded: which numbers are missing there, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmtrack.session.recorded import ENDED, NUMBERED, PAGE, SILENT
from llmtrack.session.schema import (
    ACTIVITY,
    CLICK,
    COPY,
    ERROR,
    FEEDBACK,
    MODEL_RESPONSE,
    PROMPT,
    SCROLL,
    SELECTION,
    VISIBILITY,
)

if TYPE_CHECKING:
    from llmtrack.analysis.result import Note

Kinds = frozenset[str]
Elsewhere = Callable[[Kinds, Kinds], Kinds]  # the kinds seen, the kinds looked for → the kinds of the whole source

_ASKED: Final = frozenset({PROMPT})
_ANSWERED: Final = frozenset({MODEL_RESPONSE, ERROR})
NEEDS: Final[Mapping[str, tuple[Kinds, ...]]] = {  # number → of each of these sets one kind at least
    **dict.fromkeys(("prompts", "chats", "reasks", "prompts_with_predecessor"), (_ASKED,)),
    **dict.fromkeys(("responses", "partials", "errors", "words_out", "left_after"), (_ANSWERED,)),
    **dict.fromkeys(("waiting_s", "unanswered"), (_ASKED, _ANSWERED)),
    **dict.fromkeys(("copies", "answer_copies", "copied_responses", "copied"), (frozenset({COPY}),)),
    "copies_without_answer": (frozenset({COPY}),),
    **dict.fromkeys(("selections", "answer_selections", "selected"), (frozenset({SELECTION}),)),
    **dict.fromkeys(("scroll_max_px", "scroll_total_px", "scroll_reversals", "scroll_depth"), (frozenset({SCROLL}),)),
    **dict.fromkeys(("idle", "idle_first"), (frozenset({ACTIVITY, VISIBILITY}),)),
    **dict.fromkeys(("rated_responses", "up_responses", "rating"), (frozenset({FEEDBACK}),)),
    **dict.fromkeys(("first_action_s", "first_action_censored", "silent"), (_ANSWERED, PAGE)),
    "clicks": (frozenset({CLICK}),),
    "bounced": (_ASKED, PAGE | {SILENT, ENDED}),
    "n_gaps": (frozenset({NUMBERED}),),
    "endless": (PAGE | {ENDED},),
}
EXITS: Final[Mapping[str, tuple[Kinds, ...]]] = {  # an exit reason, likewise
    "no_prompt": (_ASKED,),
    "waiting": (_ASKED, _ANSWERED),
    "after_copy": (frozenset({COPY, SELECTION}),),
    "after_reading": (PAGE,),
    "silent": (PAGE,),
}


def told(name: str, recorded: Kinds) -> bool:
    """Whether such a number can be told where these kinds of events are recorded."""
    return all(not recorded.isdisjoint(kinds) for kinds in NEEDS.get(name, ()))


def exit_told(reason: str, recorded: Kinds) -> bool:
    """Whether an exit for this reason could have been seen."""
    return all(not recorded.isdisjoint(kinds) for kinds in EXITS.get(reason, ()))


def looked_for(names: Iterable[str]) -> Kinds:
    """The kinds of events that these numbers are made of."""
    return frozenset[str]().union(*(kinds for name in names for kinds in NEEDS.get(name, ())))


def without_untold(columns: Mapping[str, Any], recorded: Kinds) -> dict[str, Any]:
    """The columns; those that cannot be told are missing throughout: NaN, or None where they hold no numbers."""
    found = {}
    for key, values in columns.items():
        if key == "exit_reason":
            known = {reason for reason in {*np.asarray(values, dtype=object)} if exit_told(reason, recorded)}
            values = np.array([reason if reason in known else None for reason in values], dtype=object)
        elif not told(key, recorded):
            numeric = np.asarray(values).dtype.kind in "iuf"
            values = np.full(len(values), np.nan) if numeric else np.full(len(values), None, dtype=object)
        found[key] = values
    return found


def note(missing: Iterable[str]) -> list[Note]:
    """What to say of numbers that are missing because nothing of their kind was ever recorded."""
    from llmtrack.analysis.result import Note  # it brings the statistics, which a list of sessions does without

    names = ", ".join(missing)
    text = f"Not recorded in this source, and so missing, not 0: {names}."
    return [Note("not_recorded", text)] if names else []
