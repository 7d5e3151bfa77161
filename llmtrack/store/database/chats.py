"""Saved chats: one document per user and chat, which holds the chat's turns.

    { "_id": "<user_id>:<chat_session_id>", "user_id", "chat_session_id", "title", "created_at", "updated_at",
      "turns": [ {"turn_id", "t": epoch ms, "text", "answer": {"t", "text", "error", "citations", "provider", …},
                  "attempts": [answers before it], "writing": {"until": epoch ms, "text", "thinking"}, "stop": bool} ] }

Whoever does not know the user's id reaches nothing: it is part of every key. Each write is one atomic update of one
turn, so that two requests in the same chat never undo each other's.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from pymongo.errors import DuplicateKeyError

from llmtrack.store.database.driver import Document, reachable
from llmtrack.store.database.sessions import Store
from llmtrack.store.database.whose import refuse_foreign_chats

MAX_LISTED = 200
TITLE_LENGTH = 80
MAX_ATTEMPTS = 20
LEASE_MS = 75_000  # as long as a model may be silent by default, and some more
SEARCHED = ("title", "turns.text", "turns.answer.text")
MAX_WORDS = 20


class Chats:
    """The `chats` collection of a store.

    Every method raises StoreUnavailable when the database does not answer, within `timeout_s` when it is given.
    """

    def __init__(self, store: Store, timeout_s: float | None = None) -> None:
        self._chats, self._timeout_s = store.chats, timeout_s

    def ensure_indexes(self) -> None:
        """Create the index that the list of a user's chats needs."""
        with reachable(within_s=self._timeout_s):
            refuse_foreign_chats(self._chats)
            self._chats.create_index([("user_id", 1), ("updated_at", -1)])

    def turns(self, user_id: str, chat_session_id: str, last: int) -> list[Document]:
        """The chat's last turns, oldest first; none when there is no such chat."""
        with reachable(within_s=self._timeout_s):
            chat = self._chats.find_one({"_id": _key(user_id, chat_session_id)}, {"turns": {"$slice": -last}})
        return list(chat["turns"]) if chat else []

    def ask(self, user_id: str, chat_session_id: str, turn: Document, *, edits: str | None = None) -> None:
        """Add a turn that has no answer yet. One of the same id is asked again: its answer is kept as an attempt.

        `turn` is {"turn_id", "t", "text"}. The first one makes the chat and its title. A turn that `edits` another
        takes its place, and what came after that one goes.
        """
        key, now = _key(user_id, chat_session_id), datetime.now(UTC)
        turn = {**turn, "writing": _lease()}
        with reachable(within_s=self._timeout_s):
            if self._ask_again(key, turn) or (edits and self._edit(key, turn, edits)):
                return
            new = {
                "user_id": user_id,
                "chat_session_id": chat_session_id,
                "title": _title(turn["text"]),
                "created_at": now,
            }
            update = {"$push": {"turns": turn}, "$set": {"updated_at": now}, "$setOnInsert": new}
            try:
                self._chats.update_one({"_id": key}, update, upsert=True)
            except DuplicateKeyError:  # another request made the chat in the same instant
                self._chats.update_one({"_id": key}, update, upsert=True)

    def _ask_again(self, key: str, turn: Document) -> bool:
        known = self._chats.find_one({"_id": key, "turns.turn_id": turn["turn_id"]}, {"turns": 1})
        if known is None:
            return False
        old = next(each for each in known["turns"] if each["turn_id"] == turn["turn_id"])
        attempts = [*old.get("attempts", []), *([old["answer"]] if old.get("answer") else [])]
        kept = {name: old[name] for name in ("t", "text") if name in old}
        return self._set(key, turn["turn_id"], {"turns.$": {**turn, **kept, "attempts": attempts[-MAX_ATTEMPTS:]}})

    def _edit(self, key: str, turn: Document, old: str) -> bool:
        chat = self._chats.find_one({"_id": key}, {"title": 1, "turns.turn_id": 1, "turns.text": 1}) or {"turns": []}
        place = next((at for at, each in enumerate(chat["turns"]) if each["turn_id"] == old), None)
        if place is None:
            return False
        values: Document = {"updated_at": datetime.now(UTC)}
        if place == 0 and chat["title"] == _title(chat["turns"][0]["text"]):  # the reader gave it no other
            values["title"] = _title(turn["text"])
        push = {"turns": {"$each": [turn], "$position": place, "$slice": place + 1}}
        unchanged = {"_id": key, f"turns.{place}.turn_id": old}
        return self._chats.update_one(unchanged, {"$push": push, "$set": values}).matched_count > 0

    def writing(self, user_id: str, chat_session_id: str, turn_id: str, said: Document) -> bool:
        """Save what has been said so far ({"text", "thinking"}) of an answer that is being written.

        Whether it is still wanted: nobody stopped it, and the turn is there.
        """
        key = _key(user_id, chat_session_id)
        with reachable(within_s=self._timeout_s):
            stopped = {"_id": key, "turns": {"$elemMatch": {"turn_id": turn_id, "stop": True}}}
            if self._chats.find_one(stopped, {"_id": 1}) is not None:
                return False
            return self._set(key, turn_id, {"turns.$.writing": {**said, **_lease()}})

    def stop(self, user_id: str, chat_session_id: str, turn_id: str) -> None:
        """Ask whoever writes the answer of a turn to stop."""
        with reachable(within_s=self._timeout_s):
            self._set(_key(user_id, chat_session_id), turn_id, {"turns.$.stop": True})

    def answer(self, user_id: str, chat_session_id: str, turn_id: str, answer: Document) -> None:
        """Set the answer of a turn; nothing happens when the chat was deleted meanwhile."""
        with reachable(within_s=self._timeout_s):
            values = {"turns.$.answer": answer, "turns.$.writing": None, "turns.$.stop": False}
            self._set(_key(user_id, chat_session_id), turn_id, values)

    def _set(self, key: str, turn_id: str, values: Document) -> bool:
        values = {**values, "updated_at": datetime.now(UTC)}
        return self._chats.update_one({"_id": key, "turns.turn_id": turn_id}, {"$set": values}).matched_count > 0

    def newest(self, user_id: str, words: str = "") -> list[Document]:
        """The user's chats, the one used last first, at most 200: sessionId, title, times, number of turns.

        With `words` only those in whose title, questions and answers all of them stand, in whatever case.
        """
        fields = {"chat_session_id": 1, "title": 1, "created_at": 1, "updated_at": 1, "turns.turn_id": 1}
        with reachable(within_s=self._timeout_s):
            found = (
                self._chats.find({"user_id": user_id, **_holding(words)}, fields)
                .sort([("updated_at", -1)])
                .limit(MAX_LISTED)
            )
            return [{**_head(chat), "turns": len(chat["turns"])} for chat in found]

    def get(self, user_id: str, chat_session_id: str) -> Document | None:
        """A chat with its messages, each answer after its prompt; None when the user has no such chat."""
        with reachable(within_s=self._timeout_s):
            chat = self._chats.find_one({"_id": _key(user_id, chat_session_id)})
        if chat is None:
            return None
        return {**_head(chat), "messages": [message for turn in chat["turns"] for message in _messages(turn)]}

    def rename(self, user_id: str, chat_session_id: str, title: str) -> bool:
        """Give a chat another title, cut to 80 characters; whether the user has it. It keeps its place in the list."""
        with reachable(within_s=self._timeout_s):
            named = {"$set": {"title": _title(title)}}
            return self._chats.update_one({"_id": _key(user_id, chat_session_id)}, named).matched_count > 0

    def delete(self, user_id: str, chat_session_id: str) -> bool:
        """Delete a chat; whether the user had it."""
        with reachable(within_s=self._timeout_s):
            return self._chats.delete_one({"_id": _key(user_id, chat_session_id)}).deleted_count > 0


def _key(user_id: str, chat_session_id: str) -> str:
    return f"{user_id}:{chat_session_id}"  # a user id holds no colon, so no two pairs share a key


def _holding(words: str) -> Document:
    patterns = [{"$regex": re.escape(word), "$options": "i"} for word in words.replace("\0", " ").split()[:MAX_WORDS]]
    found = [{"$or": [{place: pattern} for place in SEARCHED]} for pattern in patterns]
    return {"$and": found} if found else {}


def _title(prompt: str) -> str:
    words = " ".join(prompt.split())
    return words if len(words) <= TITLE_LENGTH else f"{words[: TITLE_LENGTH - 1].rstrip()}…"


def _head(chat: Document) -> Document:
    return {
        "sessionId": chat["chat_session_id"],
        "title": chat["title"],
        "created_at": _iso(chat["created_at"]),
        "updated_at": _iso(chat["updated_at"]),
    }


def _messages(turn: Document) -> list[dict[str, Any]]:
    turn_id = turn["turn_id"]
    asked = {"role": "user", "text": turn["text"], "turn_id": turn_id, "t": turn["t"]}
    answer, writing = turn.get("answer"), turn.get("writing") or {}
    if answer:
        attempts = {"attempts": len(turn["attempts"]) + 1} if turn.get("attempts") else {}
        return [asked, {"role": "assistant", "turn_id": turn_id, **answer, **attempts}]
    if writing.get("until", 0) < _now_ms():  # nobody writes it any more: its server was killed
        return [asked]
    asked["writing"] = True
    said = {name: writing[name] for name in ("text", "thinking") if writing.get(name)}
    return [asked, {"role": "assistant", "turn_id": turn_id, **said, "writing": True}] if said else [asked]


def _lease() -> Document:
    """An answer counts as being written until then, unless more of it is saved meanwhile."""
    return {"until": _now_ms() + LEASE_MS}


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
