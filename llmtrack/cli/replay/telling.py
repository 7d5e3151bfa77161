"""A session made ready to leave: what is known of it, its film, how it ended; without words, if asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from llmtrack.cli.drawing.numbers import many
from llmtrack.cli.player.film import Film, Manner
from llmtrack.cli.replay.facts import ending, facts, length_s, numbers, spent
from llmtrack.cli.replay.sentences import Sentence, tell
from llmtrack.session.schema import MODEL_RESPONSE, PROMPT

if TYPE_CHECKING:
    from llmtrack.session.cleaning.clean import Visit

Hide = Callable[[str, str], str]  # a kind of id and an id → its pseudonym

# Strings that tell what happened and nothing of what was said or of who said it; all others are hidden
_PLAIN = {"activity_state", "visibility_state", "direction", "rating", "target", "finish_reason", "provider", "model"}


class Telling(NamedTuple):
    """What can be shown of a session, as plain texts that are safe for a terminal."""

    title: str
    facts: list[tuple[str, str]]
    film: Film
    end: str
    spent: str


def telling(visit: Visit, document: Mapping[str, Any], manner: Manner, hide: Hide | None = None) -> Telling:
    """The session up to `manner.end_s`. With `hide` no text and no id of a person or a session is left."""
    known, now = numbers(visit), datetime.now(UTC)
    sentences = tell(visit.events, visit.session["environment"])
    if hide:
        bare = [{**event, "data": _bare(event["data"])} for event in visit.events]
        told = tell(bare, visit.session["environment"])
        kinds = [event["type"] for event in visit.events]
        sentences = [_hidden(*each) for each in zip(kinds, sentences, told, strict=True)]
        ids = {key: hide(kind, visit.session[key]) for key, kind in _IDS.items() if visit.session.get(key)}
        visit = visit._replace(session={**visit.session, **ids})
    film = Film(visit, sentences, length_s(visit), manner)
    title = visit.session["session_id"]
    return Telling(title, facts(visit, known, now), film, ending(document, known), spent(known))


_IDS = {"session_id": "session", "user_id": "user"}


def _bare(data: Mapping[str, Any]) -> dict[str, Any]:
    """The data of an event without words: numbers, yes and no, and names of things that happened."""
    kept = {key: value for key, value in data.items() if isinstance(value, bool | int | float) or key in _PLAIN}
    text = data.get("selected_text")
    return {**kept, "masked": True, "selected_length": len(text)} if isinstance(text, str) and text else kept


def _hidden(kind: str, sentence: Sentence, bare: Sentence) -> Sentence:
    """A sentence without words: of a prompt or an answer only how long it was."""
    if kind not in (PROMPT, MODEL_RESPONSE):
        return bare
    return sentence._replace(body=f"({many(len(sentence.body), 'character')})" if sentence.body else "")
