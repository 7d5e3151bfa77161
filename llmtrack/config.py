"""The only reader of the environment and of llmtrack.toml. Precedence: option > environment > file > default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from platformdirs import user_data_path
from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    SecretStr,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from llmtrack.errors import UsageError
from llmtrack.session.pseudonym import MIN_KEY, pseudonym
from llmtrack.session.rules import Rules
from llmtrack.session.schema import SILENT_AFTER_S
from llmtrack.session.validated import Name

TOKEN_AGE_S = 48 * 3600  # a visit of a day, whose last events the tracker may keep for another
LogFormat = Literal["human", "json"]
DEMO = "demo"  # the provider that answers from a small built-in text, without any key


class Group(BaseModel):
    """One arm of an experiment: which model answers its users, and how large its share is."""

    model_config = ConfigDict(extra="forbid")

    name: Name
    model: Name
    weight: float = Field(default=1.0, ge=0)
    provider: Name = "openai"
    base_url: str | None = None
    api_key_env: str = Field(default="OPENAI_API_KEY", description="Environment variable that holds the key")
    system_prompt: str = ""


class Experiment(BaseModel):
    """The arms of one experiment."""

    model_config = ConfigDict(extra="forbid")

    groups: list[Group] = Field(min_length=1)

    @model_validator(mode="after")
    def _sane(self) -> Experiment:
        names = [group.name for group in self.groups]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"group {sorted(twice)[0]!r} stands there twice")
        if not sum(group.weight for group in self.groups) > 0:
            raise ValueError("at least one group needs a weight above 0")
        return self


class SpoolLimits(BaseModel):
    """How much the collector keeps on disk while the database is away."""

    model_config = ConfigDict(extra="forbid")

    after_s: float = Field(default=2, gt=0, description="A database slower than this is away")
    max_mb: float = Field(default=256, gt=0)
    max_age_days: float = Field(default=7, gt=0, description="Of the oldest event; then no more are taken")


class Limits(BaseModel):
    """How much anybody may ask for, and how much a worker does at once. Rates are a minute's; 0 means no limit."""

    model_config = ConfigDict(extra="forbid")

    requests_per_session: int = Field(default=3_000, ge=0)
    requests_per_user: int = Field(default=3_000, ge=0)
    requests_per_address: int = Field(default=60_000, ge=0)
    queries_per_session: int = Field(default=60, ge=0)
    queries_per_user: int = Field(default=60, ge=0)
    queries_per_address: int = Field(default=600, ge=0)
    concurrent_ingest: int = Field(default=96, ge=1, description="Of a worker")
    concurrent_queries: int = Field(default=32, ge=1, description="Of a worker")
    tokens_per_user_per_day: int | None = Field(default=None, gt=0)


Texts = Literal["full", "hash", "none"]


class Privacy(BaseModel):
    """What the collector records of people's words and names: docs/privacy.md."""

    model_config = ConfigDict(extra="forbid")

    texts: Texts = Field(default="full", description="Strings of events: whole, length and keyed hash, or nothing")
    events: dict[Name, Texts] = Field(default_factory=dict, description="The same by event type")
    truncate: int | None = Field(default=None, ge=1, description="Texts are cut at this many characters")
    drop_queries: bool = Field(default=True, description="Addresses lose their query and fragment")
    user_key: SecretStr | None = Field(default=None, min_length=MIN_KEY, description="Keys the pseudonyms of users")
    save_chats: bool = Field(default=True, description="Keep chats, so that their users can go on with them")
    respect_signals: bool = Field(default=False, description="The chat page heeds Global Privacy Control, Do Not Track")
    retention_days: int | None = Field(
        default=None, ge=1, le=36_500, description="For llmtrack archive --older-than retention"
    )

    def known_as(self, user_id: str) -> str:
        """The id under which the collector stores this user."""
        return pseudonym(self.user_key.get_secret_value(), user_id) if self.user_key else user_id


class _SourceAt(BaseModel):
    """Where a source of another application lies."""

    model_config = ConfigDict(extra="forbid")

    uri: str | None = Field(default=None, description="A mongodb:// URI or files; default: MONGODB_URI")
    database: str | None = None


class PresetSource(_SourceAt):
    """Data of an application that llmtrack knows: docs/importing.md."""

    kind: Literal["preset"] = "preset"
    preset: Name


class TurnsOf(BaseModel):
    """Where prompts and answers lie when the visits have none; dotted paths."""

    model_config = ConfigDict(extra="forbid")

    collection: Name
    session_id: Name = "session_id"
    query: Name = "query"
    response: Name = "response"
    time: Name = "timestamp"
    time_is: Literal["asked", "answered"] = Field(default="answered", description="What `time` is the time of")
    latency_ms: Name | None = "latency_ms"
    model: Name | None = None
    provider: Name | None = None
    error: Name | None = None


class VisitSource(_SourceAt):
    """One document is one visit, under other names; dotted paths."""

    kind: Literal["visits"]
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
    types: dict[str, Name] = Field(default_factory=dict, description="Their names of events, and llmtrack's")
    turns: TurnsOf | None = None


class MessageSource(_SourceAt):
    """One document is one message; dotted paths."""

    kind: Literal["messages"]
    collection: Name = "messages"
    id: Name = "_id"
    chat: Name
    user: Name | None = None
    role: Name = "role"
    person: list[Name] = Field(default=["user", "human"], description="Roles that are a person's")
    model_roles: list[Name] = Field(default_factory=list, description="Roles that are the model's; default: all others")
    text: list[Name] = Field(default=["content", "text"], description="Places, the first that holds a text counts")
    time: Name
    begin: Name | None = Field(default=None, description="When the model was asked, in an answer: gives its latency")
    parent: Name | None = None
    model: Name | None = None
    rating: Name | None = None
    error: Name | None = None
    unfinished: Name | None = None
    gap_min: float = Field(default=30, gt=0, description="A pause this long begins another visit")


def _kind(value: Any) -> str:
    return str(value.get("kind", "preset")) if isinstance(value, dict) else str(value.kind)


AnySource = Annotated[
    Annotated[PresetSource, Tag("preset")]
    | Annotated[VisitSource, Tag("visits")]
    | Annotated[MessageSource, Tag("messages")],
    Discriminator(_kind),
]


class Settings(BaseSettings):
    """Everything that can be set. Environment variables start with LLMTRACK_, but for MONGODB_URI and OPENAI_*."""

    model_config = SettingsConfigDict(
        env_prefix="LLMTRACK_",
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        populate_by_name=True,
    )

    mongodb_uri: SecretStr | None = Field(default=None, validation_alias="MONGODB_URI")
    database: str | None = Field(default=None, description="Database; default: the URI's, else llm_experiment")
    collection: Name = Field(default="sessions", description="The collection that holds the visits")
    chats_collection: Name = Field(default="chats", description="The collection that holds saved chats")
    data_dir: Path = Field(default_factory=lambda: user_data_path("llmtrack"))
    embedded_linger_s: float = Field(default=60, ge=0, description="The embedded server outlives its last user")
    secret_key: SecretStr | None = Field(default=None, description="Signs cookies and tokens; default: made once")
    redact_key: SecretStr | None = Field(default=None, description="Keys the hashes and pseudonyms of exports")
    token_age_s: float = Field(default=TOKEN_AGE_S, gt=0, description="A session's token is good for this long")
    ingest_key: SecretStr | None = Field(default=None, description="Lets servers write to any session")
    admin_token: SecretStr | None = Field(default=None, description="Lets its bearer read any session")
    proxy_hops: int = Field(default=0, ge=0, description="Proxies in front whose X-Forwarded headers are believed")
    hsts_s: int = Field(default=0, ge=0, description="Strict-Transport-Security for this long; 0: none")
    allowed_origins: list[str] = Field(default=["*"], description="Pages that may send events")
    tracker_path: str = Field(
        default="", pattern=r"^((/[A-Za-z0-9._~-]+)+)?$", description="A second path of the tracker, such as /pages"
    )
    silent_after_s: float = Field(default=SILENT_AFTER_S, gt=0, description="The server ends sessions this silent")
    log_format: LogFormat | None = Field(default=None, description="Default: human on a terminal, else json")
    model_timeout_s: float = Field(default=60, gt=0)
    spool: SpoolLimits = Field(default_factory=SpoolLimits)
    limits: Limits = Field(default_factory=Limits)
    openai_api_key: SecretStr | None = Field(default=None, validation_alias="OPENAI_API_KEY")
    openai_base_url: str | None = Field(default=None, validation_alias="OPENAI_BASE_URL")
    privacy: Privacy = Field(default_factory=Privacy)
    experiment: str | None = Field(default=None, description="For sessions that name none; default: the first")
    experiments: dict[str, Experiment] = Field(default_factory=dict)
    sources: dict[str, AnySource] = Field(default_factory=dict, description="Data of other applications, by name")
    failed_answer: list[str] = Field(default=[], description="Patterns of answers that are failures stored as texts")

    @property
    def rules(self) -> Rules:
        """What reading makes of this writer's sessions."""
        return Rules(failed_answer=tuple(self.failed_answer))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, _Toml(settings_cls)

    @field_validator("failed_answer")
    @classmethod
    def _patterns(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: list[str]) -> list[str]:
        for origin in value:  # compared letter for letter with what browsers send
            if origin != "*" and not re.fullmatch(r"https?://[^/?#@\sA-Z]+", origin):
                raise ValueError(f"{origin!r} is no origin such as https://chat.example or http://localhost:3000")
        return value

    @model_validator(mode="after")
    def _default_experiment(self) -> Settings:
        if not self.experiments:
            self.experiments = {self.experiment or "default": Experiment(groups=[self._only_group()])}
        self.experiment = self.experiment or next(iter(self.experiments))
        if self.experiment not in self.experiments:
            raise ValueError(f"experiment {self.experiment!r} is not one of {sorted(self.experiments)}")
        return self

    def _only_group(self) -> Group:
        if self.openai_api_key or self.openai_base_url:
            return Group(name="gpt-4o-mini", model="gpt-4o-mini")
        return Group(name=DEMO, model=DEMO, provider=DEMO)

    def key_for(self, group: Group) -> str | None:
        """The group's API key, or None."""
        if group.api_key_env == "OPENAI_API_KEY" and self.openai_api_key:
            return self.openai_api_key.get_secret_value() or None
        return os.environ.get(group.api_key_env) or None


class _Toml(TomlConfigSettingsSource):
    """llmtrack.toml in the current folder, or the file that LLMTRACK_CONFIG names."""

    def __init__(self, settings_cls: type[BaseSettings]) -> None:
        super().__init__(settings_cls, toml_file=os.environ.get("LLMTRACK_CONFIG") or "llmtrack.toml")


def load_settings(**overrides: Any) -> Settings:
    """Settings from overrides (command line), environment, llmtrack.toml and defaults.

    Raises UsageError naming the setting and its value.
    """
    named = os.environ.get("LLMTRACK_CONFIG")
    if named and not Path(named).is_file():
        raise UsageError(f"LLMTRACK_CONFIG names {named!r}, which is not a file.", "Correct it or unset it.")
    try:
        return Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "settings"
        raise UsageError(f"{where}: {first['msg']}.", "Check llmtrack.toml and the LLMTRACK_ variables.") from None
    except ValueError as error:  # TOML that does not parse
        raise UsageError(f"llmtrack.toml cannot be read: {error}.", "Correct the line it names.") from None
