"""The only reader of the environment and of llmtrack.toml. Precedence: option > environment > file > default."""

from llmtrack.config.settings import (
    DEMO,
    TOKEN_AGE_S,
    Experiment,
    Group,
    Limits,
    LogFormat,
    Privacy,
    Settings,
    SpoolLimits,
    load_settings,
)
from llmtrack.config.sources import AnySource, MessageSource, PresetSource, TurnsOf, VisitSource
from llmtrack.config.types import Name, Secret

__all__ = [
    "DEMO",
    "TOKEN_AGE_S",
    "AnySource",
    "Experiment",
    "Group",
    "Limits",
    "LogFormat",
    "MessageSource",
    "Name",
    "PresetSource",
    "Privacy",
    "Secret",
    "Settings",
    "SpoolLimits",
    "TurnsOf",
    "VisitSource",
    "load_settings",
]
