"""What a preset is: the shape of one application's data, and how sessions come of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from llmtrack.session.document import Document
from llmtrack.store.sources.documents import Found, Unreadable
from llmtrack.store.sources.messages import GAP_S, Items, Messages, converted


@dataclass(frozen=True)
class Preset:
    """One application's data. `recognises` looks at one document; `collections` are read in a database, in this order,
    each with the fields that are read or (0) are not. `chats`: a session document is a chat, opened again and again."""

    name: str
    title: str
    recognises: Callable[[Document], bool]
    messages: Messages = lambda document: ()
    alone: bool = False  # a document holds whole chats of nobody known: no more than one is held at a time
    joined: Callable[[Items], Iterator[Found | Unreadable]] | None = None
    collections: Mapping[str, Mapping[str, Any] | None] | None = None
    chats: bool = False

    def sessions(self, items: Items, gap_s: float = GAP_S) -> Iterator[Found | Unreadable]:
        """The sessions in these documents."""
        return (
            self.joined(items) if self.joined is not None else converted(items, self.messages, gap_s, alone=self.alone)
        )
