"""What is said about a session as a whole: who, with what, when, how much, how it ended."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from llmtrack.cli.drawing.cautions import HOURS, counted
from llmtrack.cli.drawing.numbers import age, duration, many
from llmtrack.session.document import device
from llmtrack.session.schema import ACTIVITY, CLICK, COPY, ERROR, MODEL_RESPONSE, NEW_CHAT, PROMPT, SCROLL, SELECTION
from llmtrack.session.values import text

if TYPE_CHECKING:
    from llmtrack.session.cleaning.clean import Visit

UNKNOWN = "unknown"
RESPONSES = (MODEL_RESPONSE, ERROR)
_FAILED = "failed answer"

_NOUNS = {  # in the order of interest
    PROMPT: ("prompt", "prompts"),
    MODEL_RESPONSE: ("answer", "answers"),
    _FAILED: ("failed answer", "failed answers"),
    COPY: ("copy", "copies"),
    SELECTION: ("selection", "selections"),
    NEW_CHAT: ("new chat", "new chats"),
    SCROLL: ("scroll", "scrolls"),
    CLICK: ("click", "clicks"),
    ACTIVITY: ("activity change", "activity changes"),
}
_SHORT_S = 0.05
_ENDS = {"page": "closed the page", "timeout": "fell silent, and was ended by the server,"}
_REASONS = {
    "prompt_not_stored": "after asking something that is not stored",
    "no_prompt": "without having asked anything",
    "waiting": "with the last prompt unanswered",
    "after_error": "after an error",
    "after_copy": "after copying or selecting something",
    "after_reading": "after reading the last answer",
    "silent": "with nothing more after the last answer",
}
_REPAIRS = {
    "clock_shifted": "the clock of its events disagreed with its start: all were shifted to begin there",
    "chat_begun_late": "a chat was begun after its first prompt, by two clocks: it begins before it",
    "inversions": "events out of order were sorted",
    "end_estimated": "no end was recorded: it ends at its last event",
    "start_estimated": "no start was recorded: it starts at its first event",
    "end_before_start": "its end lay before its start and is ignored",
    "end_before_last_event": "its end lies before later events and is none: it ends at its last event",
    "start_after_first_event": "it begins with its first event, which was before the recorded start",
    "answer_before_prompt": "answers that were dated before their prompts follow them",
    "clock_moved_seconds": "the server's clock was some seconds off: what it wrote is moved",
    "question_not_stored": "a failure's question was not stored: it is told without a text",
}


def length_s(visit: Visit) -> float:
    """Seconds from the start of the session to its end, or to its last event when that is later."""
    start, end = visit.session["start_time"], visit.session["end_time"]
    last = visit.events[-1]["at_s"] if visit.events else 0.0
    return max(0.0, last, (end - start).total_seconds() if end else 0.0)


def facts(visit: Visit, numbers: Mapping[str, Any], now: datetime) -> list[tuple[str, str]]:
    """The header of a replay: labels and values; what is not known is left out."""
    session, environment = visit.session, visit.session["environment"]
    rows = [
        ("session", session["session_id"]),
        ("user", "".join(_known(session.get("user_id")))),
        ("group", "".join(_known(session.get("model_group")))),
        ("experiment", "".join(_known(session.get("experiment_id")))),
        ("models", ", ".join(_models(visit))),
        ("device", _device(environment)),
        ("when", _when(session["start_time"], session["end_time"], now)),
        ("length", duration(length_s(visit)) if visit.events or session["end_time"] else ""),
        ("events", _counts(visit)),
        ("lost", f"{many(int(numbers['n_gaps']), 'event')} never arrived" if numbers["n_gaps"] else ""),
        *(("repaired", _repair(key, count)) for key, count in visit.repaired.items() if count),
        *(("left out", counted(key, count)) for key, count in visit.excluded.items() if count),
    ]
    return [(label, value) for label, value in rows if value]


def numbers(visit: Visit) -> Mapping[str, Any]:
    """The numbers of this one session, as every report has them (interaction/summary.py)."""
    from llmtrack.analysis.interaction import Interaction

    return {key: values.tolist()[0] for key, values in Interaction(visit.cleaned).summary().items()}


def ending(document: Mapping[str, Any], numbers: Mapping[str, Any]) -> str:
    """How the session ended, as far as it is known."""
    if numbers["open"]:
        return "still open"
    if numbers["end_estimated"] or math.isnan(numbers["end_ms"]):
        end = "no end was recorded; last seen"
    else:
        end = _ENDS.get(str(document.get("ended_by")), "the session ended")
    return f"{end} {_REASONS[numbers['exit_reason']]}"


def spent(numbers: Mapping[str, Any]) -> str:
    """Where the time went. What the reports call away is a rest: with it goes all that follows the last event."""
    parts = (("active", "active_s"), ("of it reading", "reading_s"), ("waiting", "waiting_s"), ("the rest", "away_s"))
    return ", ".join(f"{name} {duration(numbers[key])}" for name, key in parts if numbers[key] >= _SHORT_S)


def _repair(reason: str, count: int) -> str:
    if hours := HOURS.fullmatch(reason):
        way = "ahead" if hours[1] == "+" else "behind"
        return f"one writer's clock was {hours[2]} h {way}: its events are moved"
    return _REPAIRS.get(reason, counted(reason, count))


def _models(visit: Visit) -> list[str]:
    """The models that answered, in order; with how many answers where there are several."""
    named = (text(event["data"].get("model")) for event in visit.events if event["type"] in RESPONSES)
    counts = Counter(filter(None, named))
    return [f"{model} ({many(count, 'answer')})" if len(counts) > 1 else model for model, count in counts.items()]


def _device(environment: Mapping[str, Any]) -> str:
    what = ", ".join(_known(device(environment)))
    program = " on ".join(_known(environment.get("browser"), environment.get("os")))
    viewport = environment.get("viewport")
    sides = [viewport.get(side) for side in ("width", "height")] if isinstance(viewport, Mapping) else []
    size = " by ".join(f"{side:g}" for side in sides if isinstance(side, int | float) and side > 0)
    return ", ".join(part for part in (what, program, f"{size} px" if " by " in size else "") if part)


def _when(start: datetime, end: datetime | None, now: datetime) -> str:
    day = f"{start:%a} {start.day} {start:%b %Y}, {start:%H:%M:%S}"
    if end is None:
        until = ""
    elif end.date() == start.date():
        until = f" to {end:%H:%M:%S}"
    else:
        until = f" to {end:%a} {end.day} {end:%b}, {end:%H:%M:%S}"
    ago = age(start, now)
    return f"{day}{until} UTC" + (f" ({ago})" if "ago" in ago else "")


def _counts(visit: Visit) -> str:
    failed = [
        event["type"] == ERROR or (event["type"] == MODEL_RESPONSE and text(event["data"].get("error")) is not None)
        for event in visit.events
    ]
    counts = Counter(_FAILED if fails else event["type"] for event, fails in zip(visit.events, failed, strict=True))
    named = [many(counts[kind], *nouns) for kind, nouns in _NOUNS.items() if counts[kind]]
    named += [f"{count:,} {kind}" for kind, count in counts.items() if kind not in _NOUNS]
    return f"{len(visit.events):,}: {', '.join(named)}" if named else "none"


def _known(*values: Any) -> list[str]:
    return [str(value) for value in values if value not in (None, "", UNKNOWN)]
