"""By models: what belongs to an answer belongs to the model that gave it, a session to the models it met."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from llmtrack.analysis.interaction import events
from llmtrack.analysis.interaction.events import at
from llmtrack.analysis.interaction.evidence import Evidence
from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.cleaning.clean import Cleaned
from llmtrack.session.cleaning.series import numbered
from llmtrack.session.document import UNKNOWN
from llmtrack.session.values import Objects

MODELS: Final = ("model", "provider")  # groupings whose groups are told by answers
MIXED: Final = "mixed"  # the group of a session that met several


class Split(NamedTuple):
    """Sessions by models.

    `met`: for each session the one model that answered in it, MIXED or UNKNOWN. A row of `session` and `model` is what
    one model, or UNKNOWN, answered in one session; by session and name. `row`: for each event that is a prompt or a
    response which of these it belongs to, -1 for all others.
    """

    met: Objects
    session: Ints
    model: Objects
    row: Ints


def fields(by: str) -> tuple[str, ...]:
    """The data fields that sessions must be read with to be grouped so."""
    return (*events.FIELDS, by) if by in MODELS else ()


def labelled(cleaned: Cleaned, by: str) -> Cleaned:
    """The sessions with the column `by`, also where it is told by their answers."""
    if by not in MODELS:
        return cleaned
    return replace(cleaned, sessions={**cleaned.sessions, by: split(Evidence(cleaned), by).met})


def split(found: Evidence, by: str) -> Split:
    """The sessions by the models that answered in them, as `by` (one of MODELS) names these.

    An answer that names none, and a prompt, have that of their turn. Where nothing of a turn names one and no answer
    came, it is the only model of the session, or UNKNOWN where that met several or none; UNKNOWN makes no session a
    mixed one.
    """
    rows, count = found.rows, len(found.cleaned)
    codes, names = numbered(rows.field(by))
    codes = _of_turns(found, codes)
    codes = np.where((codes < 0) & _without_answer(found), _only(rows.session, codes, count)[rows.session], codes)
    labels, place = np.unique(np.append(names[:-1], UNKNOWN).astype(str), return_inverse=True)
    said = np.flatnonzero(rows.prompt | rows.response)
    pairs, at = np.unique(rows.session[said] * len(labels) + place[codes[said]], return_inverse=True)
    session, model = pairs // len(labels), labels[pairs % len(labels)].astype(object)
    row = np.full(len(rows), -1, dtype=np.int64)
    row[said] = at
    known = np.flatnonzero(model != UNKNOWN)
    met = np.full(count, UNKNOWN, dtype=object)
    met[session[known]] = model[known]
    met[np.bincount(session[known], minlength=count) > 1] = MIXED
    return Split(met, session, model, row)


def _of_turns(found: Evidence, codes: Ints) -> Ints:
    """The codes (-1: none) with those of prompts and of answers that lack one taken from the other."""
    codes = codes.copy()
    response = found.response
    answered = np.flatnonzero(response >= 0)
    codes[answered] = np.where(codes[response[answered]] >= 0, codes[response[answered]], codes[answered])
    prompt = found.pairs.prompt
    nameless = np.flatnonzero((prompt >= 0) & (codes < 0))
    codes[nameless] = codes[prompt[nameless]]
    return codes


def _without_answer(found: Evidence) -> Bools:
    """Failures, and prompts that a failure or nothing answered."""
    rows = found.rows
    return rows.error | (rows.prompt & ~at(rows.answer, found.response))


def _only(session: Ints, codes: Ints, count: int) -> Ints:
    """The one code (-1: none) that the events of each session have; -1 for sessions with several."""
    known = codes >= 0
    least, most = np.full(count, np.iinfo(np.int64).max), np.full(count, -1)
    np.minimum.at(least, session[known], codes[known])
    np.maximum.at(most, session[known], codes[known])
    return np.where(least == most, most, -1)
