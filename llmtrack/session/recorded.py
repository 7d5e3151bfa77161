"""Which kinds of events a source records: what it never recorded cannot be counted, and is missing, never 0."""

from __future__ import annotations

from typing import Final

import numpy as np

from llmtrack.session.cleaning.batch import Batch
from llmtrack.session.schema import (
    ACTIVITY,
    CLICK,
    COPY,
    MODEL_RESPONSE,
    NAVIGATION,
    PROMPT,
    SCROLL,
    SELECTION,
    VISIBILITY,
)
from llmtrack.session.values import distinct

NUMBERED: Final = "n of events"
ENDED: Final = "end_time"
SILENT: Final = "a session without a prompt"
PAGE: Final = frozenset({SCROLL, CLICK, SELECTION, COPY, ACTIVITY, VISIBILITY, NAVIGATION})  # what only a page tells
USUAL: Final = frozenset({PROMPT, MODEL_RESPONSE, SCROLL, CLICK, SELECTION, COPY, ACTIVITY})  # where a tracker runs


def kinds(batch: Batch) -> frozenset[str]:
    """The types of the events in a batch, and NUMBERED, ENDED, SILENT where that is so of any of its sessions."""
    codes = distinct(batch.type_codes)
    found = {batch.types[code] for code in codes.tolist()}
    if np.isfinite(batch.n).any():
        found.add(NUMBERED)
    if np.isfinite(np.asarray(batch.sessions["end_ms"], dtype=np.float64)).any():
        found.add(ENDED)
    session = np.repeat(np.arange(len(batch.counts)), batch.counts)
    asked = batch.type_codes == (batch.types.index(PROMPT) if PROMPT in batch.types else -1)
    if (np.bincount(session[asked], minlength=len(batch.counts)) == 0).any():
        found.add(SILENT)
    return frozenset(found)
