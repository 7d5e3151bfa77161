"""What GET /privacy tells the page's user, made from the settings in force."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from llmtrack.collector.models.endpoint import OPENAI_URL
from llmtrack.config import DEMO, Privacy, Settings
from llmtrack.session.schema import COPY, MODEL_RESPONSE, PROMPT, SELECTION

_HERE: Final = ("localhost", "127.0.0.1", "::1")
_TEXTS: Final = (
    ("What you write", PROMPT),
    ("The answers", MODEL_RESPONSE),
    ("Text you select", SELECTION),
    ("Text you copy", COPY),
)
_HOW: Final = {
    "full": "Word for word",
    "hash": "Only its length, and a fingerprint that shows whether two texts are the same but not what they say",
    "none": "Only that it happened, not the text",
}


def texts(privacy: Privacy) -> list[tuple[str, str]]:
    """What is recorded of each kind of text: (kind, how).

    >>> texts(Privacy(truncate=500))[3]
    ('Text you copy', 'Word for word, the first 500 characters')
    """
    return [(said, _how(privacy, kind)) for said, kind in _TEXTS]


def _how(privacy: Privacy, kind: str) -> str:
    recorded = privacy.events.get(kind, privacy.texts)
    cut = f", the first {privacy.truncate:,} characters" if recorded == "full" and privacy.truncate else ""
    return _HOW[recorded] + cut


def recipients(settings: Settings) -> list[str]:
    """Who gets what people write: each provider with its host, once; none for the built-in demo."""
    groups = [group for experiment in settings.experiments.values() for group in experiment.groups if group.weight > 0]
    found = {}
    for group in groups:
        if group.provider != DEMO:
            host = urlsplit(group.base_url or settings.openai_base_url or OPENAI_URL).hostname or "?"
            where = "on this page's own server" if host in _HERE else f"at {host}"
            found[f"{group.provider} ({where})"] = True
    return list(found)
