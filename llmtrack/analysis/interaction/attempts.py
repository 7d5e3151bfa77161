"""Which responses of a turn a person saw as its answer: not steps to tools, nor attempts that were repeated at once."""

from __future__ import annotations

from typing import Final

import numpy as np

from llmtrack.session.cleaning.batch import Bools, Ints
from llmtrack.session.values import Floats

RETRY_MS: Final = 10_000  # a failed call that is asked again this soon is one wait: SDKs pause for up to 8 s


def passed_over(
    at: Ints, turn: Ints, t: Floats, latency_ms: Floats, *, step: Bools, calls: Bools, error: Bools
) -> Bools:
    """The responses of named turns that gave way to a later one, and steps.

    `at`: rows of responses in order, `turn`: a number for the session and turn of each; the others: one entry for each
    of `at`. A response that calls tools gives way to the next of its turn, a failed one to what was asked within 10 s
    after it. A step is no answer, also when the turn ends with it.
    """
    gone = step.copy()
    order = np.lexsort((at, turn))
    one, then = order[:-1], order[1:]
    follows = turn[one] == turn[then]
    asked_t = t[then] - np.nan_to_num(latency_ms[then])
    soon = asked_t - t[one] <= RETRY_MS
    gone[one] |= follows & (calls[one] | (error[one] & soon))
    return gone
