"""Every event of a session reads as a sentence, whoever wrote it and whatever is missing from it."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from llmtrack.analysis.interaction.timeline import Event, is_idle
from llmtrack.cli.drawing.numbers import duration, many
from llmtrack.cli.drawing.text import line, safe
from llmtrack.session.jsonable import jsonable
from llmtrack.session.schema import (
    ACTIVITY,
    CLICK,
    COPY,
    ERROR,
    IDLE_AFTER_S,
    MODEL_RESPONSE,
    NAVIGATION,
    NEW_CHAT,
    PROMPT,
    SCROLL,
    SELECTION,
    VIEW,
    VISIBILITY,
)
from llmtrack.session.values import text as as_text
from llmtrack.session.visible import Shown

QUOTED = 160  # characters of a selection that a sentence quotes

Data = Mapping[str, Any]


class Sentence(NamedTuple):
    """What happened, on one line; and the words somebody wrote, when they are the event."""

    text: str
    body: str = ""
    detail: str = ""  # how long, how much: the small print of a prompt or an answer
    failed: bool = False


class _Text(NamedTuple):
    """A prompt or an answer that selections and copies can come from, as a page shows it."""

    turn: Any
    words: Shown


@dataclass
class _Told:
    """What the session has told so far: some sentences depend on it."""

    viewport_px: float | None
    arrived: bool = False
    idle: bool = False
    chat: str | None = None
    prompts: list[_Text] = field(default_factory=list)
    answers: list[_Text] = field(default_factory=list)


def tell(events: Sequence[Event], environment: Data | None = None) -> list[Sentence]:
    """A sentence for each event of a session, in order. Texts are safe for a terminal; bodies keep their lines."""
    told = _Told(_viewport(environment or {}))
    sentences = []
    for event in events:
        data = event["data"]
        sentence = _SENTENCES.get(event["type"], _other)(event, data, told)
        sentences.append(sentence._replace(text=line(sentence.text), body=_body(sentence.body)))
        told.idle = is_idle(event) or (told.idle and event["type"] in (MODEL_RESPONSE, ERROR, VIEW))
        told.arrived = True
        told.chat = _word(data, "chat_session_id") or told.chat
        if event["type"] in (PROMPT, MODEL_RESPONSE):
            texts = told.prompts if event["type"] == PROMPT else told.answers
            texts.append(_Text(data.get("turn_id"), Shown(_word(data, "text"))))
    return sentences


def _body(text: str) -> str:
    """The words as they were written: empty lines around them go, the indentation of the first one stays."""
    return re.sub(r"\A(?:[^\S\n]*\n)+", "", safe(text)).rstrip()


def quoted(text: object) -> str:
    """Somebody's words in quotation marks, on one line, cut when they are long.

    >>> quoted("supervised\\nlearning")
    '“supervised learning”'
    """
    folded = line(text)
    if len(folded) <= QUOTED:
        return f"“{folded}”"
    cut = folded[:QUOTED].rsplit(" ", 1)[0] if " " in folded[QUOTED - 30 : QUOTED] else folded[:QUOTED]
    return f"“{cut}…” ({len(folded):,} characters)"


def _activity(event: Event, data: Data, told: _Told) -> Sentence:
    state = data.get("activity_state")
    if state == "idle":
        return Sentence(f"went idle: {IDLE_AFTER_S} s without a sign of life")
    if state != "active":
        return _other(event, data, told)
    if data.get("frame") is True:
        return Sentence("is active in a frame of the page")
    return Sentence("came back" if told.idle else "is active" if told.arrived else "arrived")


def _visibility(event: Event, data: Data, told: _Told) -> Sentence:
    ways = {"hidden": "turned to another tab or window", "visible": "turned back to the page"}
    said = ways.get(_word(data, "visibility_state"))
    return Sentence(said) if said else _other(event, data, told)


def _view(event: Event, data: Data, told: _Told) -> Sentence:
    shown, share = _number(data, "visible_ms"), _number(data, "seen_share")
    if shown is None:
        return _other(event, data, told)
    if shown <= 0:
        return Sentence("an answer stayed off the screen")
    seen = "" if share is None else f", {share:.0%} of it seen"
    return Sentence(f"an answer was on the screen for {duration(shown / 1000)}{seen}")


def _navigation(event: Event, data: Data, told: _Told) -> Sentence:
    where = _word(data, "page_url") + _word(data, "route")
    return Sentence(f"went on to {_cut(where)}") if where else _other(event, data, told)


def _scroll(event: Event, data: Data, told: _Told) -> Sentence:
    subject = "the page scrolled" if data.get("user") is False else "scrolled"
    way = f" {data['direction']}" if data.get("direction") in ("up", "down") else ""
    y, page = _number(data, "scrollY"), _number(data, "page_height")
    where = f" to {y:,.0f} px" if y is not None else ""
    seen = _number(data, "view_height") or told.viewport_px
    if y is not None and page and seen:
        where += f", {min(1, max(0, (y + seen) / page)):.0%} of the page seen"
    return Sentence(f"{subject}{way}{where}")


def _click(event: Event, data: Data, told: _Told) -> Sentence:
    x, y = _number(data, "x"), _number(data, "y")
    target = _word(data, "target")
    name = _word(data, "name") or _word(data, "text")
    what = f" {quoted(name)}" if name else f" <{target.lower()}>" if target else ""
    address = _word(data, "target_url") or _word(data, "href")
    what += f" to {_cut(address)}" if address else ""
    return Sentence(f"clicked{what}" + (f" at {x:.0f}, {y:.0f}" if x is not None and y is not None else ""))


def _selection(event: Event, data: Data, told: _Told) -> Sentence:
    return _taken("selected", "in", data, told)


def _copy(event: Event, data: Data, told: _Told) -> Sentence:
    if data.get("button") is True:
        words = len(_word(data, "selected_text").split())
        return Sentence(f"copied the whole answer with its button ({many(words, 'word')})")
    return _taken("copied", "from", data, told)


def _taken(verb: str, preposition: str, data: Data, told: _Told) -> Sentence:
    text = _word(data, "selected_text")
    if not text.strip():
        length = _number(data, "selected_length")
        hidden = "masked text" if data.get("masked") is True else "text"
        return Sentence(f"{verb} {hidden}" + (f", {length:,.0f} characters" if length else ""))
    whose = _origin(text, data, told)
    return Sentence(f"{verb} {quoted(text)}" + (f" {preposition} {whose}" if whose else ""))


def _origin(text: str, data: Data, told: _Told) -> str:
    """The text it was taken from: where it stands in; else the answer that its turn_id names; else unknown ("")."""
    turn, words = data.get("turn_id"), Shown(text)
    for texts, name in ((told.answers, "answer"), (told.prompts, "prompt")):
        for back, source in enumerate(reversed(texts)):
            if (turn is None or source.turn in (None, turn)) and source.words.holds(words):
                return f"the {name}" if back == 0 else f"an earlier {name}"
    for back, (later, answer) in enumerate(itertools.pairwise(reversed(told.answers))):
        if turn is None and answer.words.ends_in(words) and later.words.begins_in(words):
            return "the answer and the one before it" if back == 0 else "an earlier answer and the one after it"
    for back, answer in enumerate(reversed(told.answers)):
        if turn is not None and answer.turn == turn:
            return "the answer" if back == 0 else "an earlier answer"
    return ""


def _prompt(event: Event, data: Data, told: _Told) -> Sentence:
    chat = _word(data, "chat_session_id")
    text = "asked for another answer" if data.get("regenerated") is True else "asked"
    if told.prompts and chat and told.chat and chat != told.chat:
        text += " in another chat"
    return _spoken(text, _word(data, "text"), [])


def _response(event: Event, data: Data, told: _Told) -> Sentence:
    model = _word(data, "model") or "the model"
    latency_ms = _number(data, "latency_ms")
    details = [f"in {duration(latency_ms / 1000)}"] if latency_ms is not None and latency_ms >= 0 else []
    thinking_ms = _number(data, "thinking_ms")
    details += [f"thought {duration(thinking_ms / 1000)}"] if thinking_ms is not None and thinking_ms >= 1000 else []
    text, error = _word(data, "text"), as_text(data.get("error"))
    sources = data.get("citations")
    cited = [many(len(sources), "source")] if isinstance(sources, list) and sources else []
    if error is not None and text.strip():
        broken = _spoken(f"{model} failed in the middle of its answer", text, details)
        return broken._replace(body=f"{text.strip()}\n\n{error}", failed=True)
    if error is not None:
        return Sentence(f"{model} failed", error, ", ".join(details), failed=True)
    if data.get("step") is True:
        return _spoken(f"{model} called {_tools(data)}", text, details)
    return _spoken(f"{model} {_ended(data)}", text, details, cited)


def _error(event: Event, data: Data, told: _Told) -> Sentence:
    """A failed answer as other writers store it: what failed is its text, or its code."""
    said = as_text(data.get("text")) or as_text(data.get("error")) or as_text(data.get("error_code")) or ""
    return Sentence(f"{_word(data, 'model') or 'the model'} failed", said or "no reason recorded", failed=True)


def _tools(data: Data) -> str:
    calls = data.get("tool_calls")
    names = [as_text(name) or "" for name in calls] if isinstance(calls, list) else []
    return ", ".join(filter(None, names)) or "a tool"


def _ended(data: Data) -> str:
    """How an answer ended, in a verb."""
    again = " again" if data.get("regenerated") is True or (_number(data, "attempt") or 1) > 1 else ""
    if data.get("partial") is not True:
        return f"answered{again}"
    reason = _word(data, "finish_reason")
    if data.get("stopped") is True:
        return f"answered{again} until it was stopped"
    if data.get("refusal") is True:
        return f"declined{again}"
    return f"answered{again} in part ({reason})" if reason else f"answered{again} in part"


def _spoken(sentence: str, text: str, before: list[str], after: Sequence[str] = ()) -> Sentence:
    if not text.strip():
        return Sentence(f"{sentence} (no text recorded)", detail=", ".join(before))
    return Sentence(sentence, text, ", ".join([*before, many(len(text.split()), "word"), *after]))


def _new_chat(event: Event, data: Data, told: _Told) -> Sentence:
    return Sentence("started a new chat")


def _feedback(event: Event, data: Data, told: _Told) -> Sentence:
    rating = data.get("rating")
    if rating == "neutral":
        return Sentence("rated the answer neither good nor bad (neutral)")
    if rating not in ("up", "down"):
        return _other(event, data, told)
    return Sentence(f"rated the answer {'good' if rating == 'up' else 'bad'} (thumb {rating})")


def _key(event: Event, data: Data, told: _Told) -> Sentence:
    key = _word(data, "target") or _word(data, "key")
    return Sentence(f"pressed {key}") if key else _other(event, data, told)


def _other(event: Event, data: Data, told: _Told) -> Sentence:
    name = line(event["type"]) or "event without a type"
    members = ", ".join(f"{key} = {_cut(_plain(value))}" for key, value in data.items())
    return Sentence(f"{name}: {members}" if members else name)


_SENTENCES: dict[str, Callable[[Event, Data, _Told], Sentence]] = {
    ACTIVITY: _activity,
    VISIBILITY: _visibility,
    VIEW: _view,
    NAVIGATION: _navigation,
    SCROLL: _scroll,
    CLICK: _click,
    SELECTION: _selection,
    COPY: _copy,
    PROMPT: _prompt,
    MODEL_RESPONSE: _response,
    ERROR: _error,
    NEW_CHAT: _new_chat,
    "feedback": _feedback,
    "key": _key,
}


def _word(data: Data, key: str) -> str:
    """The member as text; "" when it is missing or no text."""
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _number(data: Data, key: str) -> float | None:
    value = jsonable(data.get(key))  # without NaN and infinities
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(jsonable(value), ensure_ascii=False)


def _cut(text: str) -> str:
    folded = line(text)
    return folded if len(folded) <= QUOTED else f"{folded[:QUOTED]}…"


def _viewport(environment: Data) -> float | None:
    viewport = environment.get("viewport")
    return _number(viewport, "height") if isinstance(viewport, Mapping) else None
