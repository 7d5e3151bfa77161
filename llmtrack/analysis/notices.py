"""What must be known of a source before any of its numbers: what it lacks, and what in it is not what it seems."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from llmtrack.session.cleaning.notices import FAILURES, PROMPTS, SENT, WAITED, WAITS
from llmtrack.session.cleaning.visits import SILENCES
from llmtrack.session.tally import Tally

MANY: Final = 20  # equal waits or copies: so many tell, though others differ
FIFTH: Final = 0.2
NO_PROMPTS: Final = "no_prompts_stored"


def notices(tally: Tally) -> list[tuple[str, str]]:
    """A stable code and a text for each thing, the most important first."""
    return [*_prompts(tally), *_silences(tally), *_waits(tally), *_failures(tally), *_copies(tally)]


def _prompts(tally: Tally) -> Iterator[tuple[str, str]]:
    if tally.sessions and tally.noticed.get(PROMPTS) == 0:
        sent = tally.noticed.get(SENT)
        what = "The one session holds" if tally.sessions == 1 else f"All {tally.sessions:,} sessions hold"
        what += " no prompt" + (f", though something was sent {sent:,} time{'s' if sent > 1 else ''}" if sent else "")
        todo = "prompts of another collection are read with [sources.NAME.turns] in llmtrack.toml (docs/importing.md)"
        yield NO_PROMPTS, f"{what}: nothing can be said of questions and answers. Next: {todo}."


def _silences(tally: Tally) -> Iterator[tuple[str, str]]:
    for key, count in tally.noticed.items():
        if key.startswith(SILENCES) and count:
            some = "1 session holds" if count == 1 else f"{count:,} sessions hold"
            text = f"{some} a silence of over {key.removeprefix(SILENCES)} min: several visits, perhaps."
            todo = "Where a session_id is a chat's, ids_are_chats = true in llmtrack.toml divides them."
            yield "long_silences", f"{text} {todo}"


def _waits(tally: Tally) -> Iterator[tuple[str, str]]:
    waits = tally.noticed.get(WAITS, 0)
    for key, count in tally.noticed.items():
        if key.startswith(WAITED) and count > 1 and (count == waits or (count >= MANY and count >= waits / 2)):
            ms, of = int(key.removeprefix(WAITED)), f"All {waits:,}" if count == waits else f"{count:,} of {waits:,}"
            yield "equal_waits", f"{of} waits without a latency are exactly {ms:,} ms: their writer made them up."


def _failures(tally: Tally) -> Iterator[tuple[str, str]]:
    for key, count in tally.noticed.items():
        if key.startswith(FAILURES) and count > 1:
            begin = key.removeprefix(FAILURES)
            words = re.match(r"[\w ,']*", begin)
            pattern = "^" + (words[0].rstrip() if words else begin)
            text = f'{count:,} short answers begin with "{begin}": failures, perhaps.'
            yield "failures_as_answers", f'{text} failed_answer = ["{pattern}"] in llmtrack.toml counts them so.'


def _copies(tally: Tally) -> Iterator[tuple[str, str]]:
    copies, lost = tally.noticed.get("copies", 0), tally.excluded.get("copies_without_answer", 0)
    if lost > FIFTH * copies:
        text = "they are of prompts or of the page, or the texts of answers are not stored as people saw them"
        yield "copies_without_answer", f"{lost:,} of {copies:,} copies belong to no answer: {text}."
