"""What a reader of a whole source may have to know, counted batch by batch: analysis/notices.py says it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from llmtrack.session.cleaning.events import RESPONSES, SENDING
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT

if TYPE_CHECKING:
    from llmtrack.session.cleaning.batch import Bools
    from llmtrack.session.cleaning.clean import Cleaned

PROMPTS: Final = "prompts"
SENT: Final = "sent"  # keys and clicks that send something
WAITS: Final = "waits"  # from prompts to answers that bear no latency
WAITED: Final = "waited_"  # of these those of exactly so many whole seconds, by their ms
FAILURES: Final = "begins: "  # short answers that begin as failures do, by their first words

_NOTHING: Final[Any] = None  # numpy compares with it, whatever its types say
_SHORT: Final = 300  # characters
_FIRST: Final = 30
_FAILURE: Final = re.compile(r"(error|failed|sorry, something went wrong)\b", re.IGNORECASE)


def noticed(found: Cleaned) -> dict[str, int]:
    """The counts of clean sessions. What was not read is not counted."""
    counts = Counter({PROMPTS: int(_kind(found, PROMPT).sum()), SENT: int(_kind(found, *SENDING).sum())})
    if found.has("latency_ms"):
        counts.update(_waits(found))
    if found.has("text"):
        counts.update(_failures(found))
    return dict(counts)


def _kind(found: Cleaned, *names: str) -> Bools:
    return np.isin(found.type_codes, [found.types.index(name) for name in names if name in found.types])


def _waits(found: Cleaned) -> Counter[str]:
    said = np.flatnonzero(_kind(found, PROMPT, *RESPONSES))
    asked, response = _kind(found, PROMPT)[said], _kind(found, *RESPONSES)[said]
    session = found.session[said]
    pair = np.flatnonzero(asked[:-1] & response[1:] & (session[1:] == session[:-1]))
    pair = pair[np.isnan(found.field("latency_ms")[said[pair + 1]])]
    ms = found.t[said[pair + 1]] - found.t[said[pair]]
    whole = ms[(ms > 0) & (ms % 1000 == 0)].astype(np.int64)
    return Counter({WAITS: len(pair)}) + Counter(f"{WAITED}{each}" for each in whole.tolist())


def _failures(found: Cleaned) -> Counter[str]:
    texts = found.field("text")
    answers = np.flatnonzero(_kind(found, MODEL_RESPONSE) & np.not_equal(texts, _NOTHING))
    if found.has("error"):
        answers = answers[np.equal(found.field("error")[answers], _NOTHING)]
    short = [said for said in texts[answers].tolist() if len(said) <= _SHORT and _FAILURE.match(said)]
    return Counter(f"{FAILURES}{said[:_FIRST]}" for said in short)
