"""What is allowed to reach the store: the one place that every session and every event passes on its way there."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from llmtrack.config import Privacy
from llmtrack.session.claim import Claim
from llmtrack.session.pseudonym import session_pseudonym
from llmtrack.session.schema import ACTIVITY, CLICK, MODEL_RESPONSE, NAVIGATION, SCROLL, VISIBILITY
from llmtrack.store.database.chats import Chats
from llmtrack.store.database.driver import Document
from llmtrack.store.database.sessions import Appended
from llmtrack.store.spool.durable import DurableStore

HASH_DIGITS: Final = 16  # hexadecimal, as in `export --redact`
NOT_RECORDED: Final = "not recorded"  # in the place of an error's words: that there was one still counts

# Strings that are no one's words: what a report needs to count, to join and to group by.
_ALWAYS: Final = frozenset({"turn_id", "edits", "chat_session_id", "page_url"})
_STRUCTURE: Final = {
    CLICK: frozenset({"target"}),
    SCROLL: frozenset({"direction"}),
    ACTIVITY: frozenset({"activity_state"}),
    VISIBILITY: frozenset({"visibility_state"}),
    NAVIGATION: frozenset({"route"}),
    MODEL_RESPONSE: frozenset({"model", "asked_model", "provider", "finish_reason"}),
    "feedback": frozenset({"rating"}),
}
_ADDRESSES: Final = frozenset({"page_url", "referrer"})


class PrivateStore:
    """A store that is told only what `privacy` allows. Session ids may be given as the page knows them, or as stored.

    `secret` keys the hashes of texts: equal texts have equal hashes.
    """

    def __init__(self, store: DurableStore, privacy: Privacy, secret: str) -> None:
        self._store, self._privacy = store, privacy
        self._text_key = hmac.digest(secret.encode(), b"llmtrack.text", "sha256")

    def start(self, document: Document, claim: Claim) -> Document:
        """As DurableStore.start; the session that it returns has the session_id that was given."""
        private = {**document, "user_id": self._privacy.known_as(document["user_id"])}
        for key in ("session_id", "previous_session_id"):
            if key in document:
                private[key] = self._id(document[key])
        if self._privacy.drop_queries:
            private["environment"] = without_queries(document["environment"])
        return {**self._store.start(private, claim), "session_id": document["session_id"]}

    def append(
        self,
        session_id: str,
        events: Iterable[Document],
        claim: Claim,
        *,
        end: datetime | None = None,
        extra: Document | None = None,
        once: str | None = None,
    ) -> Appended:
        """As DurableStore.append."""
        private = [self.event(event) for event in events]
        return self._store.append(self._id(session_id), private, claim, end=end, extra=extra, once=once)

    def find(self, session_id: str) -> Document | None:
        """As Store.find."""
        return self._store.find(self._id(session_id))

    def owner(self, session_id: str, claim: Claim) -> Document | None:
        """As DurableStore.owner, with the session_id that was given."""
        found = self._store.owner(self._id(session_id), claim)
        return found and {**found, "session_id": session_id}

    def event(self, event: Document) -> Document:
        """The event as it may be stored; its numbers stay, and so do the names of its fields."""
        kind, data = event["type"], event["data"]
        if self._privacy.drop_queries:
            data = without_queries(data)
        texts = self._privacy.events.get(kind, self._privacy.texts)
        if texts != "full" or self._privacy.truncate:
            data = dict(self._members(kind, data, texts, _ALWAYS | _STRUCTURE.get(kind, frozenset())))
        return {**event, "data": data}

    def _id(self, session_id: str) -> str:
        key = self._privacy.user_key
        return session_pseudonym(key.reveal(), session_id) if key else session_id

    def _members(self, kind: str, data: Document, texts: str, kept: frozenset[str]) -> Iterator[tuple[str, Any]]:
        for name, value in data.items():
            if name in kept:
                yield name, value
            elif not isinstance(value, str):
                yield name, self._inner(value, texts)
            elif texts != "full" and kind == MODEL_RESPONSE and name == "error":
                yield name, NOT_RECORDED
            else:
                stem = _stem(kind, name)
                for new, of_text in self._text(value, texts, name, stem):
                    if new == name or new not in data:  # the sender's own length is that of the uncut text
                        yield new, of_text

    def _inner(self, value: Any, texts: str) -> Any:
        """What lies deeper: nothing in there is structure."""
        if isinstance(value, dict):
            return dict(self._members("", value, texts, frozenset()))
        if not isinstance(value, list):
            return value
        if texts == "none":
            return [self._inner(each, texts) for each in value if not isinstance(each, str)]
        return [self._item(each, texts) if isinstance(each, str) else self._inner(each, texts) for each in value]

    def _item(self, text: str, texts: str) -> Any:
        found = dict(self._text(text, texts, "text", ""))
        return found["text"] if texts == "full" else found

    def _text(self, text: str, texts: str, name: str, stem: str) -> Iterator[tuple[str, Any]]:
        length, most = len(text), self._privacy.truncate
        if texts == "full":
            yield name, text[:most]
        if texts == "hash" or (texts == "full" and most and length > most):
            yield f"{stem}length", length
        if texts == "hash" and text:  # a masked selection has none
            digest = hmac.digest(self._text_key, text.encode("utf-8", "replace"), "sha256").hex()
            yield f"{stem}hash", digest[:HASH_DIGITS]


class UnsavedChats(Chats):
    """Keeps nothing of what is said from now on; chats saved before can still be read and deleted."""

    def turns(self, user_id: str, chat_session_id: str, last: int) -> list[Document]:
        """None: each question is asked on its own."""
        return []

    def ask(self, user_id: str, chat_session_id: str, turn: Document, *, edits: str | None = None) -> None:
        """Keep nothing."""

    def writing(self, user_id: str, chat_session_id: str, turn_id: str, said: Document) -> bool:
        """Keep nothing; it is wanted."""
        return True

    def stop(self, user_id: str, chat_session_id: str, turn_id: str) -> None:
        """Nothing is known of it."""

    def answer(self, user_id: str, chat_session_id: str, turn_id: str, answer: Document) -> None:
        """Keep nothing."""


def without_queries(value: Any, name: str = "") -> Any:
    """A JSON value in which the addresses of pages have lost their query and fragment. Words are left as they are.

    >>> without_queries({"page_url": "/a?token=1#b", "deep": [{"referrer": "https://a.org/x?y"}], "text": "a://b?c"})
    {'page_url': '/a', 'deep': [{'referrer': 'https://a.org/x'}], 'text': 'a://b?c'}
    """
    if isinstance(value, str):
        return re.split("[?#]", value, maxsplit=1)[0] if name in _ADDRESSES else value
    if isinstance(value, dict):
        return {key: without_queries(each, key) for key, each in value.items()}
    return [without_queries(each, name) for each in value] if isinstance(value, list) else value


def _stem(kind: str, name: str) -> str:
    """What the length and the hash of a string are named after: response_length, selected_length, text_length."""
    if name == "selected_text":
        return "selected_"
    return "response_" if kind == MODEL_RESPONSE and name == "text" else f"{name}_"
