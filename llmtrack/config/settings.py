"""The settings: everything that can be set, checked, with its default."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import Meta, field

from llmtrack.config.places import of_environment, of_file, over
from llmtrack.config.sources import AnySource
from llmtrack.config.types import NAME, AtLeastOne, Count, Name, NotNegative, Positive, Secret, Section, made
from llmtrack.errors import UsageError
from llmtrack.session import moments
from llmtrack.session.pseudonym import MIN_KEY, pseudonym
from llmtrack.session.rules import Rules
from llmtrack.session.schema import SILENT_AFTER_S

TOKEN_AGE_S = 48 * 3600  # a session of a day, whose last events the tracker may keep for another
LogFormat = Literal["human", "json"]
DEMO = "demo"  # the provider that answers from a small built-in text, without any key


class Group(Section, frozen=True, kw_only=True):
    """One arm of an experiment: which model answers its users, and how large its share is."""

    name: Name
    model: Name
    weight: NotNegative = 1.0
    provider: Name = "openai"
    base_url: str | None = None
    api_key_env: str = "OPENAI_API_KEY"  # environment variable that holds the key
    system_prompt: str = ""


class Experiment(Section, frozen=True, kw_only=True):
    """The arms of one experiment."""

    groups: Annotated[list[Group], Meta(min_length=1)]

    def __post_init__(self) -> None:
        names = [group.name for group in self.groups]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"group {sorted(twice)[0]!r} stands there twice")
        if not sum(group.weight for group in self.groups) > 0:
            raise ValueError("at least one group needs a weight above 0")


class SpoolLimits(Section, frozen=True, kw_only=True):
    """How much the collector keeps on disk while the database is away."""

    after_s: Positive = 2  # a database slower than this is away
    max_mb: Positive = 256
    max_age_days: Positive = 7  # of the oldest event; then no more are taken


class Limits(Section, frozen=True, kw_only=True):
    """How much anybody may ask for, and how much a worker does at once. Rates are a minute's; 0 means no limit."""

    requests_per_session: Count = 3_000
    requests_per_user: Count = 3_000
    requests_per_address: Count = 60_000
    queries_per_session: Count = 60
    queries_per_user: Count = 60
    queries_per_address: Count = 600
    concurrent_reads: AtLeastOne = 16  # of a worker
    concurrent_ingest: AtLeastOne = 96  # of a worker
    concurrent_queries: AtLeastOne = 32  # of a worker
    tokens_per_user_per_day: AtLeastOne | None = None


Texts = Literal["full", "hash", "none"]


class Privacy(Section, frozen=True, kw_only=True):
    """What the collector records of people's words and names: docs/privacy.md."""

    texts: Texts = "full"  # strings of events: whole, length and keyed hash, or nothing
    events: dict[Name, Texts] = field(default_factory=dict)  # the same by event type
    truncate: AtLeastOne | None = None  # texts are cut at this many characters
    drop_queries: bool = True  # addresses lose their query and fragment
    user_key: Secret | None = None  # keys the pseudonyms of users
    save_chats: bool = True  # keep chats, so that their users can go on with them
    respect_signals: bool = False  # the chat page heeds Global Privacy Control, Do Not Track
    retention_days: Annotated[int, Meta(ge=1, le=36_500)] | None = None  # for llmtrack archive --older-than retention

    def __post_init__(self) -> None:
        if self.user_key is not None and len(self.user_key.reveal()) < MIN_KEY:
            raise ValueError(f"user_key: must have at least {MIN_KEY} characters")

    def known_as(self, user_id: str) -> str:
        """The id under which the collector stores this user."""
        return pseudonym(self.user_key.reveal(), user_id) if self.user_key else user_id


class Settings(Section, frozen=True, kw_only=True):
    """Everything that can be set. Environment variables start with LLMTRACK_, but for MONGODB_URI and OPENAI_*."""

    mongodb_uri: Secret | None = None
    database: str | None = None  # database; default: the URI's, else llm_experiment
    collection: Name = "sessions"  # the collection that holds the sessions
    chats_collection: Name = "chats"  # the collection that holds saved chats
    data_dir: Path = field(default_factory=lambda: _data_dir())
    embedded_linger_s: NotNegative = 60  # the embedded server outlives its last user
    secret_key: Secret | None = None  # signs cookies and tokens; default: made once
    redact_key: Secret | None = None  # keys the hashes and pseudonyms of exports
    token_age_s: Positive = TOKEN_AGE_S  # a session's token is good for this long
    ingest_key: Secret | None = None  # lets servers write to any session
    admin_token: Secret | None = None  # lets its bearer read any session
    metrics_token: Secret | None = None  # lets its bearer read /metrics, and nothing else
    proxy_hops: Count = 0  # proxies in front whose X-Forwarded headers are believed
    hsts_s: Count = 0  # Strict-Transport-Security for this long; 0: none
    allowed_origins: list[str] = field(default_factory=lambda: ["*"])  # pages that may send events
    tracker_path: Annotated[str, Meta(pattern=r"^((/[A-Za-z0-9._~-]+)+)?$")] = ""  # a second one, such as /pages
    silent_after_s: Positive = SILENT_AFTER_S  # the server ends sessions this silent
    log_format: LogFormat | None = None  # default: human on a terminal, else json
    model_timeout_s: Positive = 60
    spool: SpoolLimits = field(default_factory=SpoolLimits)
    limits: Limits = field(default_factory=Limits)
    openai_api_key: Secret | None = None
    openai_base_url: str | None = None
    privacy: Privacy = field(default_factory=Privacy)
    experiment: str | None = None  # for sessions that name none; default: the first
    experiments: dict[str, Experiment] = field(default_factory=dict)
    sources: dict[str, AnySource] = field(default_factory=dict)  # data of other applications, by name
    failed_answer: list[str] = field(default_factory=list)  # patterns of answers that are failures stored as texts
    visit_gap: str = "30m"  # a silence this long begins another session of one chat
    ids_are_chats: bool | None = None  # session ids are chats'; default: where that shows

    def __post_init__(self) -> None:
        for pattern in self.failed_answer:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"failed_answer: {pattern!r} is no regular expression: {error}") from None
        try:
            moments.length(self.visit_gap)
        except UsageError as error:
            raise ValueError(f"visit_gap: {error}") from None
        for origin in self.allowed_origins:  # compared letter for letter with what browsers send
            if origin != "*" and not re.fullmatch(r"https?://[^/?#@\sA-Z]+", origin):
                example = "https://chat.example or http://localhost:3000"
                raise ValueError(f"allowed_origins: {origin!r} is no origin such as {example}")
        experiments = self.experiments or {self.experiment or "default": Experiment(groups=[self._only_group()])}
        experiment = self.experiment or next(iter(experiments))
        if experiment not in experiments:
            raise ValueError(f"experiment: {experiment!r} is not one of {sorted(experiments)}")
        msgspec.structs.force_setattr(self, "experiments", experiments)
        msgspec.structs.force_setattr(self, "experiment", experiment)

    @property
    def rules(self) -> Rules:
        """What reading makes of this writer's sessions."""
        gap_s = moments.length(self.visit_gap).total_seconds()
        return Rules(failed_answer=tuple(self.failed_answer), visit_gap_s=gap_s, chats=self.ids_are_chats)

    def changed(self, **fields: Any) -> Settings:
        """These settings with other values of some."""
        return msgspec.structs.replace(self, **fields)

    def _only_group(self) -> Group:
        if self.openai_api_key or self.openai_base_url:
            return Group(name="gpt-4o-mini", model="gpt-4o-mini")
        return Group(name=DEMO, model=DEMO, provider=DEMO)

    def key_for(self, group: Group) -> str | None:
        """The group's API key, or None."""
        if group.api_key_env == "OPENAI_API_KEY" and self.openai_api_key:
            return self.openai_api_key.reveal() or None
        return os.environ.get(group.api_key_env) or None


_NAMED = r"[a-z_]+: "  # what is said of one setting of a section
_SAID = {  # msgspec's words, and ours
    r"Object contains unknown field `(.*)`": r"\1: there is no such setting",
    r"Object missing required field `(.*)`": r"\1: is missing",
    re.escape(f"`str` matching regex {NAME!r}"): "1 to 256 characters without control characters",
}
SECTIONS = ("spool", "limits", "privacy", "experiments", "sources", "allowed_origins", "failed_answer")


def load_settings(**overrides: Any) -> Settings:
    """Settings from overrides (command line), environment, llmtrack.toml and defaults.

    Raises UsageError naming the setting and what is wrong with it.
    """
    scalars = set(Settings.__struct_fields__) - set(SECTIONS)
    given = over(of_file(), of_environment(scalars, SECTIONS))
    given = over(given, {name.lower(): value for name, value in overrides.items()})
    for section, kind in (("experiments", Experiment), ("sources", AnySource)):
        if isinstance(members := given.get(section), dict):  # one by one: msgspec does not say which is wrong
            given[section] = {name: _checked(of, kind, f"{section}.{name}") for name, of in members.items()}
    return cast(Settings, _checked(given, Settings, ""))


def _checked(given: Any, kind: Any, where: str) -> Any:
    if kind is AnySource and isinstance(given, dict):
        given = {"kind": "preset", **given}
    try:
        return msgspec.convert(given, kind, strict=False, dec_hook=made)
    except msgspec.ValidationError as error:
        raise UsageError(f"{_said(error, where)}.", "Check llmtrack.toml and the LLMTRACK_ variables.") from None


def _said(error: msgspec.ValidationError, within: str) -> str:
    """The name of the setting, and what is wrong with it."""
    what, _, path = str(error).partition(" - at `$")
    where = f"{within}.{path.strip('.`')}".strip(".")
    for said, ours in _SAID.items():
        what = re.sub(said, ours, what)
    return f"{where}{'.' if re.match(_NAMED, what) else ': '}{what}" if where else what


def _data_dir() -> Path:
    from platformdirs import user_data_path

    return user_data_path("llmtrack")
