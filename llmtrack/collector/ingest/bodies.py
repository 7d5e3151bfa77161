"""The bodies of requests that the collector accepts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from llmtrack.session.schema import _TYPE, MAX_EVENTS, MAX_N, MAX_QUERY, plausible, storable, well_formed
from llmtrack.session.validated import Name, SessionId


class Body(BaseModel):
    """A request body: no value is bent into another type, fields nobody knows are ignored."""

    model_config = ConfigDict(strict=True, extra="ignore")


class StartBody(Body):
    """POST /api/session/start."""

    session_id: SessionId | None = None
    user_id: Name | None = None
    experiment_id: Name | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    age_ms: float = Field(default=0, ge=0, le=24 * 3600 * 1000, description="How long ago the session began")
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
    t: float = Field(description="When, in epoch milliseconds; dated at arrival when it can be no moment of a session")
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


TurnId = Annotated[str, Field(pattern=r"^[0-9A-Za-z_-]{8,64}$")]


class QueryBody(Body):
    """POST /query. `sessionId` is the chat, `trackingSessionId` the session.

    `turn_id` names the question: the same one again is the same turn, answered again. `regenerate` wishes another
    answer to it. `edits` names the turn in whose place a new question stands.
    """

    query: str = Field(min_length=1, max_length=MAX_QUERY)
    sessionId: SessionId
    trackingSessionId: str | None = None
    token: str | None = None
    stream: bool = False
    turn_id: TurnId | None = None
    regenerate: bool = False
    edits: TurnId | None = None

    @field_validator("query")
    @classmethod
    def _query(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("must not be empty")
        return well_formed(value)


class StopBody(Body):
    """POST /api/chats/<sessionId>/stop."""

    turn_id: TurnId


class ChatBody(Body):
    """PATCH /api/chats/{session_id}: the chat's new title."""

    title: Name
