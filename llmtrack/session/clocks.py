"""Two clocks in one visit: a page stamps what people do, the server what is asked and answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from llmtrack.session.batch import DATA, Ints
from llmtrack.session.schema import CHAT, NEW_CHAT, PROMPT
from llmtrack.session.values import Floats, text

CLOCKS_MS: Final = 2_000  # by how much the two may differ: half the way to the server and back, on a slow network


def late_chats(
    types: Sequence[str], codes: Ints, session: Ints, t: Floats, columns: Mapping[str, Any]
) -> dict[int, int]:
    """Rows of new_chat after the first prompt of their own chat, by no more than clocks differ → rows of that prompt.

    Rows are in order of session and t (ms). A chat begins before its first prompt, whatever the clocks say.
    """
    if NEW_CHAT not in types or PROMPT not in types:
        return {}
    begun, prompts = (np.flatnonzero(codes == types.index(kind)) for kind in (NEW_CHAT, PROMPT))
    before = np.searchsorted(prompts, begun)  # how many prompts stand before each
    begun, before = begun[before > 0], before[before > 0]
    latest = prompts[before - 1]
    near = (session[latest] == session[begun]) & (t[begun] - t[latest] <= CLOCKS_MS)
    late: dict[int, int] = {}
    for row, prompts_before in zip(begun[near].tolist(), before[near].tolist(), strict=True):
        of_session = prompts[np.searchsorted(prompts, np.searchsorted(session, session[row])) : prompts_before].tolist()
        chat = _chat(columns, row)
        first = next((prompt for prompt in of_session if _chat(columns, prompt) == chat), None)
        if chat is not None and first is not None and t[row] - t[first] <= CLOCKS_MS:
            late[row] = first
    return late


def placed(late: Mapping[int, int], t: Floats) -> tuple[Ints, Floats]:
    """The order of rows, and their t, with each late row directly before the row that it goes with."""
    rank, mended = np.arange(len(t), dtype=np.float64), t.copy()
    for row, before in late.items():
        rank[row], mended[row] = before - 0.5, t[before]
    order = np.argsort(rank, kind="stable")
    return order, mended[order]


def _chat(columns: Mapping[str, Any], row: int) -> str | None:
    found: str | None = columns[CHAT][row] if CHAT in columns else text(columns[DATA][row].get(CHAT))
    return found
