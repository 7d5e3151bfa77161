"""Applications whose data llmtrack knows, one file each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import chain

from llmtrack.errors import UsageError
from llmtrack.session.document import Document
from llmtrack.store.database.driver import reachable
from llmtrack.store.database.sessions import Store
from llmtrack.store.sources.documents import Found, Unreadable
from llmtrack.store.sources.messages import Items
from llmtrack.store.sources.presets.chatgpt import CHATGPT
from llmtrack.store.sources.presets.claude import CLAUDE
from llmtrack.store.sources.presets.langfuse import LANGFUSE
from llmtrack.store.sources.presets.librechat import LIBRECHAT
from llmtrack.store.sources.presets.llm_platform import LLM_PLATFORM
from llmtrack.store.sources.presets.open_webui import OPEN_WEBUI
from llmtrack.store.sources.presets.preset import Preset
from llmtrack.store.sources.presets.rows import SHAREGPT, WILDCHAT

PRESETS = {
    preset.name: preset
    for preset in (LLM_PLATFORM, LIBRECHAT, OPEN_WEBUI, CHATGPT, CLAUDE, LANGFUSE, WILDCHAT, SHAREGPT)
}


def named(preset: str) -> Preset:
    """The preset of this name. Raises UsageError."""
    if preset not in PRESETS:
        raise UsageError(f"There is no preset {preset!r}.", f"Presets: {', '.join(PRESETS)}.")
    return PRESETS[preset]


def recognised(document: Document) -> Preset | None:
    """The application that wrote this document; None where it is a session, or nobody's that is known."""
    if isinstance(document.get("events"), list):
        return None
    return next((preset for preset in PRESETS.values() if preset.recognises(document)), None)


def at_home(store: Store) -> Preset | None:
    """The application whose collections this database holds; None where it holds sessions alone."""
    with reachable():
        there = set(store.database.list_collection_names())
        for preset in PRESETS.values():
            first = next(iter(preset.collections or ()), None)
            if first is None or first not in there:
                continue
            one = store.database[first].find_one({}, preset.collections and preset.collections[first])
            if one is not None and preset.recognises(one):
                return preset
    return None


def as_sessions(
    items: Items, preset: Preset | None = None, say: Callable[[Preset], None] = lambda preset: None
) -> Iterator[Found | Unreadable]:
    """Session documents: as they are, or made of what the preset says; without one the first document tells."""
    ahead: list[Found | Unreadable] = []
    items = iter(items)
    if preset is None:
        for item in items:
            ahead.append(item)
            if isinstance(item, Found):
                preset = recognised(item.document)
                break
        if preset is not None:
            say(preset)
    everything = chain(ahead, items)
    return iter(everything) if preset is None else preset.sessions(everything)
