"""Data of other applications, as llmtrack.toml describes it: docs/importing.md."""

from __future__ import annotations

from typing import Literal

from msgspec import field

from llmtrack.config.types import Name, Positive, Section


class _SourceAt(Section, frozen=True, kw_only=True):
    """Where a source of another application lies."""

    uri: str | None = None  # a mongodb:// URI or files; default: MONGODB_URI
    database: str | None = None


class PresetSource(_SourceAt, frozen=True, kw_only=True, tag_field="kind", tag="preset"):
    """Data of an application that llmtrack knows: docs/importing.md."""

    preset: Name


class TurnsOf(Section, frozen=True, kw_only=True):
    """Where prompts and answers lie when the visits have none; dotted paths."""

    collection: Name
    session_id: Name = "session_id"
    query: Name = "query"
    response: Name = "response"
    time: Name = "timestamp"
    time_is: Literal["asked", "answered"] = "answered"  # what `time` is the time of
    latency_ms: Name | None = "latency_ms"
    model: Name | None = None
    provider: Name | None = None
    error: Name | None = None


class VisitSource(_SourceAt, frozen=True, kw_only=True, tag_field="kind", tag="visits"):
    """One document is one visit, under other names; dotted paths."""

    collection: Name = "sessions"
    session_id: Name = "session_id"
    user_id: Name = "user_id"
    model_group: Name = "model_group"
    experiment_id: Name = "experiment_id"
    start_time: Name = "start_time"
    end_time: Name = "end_time"
    environment: Name = "environment"
    events: Name = "events"
    t: Name = "t"
    type: Name = "type"
    data: Name | None = "data"
    types: dict[str, Name] = field(default_factory=dict)  # their names of events, and llmtrack's
    turns: TurnsOf | None = None


class MessageSource(_SourceAt, frozen=True, kw_only=True, tag_field="kind", tag="messages"):
    """One document is one message; dotted paths."""

    collection: Name = "messages"
    id: Name = "_id"
    chat: Name
    user: Name | None = None
    role: Name = "role"
    person: list[Name] = field(default_factory=lambda: ["user", "human"])  # roles that are a person's
    model_roles: list[Name] = field(default_factory=list)  # roles that are the model's; default: all others
    text: list[Name] = field(default_factory=lambda: ["content", "text"])  # places, the first that holds a text counts
    time: Name
    begin: Name | None = None  # when the model was asked, in an answer: gives its latency
    parent: Name | None = None
    model: Name | None = None
    rating: Name | None = None
    error: Name | None = None
    unfinished: Name | None = None
    gap_min: Positive = 30  # a pause this long begins another visit


AnySource = PresetSource | VisitSource | MessageSource
