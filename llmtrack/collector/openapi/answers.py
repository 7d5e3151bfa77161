"""The shapes of what the collector answers, for its OpenAPI document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class Shape(BaseModel):
    """An answer. It may hold more members than are named here."""

    model_config = ConfigDict(extra="allow")


class Error(Shape):
    """Every refusal and every failure."""

    error: str = Field(description="What happened, with which value, and what to do")
    limit: str | None = Field(default=None, description="The setting of [limits] that says no")


class CompletionFailure(Shape):
    """What went wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: Any


class CompletionError(Shape):
    """Every refusal and every failure of a chat completion."""

    error: CompletionFailure


class Started(Shape):
    """Whose session it is; `server_time` (epoch ms) sets the tracker's clock."""

    session_id: str
    user_id: str | None
    model_group: str | None
    experiment_id: str | None
    server_time: int
    token: str


class Rejected(Shape):
    """An event that was not stored."""

    n: Any
    why: str


class Stored(Shape):
    """How many events were stored and how many were there already."""

    accepted: int
    duplicates: int
    rejected: list[Rejected]


class Session(Shape):
    """The document of a session; docs/data.md has all fields."""

    session_id: str
    events: list[Any] = []


class Turn(Shape):
    """What every answer says of its turn. `notice`: why it is not tracked or saved."""

    turn_id: str
    sessionId: str
    model: str
    provider: str
    tracked: bool
    notice: str | None


class Answer(Turn):
    """A model's answer."""

    answer: str
    citations: list[dict[str, str]]
    latency_ms: int
    ttft_ms: int | None
    finish_reason: str | None = Field(default=None, description="As the provider gave it")
    partial: bool = Field(default=False, description="There would be more: it broke off, was cut, or was stopped")
    thinking_ms: int | None = None


class ChatHead(Shape):
    """A saved chat in the list."""

    sessionId: str
    title: str
    created_at: Any
    updated_at: Any


class Chats(Shape):
    """The user's saved chats."""

    chats: list[ChatHead]


class Chat(ChatHead):
    """A saved chat with what was said."""

    messages: list[dict[str, Any]]


class Health(Shape):
    """`ok`."""

    status: str


class Ready(Shape):
    """`ok`, or `unavailable` with what is wrong by part."""

    status: str
    wrong: dict[str, str]
    spool: dict[str, float | None]
