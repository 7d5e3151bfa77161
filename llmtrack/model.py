"""What a session and an event are: names, units, limits, and the bodies the collector accepts."""

from __future__ import annotations

import math
import re
import secrets
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, field_validator

SCHEMA_VERSION: Final = 1

# Events that llmtrack itself knows. Any other name is an application's own event: kept, counted, shown.
SCROLL: Final = "scroll"
CLICK: Final = "click"
SELECTION: Final = "selection"
COPY: Final = "copy"
ACTIVITY: Final = "activity"
PROMPT: Final = "prompt"
MODEL_RESPONSE: Final = "model_response"
NEW_CHAT: Final = "new_chat"
EVENT_TYPES: Final = (SCROLL, CLICK, SELECTION, COPY, ACTIVITY, PROMPT, MODEL_RESPONSE, NEW_CHAT)

IDLE_AFTER_S: Final = 30  # the tracker calls a person idle after this long without interaction
SILENT_AFTER_S: Final = 30 * 60  # a session without end that is silent for longer is no longer open

MAX_BODY_BYTES: Final = 256 * 1024
MAX_EVENTS: Final = 500
MAX_COMPLETION_BYTES: Final = 16 * 1024 * 1024  # a chat's messages, which may hold pictures
MAX_N: Final = 2**31
MAX_TEXT: Final = 100_000  # characters of one string in an event
MAX_DEPTH: Final = 12
MAX_KEYS: Final = 200  # members of one object or list in an event
MAX_QUERY: Final = 32_000  # characters of one prompt
MAX_T_MS: Final = 4_102_444_800_000  # 2100-01-01: a later stamp is an error of units, not a time
EARLIEST_T_MS: Final = 1_577_836_800_000  # 2020-01-01: an earlier stamp is an error of units, not a time
AHEAD_MS: Final = 24 * 3600 * 1000  # a stamp further ahead of the server's clock is no matter of zones any more

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SESSION_ID = re.compile(r"[A-Za-z0-9._@+:~=-]{1,256}")
_TYPE = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


def well_formed(text: str) -> str:
    """Text without lone surrogates, which BSON and UTF-8 cannot hold (each becomes U+FFFD)."""
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def storable(value: Any, depth: int = 0) -> Any:
    """A JSON value as any MongoDB-compatible server can hold it.

    Cuts strings at MAX_TEXT, objects and lists at MAX_KEYS, nesting at MAX_DEPTH; integers beyond 64 bits become
    floats; NaN and infinities become null; in keys `$` and `.` become their full-width twins and NUL goes.
    """
    if isinstance(value, str):
        return well_formed(value[:MAX_TEXT])
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**63 else float(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth >= MAX_DEPTH:
        return None
    if isinstance(value, dict):
        items = list(value.items())[:MAX_KEYS]
        return {_key(str(key)): storable(member, depth + 1) for key, member in items}
    if isinstance(value, list):
        return [storable(member, depth + 1) for member in value[:MAX_KEYS]]
    return well_formed(str(value)[:MAX_TEXT])


def _key(key: str) -> str:
    return well_formed(key[:MAX_KEYS].replace("\x00", "").replace("$", "\uff04").replace(".", "\uff0e"))


def plausible(t: float, now_ms: int) -> bool:
    """Whether a stamp can be a moment of a visit: not before 2020, nor more than a day ahead of the server's clock.

    Clocks and zones that are merely wrong pass: readers move a session's clock as a whole.
    """
    return EARLIEST_T_MS <= t <= now_ms + AHEAD_MS


def new_session_id(user_id: str, now_ms: int) -> str:
    """`user_<user>_<epoch ms>_<random>`, with 80 random bits; characters unfit for a URL are left out of <user>."""
    user = re.sub(r"[^A-Za-z0-9.-]", "", user_id)[:64] or "anonymous"
    return f"user_{user}_{now_ms}_{secrets.token_hex(10)}"


def is_session_id(value: str) -> bool:
    """Whether a collector gives or takes such an id."""
    return _SESSION_ID.fullmatch(value) is not None


def _session_id(value: str) -> str:
    if not is_session_id(value):
        raise ValueError("must be 1 to 256 letters, digits or . _ @ + : ~ = -")
    return value


def _name(value: str) -> str:
    value = well_formed(value).strip()
    if not value or len(value) > 256 or _CONTROL.search(value):
        raise ValueError("must be 1 to 256 characters without control characters")
    return value


SessionId = Annotated[
    str,
    AfterValidator(_session_id),
    WithJsonSchema({"type": "string", "pattern": f"^{_SESSION_ID.pattern}$"}),
]
Name = Annotated[
    str, AfterValidator(_name), WithJsonSchema({"type": "string", "minLength": 1, "maxLength": 256, "pattern": r"\S"})
]


class Body(BaseModel):
    """A request body: no value is bent into another type, fields nobody knows are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class StartBody(Body):
    """POST /api/session/start."""

    session_id: SessionId | None = None
    user_id: Name | None = None
    experiment_id: Name | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    age_ms: float = Field(default=0, ge=0, le=24 * 3600 * 1000, description="How long ago the visit began")
    previous_session_id: SessionId | None = None
    secret: str | None = Field(
        default=None, min_length=16, max_length=256, description="Known to the sender alone; start again with the same"
    )


class Event(Body):
    """One event: `n` counts the session's tracker events from 1, `t` is epoch ms. Those of a server have no `n`.

    Fields nobody knows are kept under `data`, as far as MAX_KEYS has room for them.
    """

    model_config = ConfigDict(extra="allow")

    n: int | None = Field(default=None, ge=1, le=MAX_N)
    t: float = Field(description="When, in epoch milliseconds; dated at arrival when it can be no moment of a visit")
    type: str
    data: dict[str, Any] = Field(default_factory=dict)

    @field_validator("t", mode="before")
    @classmethod
    def _epoch_ms(cls, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError("must be a time in epoch milliseconds")
        return value

    @field_validator("type")
    @classmethod
    def _type(cls, value: str) -> str:
        if not _TYPE.fullmatch(value):
            raise ValueError("must be 1 to 100 characters without control characters")
        return well_formed(value)

    def stored(self, now_ms: int) -> dict[str, Any]:
        """The event as it lies in the session document; with `clamped` and `sent_t` when `t` is not `plausible`."""
        given = {**self.data, **{key: value for key, value in (self.model_extra or {}).items() if key not in self.data}}
        number = {} if self.n is None else {"n": self.n}
        event = {**number, "t": now_ms, "type": self.type, "data": storable(given)}
        if not plausible(self.t, now_ms):
            return {**event, "clamped": True, "sent_t": storable(self.t)}
        return {**event, "t": round(self.t)}


class TrackerEvent(Event):
    """One event as a tracker sends it: with `n`, by which a repeated one is known."""

    n: int = Field(ge=1, le=MAX_N)


class EventsBody(Body):
    """POST /api/session/event. `events` is checked one by one, so that one bad event never costs the others.

    A body with an `id` is stored once, however often it is sent: for events that have no `n` to tell it by.
    """

    session_id: SessionId
    token: str | None = None
    id: Name | None = None
    sent_at: float | None = None
    events: list[Any] = Field(default_factory=list, max_length=MAX_EVENTS)


class EndBody(EventsBody):
    """POST /api/session/end: may carry last events; `t` is when the visitor left (epoch ms, server clock)."""

    t: float | None = None


class CompletionBody(Body):
    """POST /v1/chat/completions: what OpenAI's API takes. All that is not read here is passed on as it came."""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str | None = None
    stream: bool | None = None
    user: str | None = None


class QueryBody(Body):
    """POST /query. `sessionId` is the chat, `trackingSessionId` the visit."""

    query: str = Field(min_length=1, max_length=MAX_QUERY)
    sessionId: SessionId
    trackingSessionId: str | None = None
    token: str | None = None
    stream: bool = False
    regenerate: bool = False

    @field_validator("query")
    @classmethod
    def _query(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return well_formed(value)
